"""The bounds within which a hostile graph is run by the reference evaluator."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgecv_cli.graph.evaluate import BoundedEvaluator, TooLargeError

LIMIT = 1_000_000


def evaluator(nodes, **stored) -> BoundedEvaluator:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 2, 8, 8])],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return BoundedEvaluator(model, ["y"], LIMIT)


def node(kind, *inputs, **attributes):
    return helper.make_node(kind, list(inputs), ["y"], **attributes)


GROWING = {
    "Pad": ([node("Pad", "x", "by")], {"by": [0, 0, 0, 0, 0, 0, 0, 10**10]}),
    "Resize": ([node("Resize", "x", "", "by", mode="nearest")],
               {"by": np.float32([1, 1, 9e3, 9e3])}),
    "OneHot": ([node("OneHot", "at", "depth", "v")],
               {"at": [1, 2], "depth": 10**10, "v": np.float32([0, 1])}),
    "MatMul": ([node("MatMul", "a", "b")],
               {"a": np.zeros((20_000, 1), np.float32), "b": np.zeros((1, 20_000), np.float32)}),
    "Gather": ([node("Gather", "a", "at")],
               {"a": np.zeros((1, 20_000), np.float32), "at": np.zeros(20_000, np.int64)}),
}  # fmt: skip

SLOW = {
    "MaxPool": [node("MaxPool", "x", kernel_shape=[3, 3], pads=[1] * 4)],
    "GridSample": [node("GridSample", "x", "grid")],
}


@pytest.mark.parametrize("kind", GROWING)
def test_what_would_be_too_large_is_not_made(kind):
    nodes, stored = GROWING[kind]

    with pytest.raises(TooLargeError, match=f"{kind} would make too large"):
        evaluator(nodes, **stored)({"x": np.zeros((1, 2, 8, 8), np.float32)})


@pytest.mark.parametrize("kind", SLOW)
def test_what_would_take_minutes_is_not_begun(kind):
    run = evaluator(SLOW[kind], grid=np.zeros((1, 300, 800, 2), np.float32))

    with pytest.raises(TooLargeError, match=f"{kind} would take too long"):
        run({"x": np.zeros((1, 2, 500, 500), np.float32)})


def test_effort_counts_over_all_runs(monkeypatch):
    monkeypatch.setattr("edgecv_cli.graph.evaluate._MOST_EFFORT", 1000)
    run = evaluator([node("Neg", "x")])
    feeds = {"x": np.ones((1, 2, 8, 8), np.float32)}

    assert all(run(feeds)["y"].sum() == -128 for _ in range(3))  # 256 elements a run
    with pytest.raises(TooLargeError, match="Neg"):
        run(feeds)
