"""Models that lie: every one is refused with words, or loads; never a crash or a hang."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import models
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.core.errors import EdgeCVError, ModelError
from edgecv_cli.graph.inspect import read_facts
from edgecv_cli.graph.io import load_model
from edgecv_cli.graph.normalise import normalise

TESTS = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 100, 200])
def test_a_damaged_or_hostile_model_is_refused_or_read(first, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "faulthandler", str(TESTS / "mutations.py"),
         str(first), "100", str(tmp_path)],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert result["wrong"] == []
    assert sum(result["came"].values()) == 100
    assert result["came"]["refused"] > 10
    assert result["came"]["recognised"] + result["came"]["unrecognised"] > 10


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "hostile.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def first_conv(model: onnx.ModelProto) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == "Conv")


def set_ints(node: onnx.NodeProto, name: str, values: list[int]) -> None:
    attribute = next(part for part in node.attribute if part.name == name)
    del attribute.ints[:]
    attribute.ints.extend(values)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("strides", [1, 0]),  # a division by zero in native code
        ("strides", [-1, 1]),
        ("kernel_shape", [0, 3]),
        ("pads", [0, 2**31, 0, 0]),  # gigabytes of padding
        ("pads", [0, 0, 0, 2**20]),
    ],
)
def test_a_window_that_cannot_be_is_refused(name, values, tmp_path):
    model = models.yolov8()
    set_ints(first_conv(model), name, values)

    with pytest.raises(ModelError, match=name):
        load_model(saved(model, tmp_path))


def test_a_convolution_of_no_groups_is_refused(tmp_path):
    model = models.yolov8()
    next(part for part in first_conv(model).attribute if part.name == "group").i = 0

    with pytest.raises(ModelError, match="0 groups"):
        load_model(saved(model, tmp_path))


@pytest.mark.parametrize("step", [0, 2**31 - 1, 2**40, -(2**62)])
@pytest.mark.parametrize("as_node", [False, True])
def test_a_slice_step_that_overflows_native_code_is_refused(step, as_node, tmp_path):
    model = models.yolov8(dynamic="size")
    node = next(node for node in model.graph.node if node.op_type == "Slice")
    value = numpy_helper.from_array(np.asarray([step], np.int64), "step")
    if as_node:
        model.graph.node.insert(0, helper.make_node("Constant", [], ["step"], value=value))
    else:
        model.graph.initializer.append(value)
    node.input[4] = "step"

    with pytest.raises(ModelError, match="step"):
        load_model(saved(model, tmp_path))


@pytest.mark.parametrize("size", [-2, -(2**63), 2**31, 2**62])
def test_an_axis_that_cannot_be_is_refused(size, tmp_path):
    model = models.yolov8()
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = size

    with pytest.raises(ModelError, match="axis"):
        load_model(saved(model, tmp_path))


def test_an_axis_of_minus_one_is_an_open_axis(tmp_path):
    model = models.yolov8(dynamic="batch")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1

    facts = read_facts(load_model(saved(model, tmp_path)))

    assert facts.inputs[0].shape == (1, 3, 64, 64)
    assert facts.tail is not None


def test_a_tensor_larger_than_any_detector_needs_is_refused():
    model = models.yolov8(dynamic="size")

    with pytest.raises(ModelError, match="elements"):
        read_facts(model, input_size=(2**20, 2**20))
    with pytest.raises(ModelError, match="elements"):
        normalise(model, input_size=(2**20, 2**20))


def growing(kind: str, *sizes: int) -> onnx.ModelProto:
    """A detector-like net whose tail works out, while running, how much it makes."""
    weight = numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "w")
    # The head's own value decides, so no static analysis can tell the size.
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["head"]),
        helper.make_node("ReduceSum", ["head"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Cast", ["nothing"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Add", ["whole", "sizes"], ["wanted"]),
    ]
    stored = [weight, numpy_helper.from_array(np.zeros((), np.float32), "zero")]
    if kind == "Range":
        stored.append(numpy_helper.from_array(np.asarray(sizes[0], np.int64), "sizes"))
        stored.append(numpy_helper.from_array(np.asarray(1, np.int64), "one"))
        nodes.append(helper.make_node("Range", ["whole", "wanted", "one"], ["out"]))
    else:
        stored.append(numpy_helper.from_array(np.asarray(sizes, np.int64), "sizes"))
        inputs = ["wanted"] if kind == "ConstantOfShape" else ["head", "wanted"]
        nodes.append(helper.make_node(kind, inputs, ["out"]))
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 8, 8])
    kept = TensorProto.INT64 if kind == "Range" else TensorProto.FLOAT
    rank = 1 if kind == "Range" else 2 if kind == "ConstantOfShape" else 4
    out = helper.make_tensor_value_info("out", kept, [None] * rank)
    graph = helper.make_graph(nodes, "net", [image], [out], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("Range", (2**33,)),
        ("ConstantOfShape", (2**16, 2**17)),
        ("Expand", (2**15, 2, 8, 8)),
        ("Expand", (2**25, 2, 8, 8)),
        ("Tile", (2**25, 1, 1, 1)),
    ],
)
def test_decoding_that_would_allocate_without_bound_is_not_run(kind, sizes, tmp_path):
    small = sizes == (2**15, 2, 8, 8)

    facts = read_facts(load_model(saved(growing(kind, *sizes), tmp_path)))

    if small:
        assert facts.tail_problem is None
    else:
        assert "too large" in facts.tail_problem


def test_a_long_chain_of_casts_is_walked_without_recursion(tmp_path):
    model = models.classifier()
    weight = next(node.input[1] for node in model.graph.node if node.op_type == "Gemm")
    chain = [weight, *(f"cast_{index}" for index in range(3000))]
    casts = [
        helper.make_node("Identity", [before], [after])
        for before, after in itertools.pairwise(chain)
    ]
    for node in model.graph.node:
        if node.op_type == "Gemm":
            node.input[1] = chain[-1]
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)

    facts = read_facts(load_model(saved(model, tmp_path)))

    assert list(facts.tail.heads) == [
        node.output[0] for node in model.graph.node if node.op_type == "Gemm"
    ]


@pytest.mark.parametrize("seed", range(1, 61, 2))
def test_what_loads_normalises_or_says_why_not(seed, tmp_path):
    import mutations

    path = tmp_path / "model.onnx"
    path.write_bytes(mutations.mutated(seed))

    try:
        model = load_model(path)
        outputs = [value.name for value in normalise(model).graph.output]
    except EdgeCVError:
        return  # words for the user; anything else fails the test
    assert outputs == [value.name for value in model.graph.output]
