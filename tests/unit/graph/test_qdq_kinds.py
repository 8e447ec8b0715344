"""Signed, symmetric, 16-bit and 4-bit integers, float biases, and what the file holds of them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from reference.qdq import convolve, stored_bias, stored_weight
from reference.scalar_integers import bounds_of, nibbles, rounded

from edgecv_cli.compress.quantization.weights import quantize_blocks, quantize_weights
from edgecv_cli.graph.grid import GridKind, LayerWeights, grid_of
from edgecv_cli.graph.inspect import opset_of
from edgecv_cli.graph.qdq import insert_qdq

KINDS = [
    GridKind(),
    GridKind(signed=True),
    GridKind(symmetric=True),
    GridKind(bits=16),
    GridKind(bits=16, signed=True),
    GridKind(bits=16, symmetric=True),
]
NONE: frozenset[str] = frozenset()


def net(nodes, stored, output, shape, opset=17):
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, [None] * len(shape))
    tensors = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    graph = helper.make_graph(nodes, "net", [image], [result], tensors)
    graph.value_info.add(name="c", type=result.type)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def run(model, x):
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": x})[0]


def conv(*, bias=True, opset=17):
    rng = np.random.default_rng(7)
    weight = rng.normal(size=(3, 2, 3, 3)).astype(np.float32)
    shift = rng.normal(size=3).astype(np.float32)
    tensors = {"w": weight, "b": shift} if bias else {"w": weight}
    node = helper.make_node("Conv", ["x", *tensors], ["c"], name="conv")
    relu = helper.make_node("LeakyRelu", ["c"], ["y"], name="leaky")
    return net([node, relu], tensors, "y", (1, 2, 5, 6), opset), weight, shift


def image(seed=1, shape=(1, 2, 5, 6)):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def stored(model, name):
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def feeding(model, place, label="conv"):
    """The DequantizeLinear that feeds an input of a node."""
    node = next(node for node in model.graph.node if node.name == label)
    return next(entry for entry in model.graph.node if entry.output[0] == node.input[place])


@given(
    low=st.floats(-1000, 1000),
    high=st.floats(-1000, 1000),
    kind=st.sampled_from(KINDS),
)
def test_a_grid_of_any_kind_covers_its_range_and_holds_zero(low, high, kind):
    low, high = sorted((low, high))
    grid = grid_of(low, high, kind)

    first, last = bounds_of(kind.bits, kind.signed or kind.symmetric)
    assert (grid.first, grid.last) == (first, last)
    assert np.iinfo(grid.dtype).min == first
    assert first <= grid.zero_point <= last
    step = grid.scale * 1.001 if max(high, 0) - min(low, 0) > 1e-3 else 1e-3
    assert grid.low <= min(low, 0) + step
    assert grid.high >= max(high, 0) - step
    if kind.symmetric:
        assert grid.zero_point == 0


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("form", ["int32", "float"])
def test_a_layer_of_any_kind_computes_fake_quantization(kind, form):
    model, weight, shift = conv()
    x = image()
    grids = {"x": grid_of(-2.0, 3.0, kind), "c": grid_of(-9.0, 14.0, kind)}
    bits = {"bits": kind.bits, "signed": kind.signed or kind.symmetric}
    layer = quantize_weights(
        weight, shift, axis=0, bits=8, input_scale=grids["x"].scale if form == "int32" else None
    )

    found = run(
        insert_qdq(
            model, nodes={"c"}, grids=grids, weights={"c": layer}, dropped=NONE, bias=form
        ),
        x,
    )  # fmt: skip

    near = rounded(x, grids["x"].scale, grids["x"].zero_point, **bits)
    added = shift.astype(np.float64)
    if form == "int32":
        added = stored_bias(shift, grids["x"].scale, layer.scales)
    exact = convolve(near, stored_weight(layer.weight, layer.scales, 0), added)
    wanted = rounded(exact, grids["c"].scale, grids["c"].zero_point, **bits)
    wanted = np.where(wanted < 0, 0.01 * wanted, wanted)
    assert np.abs(found - wanted).max() <= grids["c"].scale * 1.001 + 1e-5


@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_fine_grids_leave_outputs_equal(seed):
    model, weight, shift = conv()
    x = image(seed)
    kind = GridKind(bits=16)
    near = grid_of(float(x.min()), float(x.max()), kind)
    # A power of two times a grid: weights that int8 holds exactly.
    exact = np.rint(weight * 32) / 32
    scales = np.full(3, 1 / 32, np.float32)
    layer = LayerWeights((exact * 32).astype(np.int8), scales, 0, shift)
    plain, _, _ = conv()
    plain.graph.initializer[0].CopyFrom(numpy_helper.from_array(exact.astype(np.float32), "w"))

    result = insert_qdq(
        model, nodes={"c"}, grids={"x": near}, weights={"c": layer}, dropped=NONE, bias="float"
    )

    # 18 products, each off by half a step of the input at most, times its weight.
    limit = near.scale / 2 * np.abs(exact).sum(axis=(1, 2, 3)).max() * 1.01 + 1e-5
    assert np.abs(run(result, x) - run(plain, x)).max() <= limit


def test_sixteen_bits_raise_the_operator_set_and_eight_do_not():
    model, weight, shift = conv(opset=13)
    layer = quantize_weights(weight, shift, axis=0, bits=8, input_scale=None)
    for bits, opset in ((8, 13), (16, 21)):
        grids = {"x": grid_of(-2.0, 3.0, GridKind(bits=bits))}
        result = insert_qdq(
            model, nodes={"c"}, grids=grids, weights={"c": layer}, dropped=NONE, bias="float"
        )
        assert opset_of(result) == opset
        assert run(result, image()).shape == (1, 3, 3, 4)


def test_a_float_bias_stays_a_stored_tensor():
    model, weight, shift = conv()
    layer = quantize_weights(weight, shift, axis=0, bits=8, input_scale=None)
    grids = {"x": grid_of(-2.0, 3.0, GridKind(symmetric=True))}

    result = insert_qdq(
        model, nodes={"c"}, grids=grids, weights={"c": layer}, dropped=NONE, bias="float"
    )

    node = next(node for node in result.graph.node if node.name == "conv")
    np.testing.assert_array_equal(numpy_helper.to_array(stored(result, node.input[2])), shift)
    kinds = {numpy_helper.to_array(tensor).dtype for tensor in result.graph.initializer}
    assert np.dtype(np.int32) not in kinds
    assert np.dtype(np.uint8) not in kinds


def test_per_channel_scales_name_their_axis():
    model, weight, shift = conv()
    grids = {"x": grid_of(-2.0, 3.0), "c": grid_of(-9.0, 14.0)}
    layer = quantize_weights(weight, shift, axis=0, bits=8, input_scale=grids["x"].scale)

    result = insert_qdq(model, nodes={"c"}, grids=grids, weights={"c": layer}, dropped=NONE)

    wide = [
        node
        for node in result.graph.node
        if node.op_type == "DequantizeLinear" and len(stored(result, node.input[1]).dims) == 1
    ]
    assert len(wide) == 2
    assert all([a.name for a in node.attribute] == ["axis"] for node in wide)


def test_weights_alone_are_stored_as_integers_where_the_layer_is_float():
    model, weight, shift = conv()
    layer = quantize_weights(weight, shift, axis=0, bits=8, input_scale=None)

    result = insert_qdq(model, nodes=NONE, grids={}, weights={"c": layer}, dropped=NONE)

    assert "QuantizeLinear" not in {node.op_type for node in result.graph.node}
    exact = convolve(image(), stored_weight(layer.weight, layer.scales, 0), shift)
    np.testing.assert_allclose(
        run(result, image()), np.where(exact < 0, 0.01 * exact, exact), atol=1e-4
    )


def test_four_bits_are_stored_two_to_a_byte():
    model, weight, shift = conv()
    layer = quantize_weights(weight, shift, axis=0, bits=4, input_scale=None)

    result = insert_qdq(model, nodes=NONE, grids={}, weights={"c": layer}, dropped=NONE)

    tensor = stored(result, feeding(result, 1).input[0])
    assert tensor.data_type == TensorProto.INT4
    assert len(tensor.raw_data) == (weight.size + 1) // 2
    assert nibbles(tensor.raw_data, weight.size) == layer.weight.ravel().tolist()
    exact = convolve(image(), stored_weight(layer.weight, layer.scales, 0), shift)
    np.testing.assert_allclose(
        run(result, image()), np.where(exact < 0, 0.01 * exact, exact), atol=1e-4
    )


@pytest.mark.parametrize("inputs", [64, 70])
@pytest.mark.parametrize("turned", [False, True])
def test_matrices_get_a_scale_for_each_block_of_inputs(inputs, turned):
    rng = np.random.default_rng(2)
    weight = rng.normal(size=(inputs, 5)).astype(np.float32)
    weight[:32] *= 10  # a scale of its own keeps the rest fine
    held = weight.T if turned else weight
    node = helper.make_node("Gemm", ["x", "w"], ["y"], name="gemm", transB=int(turned))
    model = net([node], {"w": np.ascontiguousarray(held)}, "y", (2, inputs))
    layer = quantize_blocks(held, None, axis=1 if turned else 0)

    result = insert_qdq(model, nodes=NONE, grids={}, weights={"y": layer}, dropped=NONE)

    steps = np.abs(weight).max() / 7, np.abs(weight[32:]).max() / 7
    tensor = stored(result, feeding(result, 1, "gemm").input[0])
    integers = np.asarray(nibbles(tensor.raw_data, weight.size)).reshape(held.shape)
    whole = integers.T if turned else integers
    restored = np.empty(weight.shape)
    for (row, column), value in np.ndenumerate(whole):
        block = weight[row // 32 * 32 : row // 32 * 32 + 32, column]
        restored[row, column] = value * float(np.float32(np.abs(block).max() / 7))
    assert np.abs(restored - weight)[:32].max() <= steps[0] / 2 * 1.001
    assert np.abs(restored - weight)[32:].max() <= steps[1] / 2 * 1.001
    x = image(3, (2, inputs))
    np.testing.assert_allclose(run(result, x), x @ restored, atol=1e-3)


def test_equal_constants_are_stored_once_and_inferred_shapes_left_out():
    model, weight, shift = conv()
    grid = grid_of(-2.0, 3.0)
    layer = quantize_weights(weight, shift, axis=0, bits=8, input_scale=grid.scale)
    grids = {"x": grid, "c": grid, "y": grid}

    result = insert_qdq(model, nodes={"c", "y"}, grids=grids, weights={"c": layer}, dropped=NONE)

    held = [
        (str(array.dtype), array.shape, array.tobytes())
        for array in map(numpy_helper.to_array, result.graph.initializer)
    ]
    assert len(held) == len(set(held))
    assert not result.graph.value_info
    added = {tensor.name for tensor in result.graph.initializer} - {"w", "b"}
    assert max(map(len, added)) <= 3


def test_operands_of_a_symmetric_model_are_symmetric_too():
    operand = np.asarray([1.5, -0.5], np.float32).reshape(1, 2, 1, 1)
    model = net(
        [helper.make_node("Add", ["x", "k"], ["y"], name="add")], {"k": operand}, "y", (1, 2, 5, 6)
    )
    kind = GridKind(symmetric=True)
    grids = {"x": grid_of(-3.0, 3.0, kind), "y": grid_of(-5.0, 5.0, kind)}

    result = insert_qdq(model, nodes={"y"}, grids=grids, weights={}, dropped=NONE)

    points = [
        stored(result, node.input[2])
        for node in result.graph.node
        if node.op_type == "DequantizeLinear"
    ]
    assert {numpy_helper.to_array(point).item() for point in points} == {0}
    assert {point.data_type for point in points} == {TensorProto.INT8}
