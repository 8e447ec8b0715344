"""QDQ models turned back to float: exact weights, no pair left, clamps put back."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.dequantise import dequantised, integer_operators


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs, [output], **attributes)


def pair(tensor, scale="s", zero="z"):
    return [
        node("QuantizeLinear", [tensor, scale, zero], f"{tensor}_q"),
        node("DequantizeLinear", [f"{tensor}_q", scale, zero], f"{tensor}_dq"),
    ]


def net(nodes, stored, output, opset=17):
    tensors = [numpy_helper.from_array(np.asarray(value), key) for key, value in stored.items()]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None] * 4)],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model, x):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": x})[0]


def stored_of(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def kinds(model):
    return Counter(entry.op_type for entry in model.graph.node)


def conv_net(scale, zero, weight, *, weight_scale=0.01, axis=0, top="y"):
    """x -> Q -> DQ -> Conv -> Q -> DQ, with a stored integer weight."""
    scales = np.full(len(weight), weight_scale, np.float32)
    return net(
        [
            *pair("x", "s8", "z8"),
            node("DequantizeLinear", ["w", "ws", "wz"], "wd", axis=axis),
            node("Conv", ["x_dq", "wd"], top),
            *pair(top),
        ],
        {
            "w": weight, "ws": scales, "wz": np.zeros(len(weight), np.int8),
            "s8": np.float32(0.05), "z8": np.uint8(128), "s": np.float32(scale), "z": zero,
        },
        f"{top}_dq",
    )  # fmt: skip


def followed(model):
    """By one more convolution, which hands on what it gets: a grid's clamp is above the tail."""
    graph = model.graph
    eye = np.eye(4, dtype=np.float32)[..., None, None]
    graph.initializer.append(numpy_helper.from_array(eye, "eye"))
    graph.node.append(node("Conv", [graph.output[0].name, "eye"], "out"))
    graph.output[0].name = "out"
    return model


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-4, 0.5))
def test_weights_are_the_very_numbers_that_the_integers_stand_for(seed, scale):
    weight = np.random.default_rng(seed).integers(-127, 128, (4, 3, 1, 1)).astype(np.int8)
    model = conv_net(0.1, np.uint8(7), weight, weight_scale=scale)

    plain = dequantised(model)

    (conv,) = (entry for entry in plain.graph.node if entry.op_type == "Conv")
    expected = np.empty(weight.shape, np.float32)
    for place, integer in np.ndenumerate(weight):
        expected[place] = np.float32(int(integer)) * np.float32(scale)
    np.testing.assert_array_equal(stored_of(plain)[conv.input[1]], expected)
    assert not {"QuantizeLinear", "DequantizeLinear"} & set(kinds(plain))


def test_it_computes_the_same_without_the_rounding_and_keeps_its_output():
    weight = np.random.default_rng(0).integers(-127, 128, (4, 3, 1, 1)).astype(np.int8)
    model = conv_net(0.05, np.uint8(100), weight)
    before = model.SerializeToString()
    x = np.random.default_rng(1).uniform(-1, 1, (1, 3, 4, 4)).astype(np.float32)

    plain = dequantised(model)

    onnx.checker.check_model(plain, full_check=True)
    assert [value.name for value in plain.graph.output] == ["y_dq"]
    assert model.SerializeToString() == before
    step = 0.05 + 0.05 * np.abs(weight).sum(axis=(1, 2, 3)).max() * 0.01
    assert np.abs(run(plain, x) - run(model, x)).max() <= step


@pytest.mark.parametrize(
    ("scale", "zero", "kind"),
    [
        (0.1, np.uint8(0), "Relu"),
        (0.1, np.int8(-128), "Relu"),
        (6 / 255, np.uint8(0), "Clip"),
        (0.1, np.uint8(3), None),
        (0.1, np.int8(0), None),
    ],
)
def test_a_clamp_that_a_grid_stood_for_is_put_back(scale, zero, kind):
    weight = np.full((4, 3, 1, 1), 100, np.int8)
    plain = dequantised(followed(conv_net(scale, zero, weight)))
    x = np.full((1, 3, 4, 4), -1, np.float32)

    assert set(kinds(plain)) - {"Conv"} == ({kind} if kind else set())
    assert run(plain, x).min() == pytest.approx(0 if kind else -3.0)
    if kind == "Clip":
        assert run(plain, -9 * x).max() == pytest.approx(6)


def test_stored_integers_alone_are_turned_back_by_block_too():
    values = np.arange(12, dtype=np.int8).reshape(1, 3, 1, 4)
    model = net(
        [
            node("DequantizeLinear", ["w", "ws"], "wd", axis=3, block_size=2),
            node("Add", ["x", "wd"], "y"),
        ],
        {"w": values, "ws": np.arange(1, 7, dtype=np.float32).reshape(1, 3, 1, 2)},
        "y",
        opset=21,
    )
    x = np.zeros((1, 3, 4, 4), np.float32)
    np.testing.assert_array_equal(run(dequantised(model), x), run(model, x))


def test_integer_arithmetic_is_refused_with_its_operators_named():
    model = net(
        [
            node("QuantizeLinear", ["x", "s", "z"], "q"),
            node("QLinearConv", ["q", "s", "z", "w", "s", "wz", "s", "z"], "c"),
            node("DequantizeLinear", ["c", "s", "z"], "y"),
        ],
        {
            "w": np.ones((4, 3, 1, 1), np.int8), "wz": np.int8(0),
            "s": np.float32(0.1), "z": np.uint8(3),
        },
        "y",
    )  # fmt: skip
    assert integer_operators(model) == ("QLinearConv",)
    with pytest.raises(ModelError, match="QLinearConv"):
        dequantised(model)


def test_integers_that_something_else_reads_are_refused():
    model = net(
        [
            node("QuantizeLinear", ["x", "s", "z"], "q"),
            node("MaxPool", ["q"], "p", kernel_shape=[2, 2]),
            node("DequantizeLinear", ["p", "s", "z"], "y"),
        ],
        {"s": np.float32(0.1), "z": np.uint8(3)},
        "y",
    )
    with pytest.raises(ModelError, match="can't be undone"):
        dequantised(model)


@pytest.mark.parametrize("shape", [(3,), (0,), (4, 3)])
def test_scales_that_do_not_fit_are_refused_in_words(shape):
    model = conv_net(0.1, np.uint8(7), np.ones((4, 3, 1, 1), np.int8))
    (scale,) = (tensor for tensor in model.graph.initializer if tensor.name == "ws")
    scale.CopyFrom(numpy_helper.from_array(np.ones(shape, np.float32), "ws"))
    with pytest.raises(ModelError, match="scales do not fit"):
        dequantised(model)
