"""A plan told to another quantizer: what it rounds to by its own rule is what the plan stores."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.compress.quantization.apply import store_layer
from edgecv_cli.compress.quantization.handover import hand_over
from edgecv_cli.compress.quantization.plan import GridPlan, LayerPlan, QuantizePlan
from edgecv_cli.compress.quantization.rounding import encode_mask
from edgecv_cli.graph.topology import Topology


def topology(seed, bias=True):
    random = np.random.default_rng(seed)
    weights = random.normal(0, 1, (4, 3, 3, 3)).astype(np.float32)
    stored = {"w": weights, "b": random.normal(0, 1, 4).astype(np.float32)}
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"] if bias else ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 4, 4])],
        [numpy_helper.from_array(stored[name], name) for name in ("w", "b")[: 1 + bias]],
    )
    opset = [helper.make_opsetid("", 17)]
    return Topology.of(helper.make_model(graph, opset_imports=opset, ir_version=8))


def plan_of(layer):
    return QuantizePlan(
        source="s",
        target="litert",
        placement="all",
        estimator="minmax",
        bias_correction=False,
        nodes=("y",),
        layers={"y": layer},
        grids={"x": GridPlan(scale=0.5, zero_point=-28, signed=True)},
    )


def largest_to_127(weights):
    """Round as LiteRT's quantizer does: by the largest of each output channel."""
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    scales = np.abs(rows).max(axis=1, keepdims=True) / 127
    return np.rint(rows / scales), scales


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), rounded=st.booleans())
def test_rounding_anew_gives_the_plans_integers(seed, rounded):
    layers = topology(seed)
    up = np.random.default_rng(seed + 1).random((4, 3, 3, 3)) < 0.5
    layer = LayerPlan(bits=8, rounding=encode_mask(up) if rounded else None)

    network = hand_over(layers, plan_of(layer)).network

    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in network.graph.initializer}
    handed = stored[network.graph.node[0].input[1]]
    integers, scales = largest_to_127(handed)
    wanted = store_layer(layers, layers.layers["y"], layer, None)
    np.testing.assert_allclose(scales.ravel(), wanted.scales, rtol=1e-6)
    flat = wanted.weight.reshape(4, -1)
    apart = np.abs(integers - flat)
    # the largest of a channel stays on the last step, whichever way it was to be rounded
    assert (apart.sum(axis=1) <= 1).all()
    np.testing.assert_array_equal(integers[np.abs(flat) < 126], flat[np.abs(flat) < 126])


def test_ranges_are_what_grids_cover_and_biases_are_shifted():
    for bias in (True, False):
        layers = topology(5, bias)
        shift = (0.5, -1.0, 0.0, 2.0)
        handed = hand_over(layers, plan_of(LayerPlan(bits=8, bias_shift=shift)))

        assert handed.ranges == {"x": (-50.0, 77.5)}
        x = np.random.default_rng(1).normal(0, 1, (1, 3, 6, 6)).astype(np.float32)
        before, after = (
            ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(
                None, {"x": x}
            )[0]
            for model in (layers.model, handed.network)
        )
        moved = (after - before).mean(axis=(0, 2, 3))
        np.testing.assert_allclose(moved, shift, atol=0.1)
