"""Why x86 without VNNI gets 7-bit weights: its kernels sum pairs of products in 16 bits."""

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


def stored(weight, bits):
    return quantize_weights(weight, None, axis=0, bits=bits, input_scale=0.02)


@given(seed=st.integers(0, 10_000))
def test_seven_bit_weights_never_saturate_whatever_the_input(seed):
    weight = np.random.default_rng(seed).normal(size=(4, 6, 1, 1)).astype(np.float32)
    rows = stored(weight, 7).weight.reshape(4, -1)

    # Kernels reorder what they sum, so that any two weights of a channel may become a pair.
    pairs = [pair for row in rows.tolist() for pair in itertools.combinations(row, 2)]
    assert not any(worst_pair(pair) for pair in pairs)


def test_seven_bits_are_as_many_as_fit():
    assert not worst_pair((63, 63))
    assert not worst_pair((-63, -63))
    assert worst_pair((65, 65))
    assert worst_pair((127, 127))


def test_eight_bit_weights_saturate_and_lose_half_of_a_sum():
    integers = stored(np.ones((1, 8, 1, 1), np.float32), 8).weight.ravel()
    image = np.full(8, 255, np.uint8)

    kept, saturated = saturating_dot(image, integers)

    assert saturated
    assert kept < 0.51 * sum(int(a) * int(w) for a, w in zip(image, integers, strict=True))


@given(seed=st.integers(0, 10_000))
def test_seven_bit_sums_are_the_exact_ones(seed):
    rng = np.random.default_rng(seed)
    integers = stored(rng.normal(size=(1, 9, 1, 1)).astype(np.float32), 7).weight.ravel()
    image = rng.integers(0, 256, 9).astype(np.uint8)

    exact = sum(int(a) * int(w) for a, w in zip(image, integers, strict=True))

    assert saturating_dot(image, integers) == (exact, False)


def layer(bits):
    """One convolution of bright input with large weights, in QDQ form; and its output's scale."""
    weight = np.ones((8, 32, 1, 1), np.float32)
    weight[1::2] *= -1
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 32, 8, 8])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 8, 8])
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "layer", [image], [output], [numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    grids = {"x": Grid(1 / 255, 0), "y": Grid(0.5, 128)}
    weights = {"y": stored(weight, bits)}
    return insert_qdq(model, nodes={"y"}, grids=grids, weights=weights, dropped=frozenset())


def integer_error(bits):
    """Largest difference between integer kernels and the same file run in float, in steps."""
    model = layer(bits)
    rng = np.random.default_rng(0)
    feed = {"x": rng.uniform(0.9, 1.0, (1, 32, 8, 8)).astype(np.float32)}
    outputs = []
    for exact in ("0", "1"):
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.disable_quant_qdq", exact)
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        outputs.append(session.run(None, feed)[0])
    return float(np.abs(outputs[0] - outputs[1]).max()) / 0.5


def test_the_engine_computes_seven_bit_layers_exactly():
    assert integer_error(7) <= 1.001


@pytest.mark.skipif(has_vnni(), reason="this processor sums in 32 bits: nothing saturates")
def test_the_engine_saturates_on_eight_bit_layers():
    assert integer_error(8) > 4
