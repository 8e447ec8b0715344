"""Normalising changes a graph's form and none of its numbers."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import models
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.core.errors import ModelError, UsageError
from edgecv_cli.graph.io import read_metadata, serialize
from edgecv_cli.graph.normalise import normalise

ROOT = Path(__file__).resolve().parents[3]
FAMILIES = {
    "yolov8": lambda opset: models.yolov8(opset=opset),
    "yolov8 without bins": lambda opset: models.yolov8(opset=opset, dfl=False, activation="relu"),
    "yolov8 any batch": lambda opset: models.yolov8(opset=opset, dynamic="batch"),
    "yolox": lambda opset: models.yolox(opset=opset),
    "yolox decoded": lambda opset: models.yolox(opset=opset, decoded=True),
    "ssd": lambda opset: models.ssd(opset=opset),
}


def run(model, x):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: x}), strict=True))


def image(shape=(1, 3, 64, 64)):
    return np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)


def operators(model):
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("opset", [11, 12, 13, 15, 17, 19, 21])
@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_stay_the_same_numbers(family, opset):
    model = FAMILIES[family](opset)
    before = model.SerializeToString()

    result = normalise(model)

    onnx.checker.check_model(result, full_check=True)
    assert model.SerializeToString() == before
    assert result.opset_import[0].version == max(13, opset)
    wanted, found = run(model, image()), run(result, image())
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        limit = 1e-5 * max(1.0, float(np.abs(value).max()))
        np.testing.assert_allclose(found[name], value, atol=limit, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_form_that_rewrites_expect(family):
    result = normalise(FAMILIES[family](17))

    stored = {tensor.name for tensor in result.graph.initializer}
    assert not {"Constant", "Identity", "BatchNormalization"} & set(operators(result))
    assert not stored & {value.name for value in result.graph.input}
    for value in (*result.graph.input, *result.graph.output):
        assert all(dim.dim_value > 0 for dim in value.type.tensor_type.shape.dim)


def test_an_open_size_is_fixed_as_asked():
    model = models.yolov8(dynamic="size")

    result = normalise(model, input_size=(64, 96))

    x = image((1, 3, 64, 96))
    np.testing.assert_allclose(run(result, x)["output0"], run(model, x)["output0"], atol=1e-3)
    assert "Shape" not in operators(result)
    with pytest.raises(ModelError) as caught:
        normalise(model)
    assert "--input-size" in caught.value.remedy
    with pytest.raises(UsageError):
        normalise(models.yolov8(), input_size=(96, 96))


def with_batch_norm():
    rng = np.random.default_rng(1)
    stored = {
        "w": rng.normal(size=(4, 3, 3, 3)), "g": rng.uniform(0.5, 2, 4), "b": rng.normal(size=4),
        "m": rng.normal(size=4), "v": rng.uniform(0.5, 2, 4),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        helper.make_node("BatchNormalization", ["c", "g", "b", "m", "v"], ["n"]),
        helper.make_node("Relu", ["n"], ["y"]),
    ]
    tensors = [numpy_helper.from_array(a.astype(np.float32), name) for name, a in stored.items()]
    image_value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 16, 16])
    graph = helper.make_graph(nodes, "net", [image_value], [out], tensors)
    # As old exporters do, every stored tensor is listed as an input too.
    graph.input.extend(
        helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in tensors
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_batch_norm_is_folded_and_inputs_are_only_inputs():
    model = with_batch_norm()

    result = normalise(model)

    assert operators(result) == ["Conv", "Relu"]
    assert [value.name for value in result.graph.input] == ["x"]
    x = image((1, 3, 16, 16))
    np.testing.assert_allclose(run(result, x)["y"], run(model, x)["y"], atol=1e-5)


def slicing(bounds, *, axis=1, step=1, outputs=None, end_open=False):
    """x -> Conv -> slices by (start, end) -> Relu each -> outputs r0, r1, ..."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"])]
    stored = [numpy_helper.from_array(np.ones((6, 3, 1, 1), np.float32), "w")]
    names = []
    for index, (start, end) in enumerate(bounds):
        last = end_open and index == len(bounds) - 1
        values = {"s": start, "e": 2**63 - 1 if last else end, "a": axis, "t": step}
        for key, value in values.items():
            stored.append(numpy_helper.from_array(np.asarray([value], np.int64), f"{key}{index}"))
        part = f"p{index}"
        inputs = ["c", *(f"{key}{index}" for key in values)]
        nodes.append(helper.make_node("Slice", inputs, [part]))
        nodes.append(helper.make_node("Relu", [part], [f"r{index}"]))
        names.append(f"r{index}")
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4)
        for name in outputs or names
    ]
    image_value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    graph = helper.make_graph(nodes, "net", [image_value], values, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def same_numbers(model, result):
    x = image((1, 3, 8, 8)) - 0.5
    wanted, found = run(model, x), run(result, x)
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, atol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        slicing([(0, 3), (3, 6)]),
        slicing([(3, 6), (0, 3)]),
        slicing([(0, 1), (1, 4), (4, 6)]),
        slicing([(0, 3), (3, 6)], end_open=True),
        slicing([(0, 5), (5, 8)], axis=2),
    ],
)
def test_slices_that_part_a_tensor_become_one_split(model):
    result = normalise(model)

    assert operators(result).count("Split") == 1
    assert "Slice" not in operators(result)
    same_numbers(model, result)


