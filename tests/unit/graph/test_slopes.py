"""LeakyRelu as a maximum: the same numbers, by a copy of the layer where it has one to itself."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.graph.slopes import maxima_for_slopes

R = np.random.default_rng(4)
X = R.normal(0, 1, (1, 3, 6, 6)).astype(np.float32)


def model(nodes, outputs=("y",)):
    stored = {"w": R.normal(0, 1, (4, 3, 3, 3)), "b": R.normal(0, 1, 4)}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(v.astype(np.float32), name) for name, v in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(made):
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X})


CONV = helper.make_node("Conv", ["x", "w", "b"], ["c"])


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("slope", [{"alpha": 0.1}, {}])
def test_the_numbers_stay(apart, slope):
    before = model([CONV, helper.make_node("LeakyRelu", ["c"], ["y"], **slope)])
    after, shared = maxima_for_slopes(before, apart=apart)

    wanted = ["Conv", "Conv", "Max"] if apart else ["Conv", "Mul", "Max"]
    assert [node.op_type for node in after.graph.node] == wanted
    assert shared == ({"c": "y", "y_sloped": "y"} if apart else {})
    np.testing.assert_allclose(run(after)[0], run(before)[0], rtol=1e-5, atol=1e-6)


def test_a_layer_that_others_read_is_not_copied():
    leaky = helper.make_node("LeakyRelu", ["c"], ["y"], alpha=0.1)
    for before in (
        model([CONV, leaky, helper.make_node("Neg", ["c"], ["n"])], ("y", "n")),
        model([CONV, leaky], ("y", "c")),
        model([helper.make_node("Neg", ["x"], ["c"]), leaky]),
    ):
        after, shared = maxima_for_slopes(before, apart=True)
        assert shared == {}
        assert "Mul" in [node.op_type for node in after.graph.node]
        for found, wanted in zip(run(after), run(before), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_slope_that_no_maximum_gives_is_left_alone():
    before = model([CONV, helper.make_node("LeakyRelu", ["c"], ["y"], alpha=1.5)])
    after, _ = maxima_for_slopes(before, apart=True)
    assert [node.op_type for node in after.graph.node] == ["Conv", "LeakyRelu"]
