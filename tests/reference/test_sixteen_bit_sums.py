"""Why weights for x86 without VNNI are held pair by pair: kernels add two products in 16 bits."""

from __future__ import annotations

import itertools

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from reference.scalar_integers import saturating_dot, worst_pair

from edgecv_cli.compress.quantization.weights import quantize_weights
from edgecv_cli.graph.qdq import Grid, insert_qdq
from edgecv_cli.measure.hardware import has_vnni

SHAPES = {
    "stem": (8, 3, 3, 3, 1),
    "pointwise": (8, 32, 1, 1, 1),
    "odd": (7, 5, 3, 3, 1),
    "grouped": (4, 8, 3, 3, 2),
    "odd groups": (6, 10, 3, 3, 2),
    "rectangular": (4, 7, 1, 5, 1),
    "two from each": (16, 8, 3, 3, 8),
}
"""Output and input channels, kernel, groups."""
DEPTHWISE = {"depthwise": (8, 8, 3, 3, 8), "depthwise 5x5": (16, 16, 5, 5, 16)}


def drawn(seed, out, channels, high, wide, groups):
    """Weights of which some neighbours are large together."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_t(3, size=(out, channels // groups, high, wide)).astype(np.float32)
    weight[rng.random(weight.shape) < 0.1] = np.abs(weight).max()
    return weight


def stored(weight, sums, rounding=None):
    return quantize_weights(
        weight, None, axis=0, bits=8, input_scale=0.02, rounding=rounding, sums=sums
    )


def neighbours(weight):
    """Pairs as kernels meet them: position by position, the channels of one together."""
    for row in weight:
        channels, high, wide = row.shape
        order = [
            int(row[channel, y, x])
            for y in range(high)
            for x in range(wide)
            for channel in range(channels)
        ]
        yield from itertools.pairwise(order)


@given(
    seed=st.integers(0, 10_000),
    shape=st.sampled_from(list(SHAPES.values())),
    up=st.sampled_from(["nearest", "any", "all"]),
)
def test_no_neighbours_saturate_whatever_the_input_and_the_rounding(seed, shape, up):
    weight = drawn(seed, *shape)
    masks = {
        "nearest": None,
        "any": np.random.default_rng(seed).random(weight.shape) < 0.5,
        "all": np.ones(weight.shape, bool),
    }

    integers = stored(weight, 16, masks[up]).weight

    assert not any(worst_pair(pair) for pair in neighbours(integers))


@given(seed=st.integers(0, 10_000), tiny=st.floats(1e-30, 1e-3))
def test_a_scale_that_float32_rounds_down_lets_nothing_through(seed, tiny):
    """Neighbours that just fit, in every magnitude: rounding up takes each to its ceiling."""
    first = np.random.default_rng(seed).uniform(0, 1)
    weight = (np.array([[[[first]], [[1 - first]]]]) * tiny).astype(np.float32)
    up = np.ones(weight.shape, bool)

    assert not any(worst_pair(pair) for pair in neighbours(stored(weight, 16, up).weight))


def test_what_does_not_saturate_keeps_all_its_bits():
    weight = np.zeros((2, 4, 1, 1), np.float32)
    weight[:, :, 0, 0] = [[1.0, -1.0, 1.0, 0.0], [1.0, 0.005, -0.6, -0.4]]

    assert stored(weight, 16).weight[0].ravel().tolist() == [127, -127, 127, 0]
    assert np.abs(stored(weight, 16).weight[1]).max() == 126
    assert np.array_equal(stored(weight, 32).weight[1].ravel(), [127, 1, -76, -51])


def test_128_is_what_two_neighbours_may_add_up_to():
    assert not worst_pair((64, 64))
    assert not worst_pair((1, 127))
    assert not worst_pair((-64, -64))
    assert not worst_pair((127, -127))
    assert worst_pair((64, 65))
    assert worst_pair((127, 127))


def test_eight_bit_weights_saturate_and_lose_half_of_a_sum():
    integers = stored(np.ones((1, 8, 1, 1), np.float32), 32).weight.ravel()
    image = np.full(8, 255, np.uint8)

    kept, saturated = saturating_dot(image, integers)

    assert saturated
    assert kept < 0.51 * sum(int(a) * int(w) for a, w in zip(image, integers, strict=True))


@given(seed=st.integers(0, 10_000))
def test_sums_are_the_exact_ones(seed):
    rng = np.random.default_rng(seed)
    integers = stored(rng.normal(size=(1, 9, 1, 1)).astype(np.float32), 16).weight.ravel()
    image = rng.integers(0, 256, 9).astype(np.uint8)

    exact = sum(int(a) * int(w) for a, w in zip(image, integers, strict=True))

    assert saturating_dot(image, integers) == (exact, False)


def integer_error(shape, sums):
    """Largest difference between integer kernels and the same file run in float, in steps.

    Each output channel is shown the image that is brightest where its weights are positive, and
    the one that is where they are negative: no other makes pairs as large.
    """
    out, channels, high, wide, groups = shape
    weights = stored(drawn(0, *shape), sums)
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, high, wide])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, out, 1, 1])
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], group=groups)],
        "layer", [image], [output],
        [numpy_helper.from_array(np.zeros(weights.weight.shape, np.float32), "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    steps = (
        weights.weight.astype(np.float64) * weights.scales.astype(np.float64)[:, None, None, None]
    )
    reach = float(np.abs(steps).reshape(out, -1).sum(axis=1).max())
    grids = {"x": Grid(1 / 255, 0), "y": Grid(reach / 120, 128)}
    model = insert_qdq(model, nodes={"y"}, grids=grids, weights={"y": weights}, dropped=frozenset())
    sessions = []
    for exact in ("0", "1"):
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.disable_quant_qdq", exact)
        sessions.append(
            onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        )
    worst = 0.0
    for channel in range(out):
        first = channel // (out // groups) * (channels // groups)
        for sign in (1, -1):
            shown = np.zeros((1, channels, high, wide), np.float32)
            shown[0, first : first + channels // groups] = weights.weight[channel] * sign > 0
            seen = [session.run(None, {"x": shown})[0] for session in sessions]
            worst = max(worst, float(np.abs(seen[0] - seen[1]).max()))
    return worst / (reach / 120)


@pytest.mark.parametrize("name", [*SHAPES, *DEPTHWISE])
def test_the_engine_computes_such_layers_exactly(name):
    shape = {**SHAPES, **DEPTHWISE}[name]
    assert integer_error(shape, 32 if name in DEPTHWISE else 16) <= 1.001


@pytest.mark.skipif(has_vnni(), reason="this processor sums in 32 bits: nothing saturates")
@pytest.mark.parametrize("name", SHAPES)
def test_the_engine_saturates_on_layers_that_are_not_held(name):
    assert integer_error(SHAPES[name], 32) > 4