@pytest.mark.parametrize(
    "model",
    [
        slicing([(0, 3), (2, 6)]),  # overlap
        slicing([(0, 2), (3, 6)]),  # a gap
        slicing([(0, 3), (3, 5)]),  # a rest
        slicing([(1, 3), (3, 6)]),
        slicing([(0, 6), (0, 6)], step=2),
        slicing([(0, 3)]),
        slicing([(-6, -3), (-3, 6)]),
    ],
)
def test_other_slices_stay_what_they_are(model):
    result = normalise(model)

    assert "Split" not in operators(result)
    same_numbers(model, result)


def test_slices_that_are_outputs_keep_their_names():
    model = slicing([(0, 3), (3, 6)], outputs=["p1", "p0", "r0"])

    same_numbers(model, normalise(model))


def test_a_name_that_the_split_would_take_stays_the_models():
    model = slicing([(0, 3), (3, 6)])
    model.graph.initializer.append(
        numpy_helper.from_array(np.full((1, 3, 1, 1), 2.0, np.float32), "c_split_sizes")
    )
    model.graph.node.append(helper.make_node("Mul", ["r0", "c_split_sizes"], ["twice"]))
    model.graph.output.append(helper.make_tensor_value_info("twice", TensorProto.FLOAT, [None] * 4))

    result = normalise(model)

    assert "Split" in operators(result)
    same_numbers(model, result)


def test_an_output_that_only_passes_through_keeps_its_name():
    model = models.yolov8(channels_last=False)
    assert model.graph.node[-1].op_type == "Identity"

    result = normalise(model)

    assert [value.name for value in result.graph.output] == ["output0"]
    assert "Identity" not in operators(result)


def test_metadata_is_kept():
    model = models.yolov8(ultralytics=True, metadata={"edgecv.spec": "{}"})

    assert read_metadata(normalise(model)) == read_metadata(model)


def test_normalising_again_changes_nothing_more():
    once = normalise(models.yolov8())

    assert operators(normalise(once)) == operators(once)


def test_a_model_without_an_image_is_named():
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    with pytest.raises(ModelError, match="no image input"):
        normalise(model)


_SCRIPT = """
import hashlib, sys
import models
from edgecv_cli.graph.io import serialize
from edgecv_cli.graph.normalise import normalise
for build in (models.yolov8, models.yolox, models.ssd):
    sys.stdout.write(hashlib.sha256(serialize(normalise(build(opset=12)))).hexdigest() + "\\n")
"""


@pytest.mark.slow
def test_bytes_are_the_same_in_every_process():
    builds = (models.yolov8, models.yolox, models.ssd)
    here = [hashlib.sha256(serialize(normalise(build(opset=12)))).hexdigest() for build in builds]

    for seed in ("1", "4711"):
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT],
            capture_output=True, text=True, check=True, timeout=120,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        )  # fmt: skip
        assert done.stdout.split() == here
