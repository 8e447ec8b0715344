"""Graphs in float16 made float32."""

from __future__ import annotations

import models
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from edgecv_cli.graph.inspect import read_facts
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.widen import holds_half, widened


def run(model, feed):
    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: feed})


@pytest.mark.parametrize("build", [models.yolov8, models.yolox, models.ssd])
def test_the_numbers_stay_the_same_up_to_rounding(build):
    half = models.halved(build(planted=True))
    before = half.SerializeToString()
    feed = np.random.default_rng(0).random((1, 3, 64, 64)).astype(np.float16)

    wide = widened(half)

    assert holds_half(half)
    assert not holds_half(wide)
    assert half.SerializeToString() == before
    for a, b in zip(run(half, feed), run(wide, feed.astype(np.float32)), strict=True):
        assert b.dtype == np.float32
        np.testing.assert_allclose(a.astype(np.float32), b, rtol=0.02, atol=0.05)


def test_normalising_makes_it_float32():
    model = normalise(models.halved(models.yolov8()))

    assert not holds_half(model)
    assert read_facts(model).precision == "fp32"


def test_a_float32_model_holds_no_half():
    assert not holds_half(models.yolov8())


def test_constants_and_subgraphs_are_widened_too():
    one = numpy_helper.from_array(np.float16([1.5]), "one")
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["y"], value=one)],
        "inner", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT16, [1])],
    )  # fmt: skip
    graph = helper.make_graph(
        [
            helper.make_node("If", ["flag"], ["picked"], then_branch=inner, else_branch=inner),
            helper.make_node("Cast", ["picked"], ["cast"], to=TensorProto.FLOAT16),
            helper.make_node("Identity", ["cast"], ["out"]),
        ],
        "outer",
        [helper.make_tensor_value_info("flag", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT16, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    wide = widened(model)

    assert not holds_half(wide)
    onnx.checker.check_model(wide, full_check=True)
    (value,) = run(wide, np.array(True))
    assert value.dtype == np.float32
    assert value.tolist() == [1.5]
