"""A model that hangs or eats the memory is a row that says so."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.core.child import Child, Limits
from edgecv_cli.core.context import Context
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.latency import benchmark

IMAGE = [1, 3, 8, 8]


def saved(path, nodes, weights=(), shape=IMAGE):
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, IMAGE)
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "g", [image], [answer], list(weights))
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


@pytest.fixture
def fine(tmp_path):
    return saved(tmp_path / "fine.onnx", [helper.make_node("Relu", ["x"], ["y"])])


def endless(path):
    """Loops 2**62 times over a Relu."""

    def value(name, kind, shape):
        return helper.make_tensor_value_info(name, kind, shape)

    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Relu", ["v"], ["w"])],
        "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []),
         value("v", TensorProto.FLOAT, IMAGE)],
        [value("on", TensorProto.BOOL, []), value("w", TensorProto.FLOAT, IMAGE)],
    )  # fmt: skip
    often = numpy_helper.from_array(np.array(2**62), "often")
    yes = numpy_helper.from_array(np.array(True), "yes")
    loop = helper.make_node("Loop", ["often", "yes", "x"], ["y"], body=body)
    return saved(path, [loop], [often, yes])


def greedy(path):
    """Asks for 2 GB whose size no reading of the file tells: it comes out of the picture."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Mul", ["whole", "nought"], ["none"]),
        helper.make_node("Add", ["none", "many"], ["count"]),
        helper.make_node("Concat", ["count", "rest"], ["size"], axis=0),
        helper.make_node("Expand", ["x", "size"], ["large"]),
        helper.make_node("ReduceMax", ["large"], ["y"], keepdims=0),
    ]
    weights = [
        numpy_helper.from_array(np.array([0]), "nought"),
        numpy_helper.from_array(np.array([2**31 // (4 * 192)]), "many"),
        numpy_helper.from_array(np.array(IMAGE[1:]), "rest"),
    ]
    return saved(path, nodes, weights, [])


def test_a_model_that_hangs_is_ended_and_the_rest_goes_on(fine, tmp_path):
    hangs = BenchRow(endless(tmp_path / "endless.onnx"), threads=1, patience_s=2)

    result = benchmark([BenchRow(fine, threads=1), hangs], duration_s=0.1, context=Context())

    good, bad = result.runs
    assert good.p50_ms is not None
    assert "hung: timing endless.onnx on onnxruntime" in bad.error
    assert "within 2 s" in bad.error
    assert bad.p50_ms is None


def test_a_model_that_asks_for_too_much_memory_is_a_row_that_says_so(fine, tmp_path):
    def small(row):
        return Child("latency", name="timing", limits=Limits(60, 2**30))

    rows = [BenchRow(fine, threads=1), BenchRow(greedy(tmp_path / "greedy.onnx"), threads=1)]
    result = benchmark(rows, duration_s=0.1, context=Context(), start=small)

    assert result.runs[0].p50_ms is not None
    assert "memory" in result.runs[1].error
    assert result.ratios == ()
