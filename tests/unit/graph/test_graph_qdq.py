"""QDQ graphs compute fake quantization, keep their names, and leave float readers alone."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from reference.qdq import convolve, on_grid, stored_bias, stored_weight

from edgecv_cli.graph.inspect import read_facts
from edgecv_cli.graph.qdq import Grid, LayerWeights, grid_of, insert_qdq

SCALES = st.floats(0.004, 0.2)
POINTS = st.integers(0, 255)
NONE: frozenset[str] = frozenset()


def net(nodes, stored, outputs, shape=(1, 2, 5, 6)):
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))
    results = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in outputs
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    graph = helper.make_graph(nodes, "net", [image], results, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model, x, *, fuse=False):
    """Outputs by name; without fusing, each operator computes what ONNX says it does."""
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not fuse:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": x}), strict=True))


def image(seed, shape=(1, 2, 5, 6), spread=3.0):
    return np.random.default_rng(seed).normal(0, spread, shape).astype(np.float32)


def layer(rng, rows, columns, kernel, *, bias):
    weight = rng.integers(-127, 128, (rows, columns, kernel, kernel)).astype(np.int8)
    scales = rng.uniform(1e-3, 2e-2, rows).astype(np.float32)
    shift = rng.normal(0, 2, rows).astype(np.float32) if bias else None
    return LayerWeights(weight, scales, 0, shift)


def conv_net(stored, *, bias, relu=False):
    zeros = np.zeros(stored.weight.shape, np.float32)
    inputs = ["x", "w", "b"] if bias else ["x", "w"]
    tensors = {"w": zeros, **({"b": np.zeros(len(stored.scales), np.float32)} if bias else {})}
    nodes = [helper.make_node("Conv", inputs, ["c"])]
    if relu:
        nodes.append(helper.make_node("Relu", ["c"], ["y"]))
    return net(nodes, tensors, ["y" if relu else "c"])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(seed=st.integers(0, 10_000), s_in=SCALES, z_in=POINTS, s_out=SCALES, z_out=POINTS,
       kernel=st.sampled_from([1, 3]), rows=st.integers(1, 4), bias=st.booleans())  # fmt: skip
def test_a_layer_computes_fake_quantization(seed, s_in, z_in, s_out, z_out, kernel, rows, bias):
    rng = np.random.default_rng(seed)
    stored = layer(rng, rows, 2, kernel, bias=bias)
    grids = {"x": Grid(s_in, z_in), "c": Grid(s_out, z_out)}
    x = image(seed)

    found = run(
        insert_qdq(
            conv_net(stored, bias=bias),
            nodes={"c"}, grids=grids, weights={"c": stored}, dropped=NONE,
        ),
        x,
    )["c"]  # fmt: skip

    weight = stored_weight(stored.weight, stored.scales, 0)
    shift = None if stored.bias is None else stored_bias(stored.bias, s_in, stored.scales)
    exact = convolve(on_grid(x, s_in, z_in), weight, shift)
    # Sums in float32 and float64 may fall on either side of a tie: one step apart, never more.
    error = np.abs(found - on_grid(exact, s_out, z_out))
    assert error.max() <= s_out * 1.001
    assert (error > s_out / 2).mean() <= 0.02


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(seed=st.integers(0, 10_000), scale=SCALES, point=POINTS)
def test_a_fused_layer_is_one_step_off_at_most(seed, scale, point):
    rng = np.random.default_rng(seed)
    weight = rng.integers(-63, 64, (3, 2, 3, 3)).astype(np.int8)  # 16-bit sums can't saturate
    stored = LayerWeights(weight, rng.uniform(1e-3, 1e-2, 3).astype(np.float32), 0, None)
    model = insert_qdq(
        conv_net(stored, bias=False),
        nodes={"c"}, grids={"x": Grid(0.05, 128), "c": Grid(scale, point)},
        weights={"c": stored}, dropped=NONE,
    )  # fmt: skip
    x = image(seed)

    plain, fused = run(model, x)["c"], run(model, x, fuse=True)["c"]

    assert np.abs(plain - fused).max() <= scale * 1.001


@settings(max_examples=60, deadline=None, derandomize=True)
@given(low=st.floats(-1000, 1000), high=st.floats(-1000, 1000))
def test_a_grid_covers_its_range_and_holds_zero(low, high):
    low, high = sorted((low, high))
    grid = grid_of(low, high)

    assert 0 <= grid.zero_point <= 255
    assert grid.scale == np.float32(grid.scale)
    step = grid.scale * 1.001 if max(high, 0) - min(low, 0) > 1e-6 else 1e-6
    assert grid.low - step <= min(low, 0) <= grid.low + step
    assert grid.high - step <= max(high, 0) <= grid.high + step
    assert (0 - grid.zero_point + grid.zero_point) * grid.scale == 0.0
    if low >= 0:
        assert grid.zero_point == 0
    if high <= 0 and low < -1e-6:
        assert grid.zero_point == 255


def test_a_grid_of_nothing_is_still_a_grid():
    assert grid_of(0.0, 0.0).scale > 0


def two_layers(outputs):
    rng = np.random.default_rng(3)
    stored = {"w": rng.normal(size=(4, 2, 1, 1)).astype(np.float32),
              "v": rng.normal(size=(3, 4, 1, 1)).astype(np.float32)}  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Conv", ["a", "v"], ["b"]),
    ]
    return net(nodes, stored, outputs), layer(rng, 4, 2, 1, bias=False), rng


@pytest.mark.parametrize("outputs", [["b"], ["a", "b"], ["b", "a"], ["a"]])
def test_names_and_order_of_outputs_survive(outputs):
    model, first, rng = two_layers(outputs)
    grids = {"x": Grid(0.05, 128), "a": Grid(0.03, 100), "b": Grid(0.03, 100)}
    weights = {"a": first, "b": layer(rng, 3, 4, 1, bias=False)}

    result = insert_qdq(model, nodes={"a", "b"}, grids=grids, weights=weights, dropped=NONE)

    assert [value.name for value in result.graph.output] == outputs
    found = run(result, image(0))
    for name in outputs:
        steps = found[name] / np.float32(0.03)
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    assert [value.name for value in model.graph.output] == outputs  # the source is left alone


def test_an_output_without_a_grid_stays_float():
    model, first, _ = two_layers(["b"])

    result = insert_qdq(
        model, nodes={"a"}, grids={"x": Grid(0.05, 128), "a": Grid(0.03, 100)},
        weights={"a": first}, dropped=NONE,
    )  # fmt: skip

    found = run(result, image(0))["b"] / np.float32(0.03)
    assert not np.allclose(found, np.rint(found), atol=1e-3)
    assert read_facts(result).precision == "mixed"


def branching():
    """x -> sigmoid -> s; s -> conv c (integer) and s -> exp e (float)."""
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["s"]),
        helper.make_node("Conv", ["s", "w"], ["c"]),
        helper.make_node("Exp", ["s"], ["e"]),
    ]
    return net(nodes, {"w": np.ones((2, 2, 1, 1), np.float32)}, ["c", "e"])


def test_float_readers_of_a_float_tensor_keep_full_precision():
    stored = layer(np.random.default_rng(0), 2, 2, 1, bias=False)
    grids = {"s": Grid(1 / 255, 0), "c": Grid(0.05, 128)}
    x = image(4)

    result = insert_qdq(branching(), nodes={"c"}, grids=grids, weights={"c": stored}, dropped=NONE)

    before, after = run(branching(), x), run(result, x)
    np.testing.assert_array_equal(after["e"], before["e"])
    weight = stored_weight(stored.weight, stored.scales, 0)
    sigmoid = 1 / (1 + np.exp(-x.astype(np.float64)))
    exact = on_grid(convolve(on_grid(sigmoid, 1 / 255, 0), weight, None), 0.05, 128)
    assert np.abs(after["c"] - exact).max() <= 0.05 * 1.001


def test_readers_of_an_integer_tensor_all_read_what_is_stored():
    stored = layer(np.random.default_rng(0), 2, 2, 1, bias=False)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Neg", ["c"], ["n"]),
    ]
    model = net(nodes, {"w": np.ones((2, 2, 1, 1), np.float32)}, ["c", "n"])
    grids = {"x": Grid(0.05, 128), "c": Grid(0.05, 128)}

    result = insert_qdq(model, nodes={"c"}, grids=grids, weights={"c": stored}, dropped=NONE)

    found = run(result, image(1))
    np.testing.assert_array_equal(found["n"], -found["c"])


def test_the_graph_input_is_quantized_for_integer_readers_only():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Neg", ["x"], ["n"]),
    ]
    model = net(nodes, {"w": np.ones((2, 2, 1, 1), np.float32)}, ["c", "n"])
    stored = layer(np.random.default_rng(0), 2, 2, 1, bias=False)
    grids = {"x": Grid(0.05, 128), "c": Grid(0.05, 128)}
    x = image(1)

    result = insert_qdq(model, nodes={"c"}, grids=grids, weights={"c": stored}, dropped=NONE)

    np.testing.assert_array_equal(run(result, x)["n"], -x)
    assert [value.name for value in result.graph.input] == ["x"]


@pytest.mark.parametrize("clamp", ["Relu", "Clip"])
def test_a_dropped_clamp_is_done_by_its_grid(clamp):
    rng = np.random.default_rng(2)
    stored = layer(rng, 3, 2, 3, bias=True)
    inputs = ["c", "low", "high"] if clamp == "Clip" else ["c"]
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"]),
        helper.make_node(clamp, inputs, ["y"]),
    ]
    tensors = {"w": np.zeros((3, 2, 3, 3), np.float32), "b": np.zeros(3, np.float32)}
    if clamp == "Clip":
        tensors |= {"low": np.float32(0).reshape(()), "high": np.float32(6).reshape(())}
    model = net(nodes, {name: np.asarray(value) for name, value in tensors.items()}, ["y"])
    grids = {"x": Grid(0.05, 128), "y": grid_of(0.0, 6.0)}
    x = image(2)

    result = insert_qdq(model, nodes={"c"}, grids=grids, weights={"c": stored}, dropped={"y"})

    assert clamp not in {node.op_type for node in result.graph.node}
    found = run(result, x)["y"]
    exact = convolve(
        on_grid(x, 0.05, 128),
        stored_weight(stored.weight, stored.scales, 0),
        stored_bias(stored.bias, 0.05, stored.scales),
    )
    wanted = on_grid(np.clip(exact, 0, 6), grids["y"].scale, 0)
    assert np.abs(found - wanted).max() <= grids["y"].scale * 1.001
    assert found.min() >= 0
    assert found.max() <= 6 + 1e-5


@pytest.mark.parametrize("kind", ["Add", "Mul"])
def test_stored_operands_of_an_elementwise_node_are_quantized_too(kind):
    operand = np.asarray([1.5, -0.5], np.float32).reshape(1, 2, 1, 1)
    model = net([helper.make_node(kind, ["x", "k"], ["y"])], {"k": operand}, ["y"])
    grids = {"x": Grid(0.05, 128), "y": Grid(0.08, 120)}
    x = image(5)

    result = insert_qdq(model, nodes={"y"}, grids=grids, weights={}, dropped=NONE)

    step = grid_of(-0.5, 1.5)
    a, b = on_grid(x, 0.05, 128), on_grid(operand, step.scale, step.zero_point)
    exact = on_grid(a + b if kind == "Add" else a * b, 0.08, 120)
    assert np.abs(run(result, x)["y"] - exact).max() <= 0.08 * 1.001
    (node,) = (node for node in result.graph.node if node.op_type == kind)
    restored = {n.output[0] for n in result.graph.node if n.op_type == "DequantizeLinear"}
    assert set(node.input) <= restored


@pytest.mark.parametrize("taken", ["s1", "w1", "dq1", "q1", "b1", "z1"])
def test_names_that_the_model_uses_already_are_left_to_it(taken):
    stored = layer(np.random.default_rng(0), 2, 2, 1, bias=True)
    factor = np.asarray([[[[2.0]], [[3.0]]]], np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"]),
        helper.make_node("Mul", ["x", taken], ["m"]),
    ]
    tensors = {
        "w": np.ones((2, 2, 1, 1), np.float32), "b": np.zeros(2, np.float32), taken: factor
    }  # fmt: skip
    model = net(nodes, tensors, ["c", "m"])
    grids = {"x": Grid(0.05, 128), "c": Grid(0.05, 128)}
    x = image(1)

    result = insert_qdq(model, nodes={"c"}, grids=grids, weights={"c": stored}, dropped=NONE)

    found = run(result, x)
    np.testing.assert_array_equal(found["m"], x * factor)
    assert found["c"].shape == (1, 2, 5, 6)


def test_one_tensor_read_twice_is_quantized_once():
    model = net([helper.make_node("Mul", ["x", "x"], ["y"])], {}, ["y"])
    grids = {"x": Grid(0.05, 128), "y": Grid(0.08, 0)}

    result = insert_qdq(model, nodes={"y"}, grids=grids, weights={}, dropped=NONE)

    assert [node.op_type for node in result.graph.node].count("QuantizeLinear") == 2


def test_metadata_and_source_are_left_alone():
    model, first, _ = two_layers(["b"])
    model.metadata_props.add(key="names", value="x")
    before = model.SerializeToString()

    result = insert_qdq(
        model, nodes={"a"}, grids={"x": Grid(0.05, 128), "a": Grid(0.03, 100)},
        weights={"a": first}, dropped=NONE,
    )  # fmt: skip

    assert model.SerializeToString() == before
    assert [(entry.key, entry.value) for entry in result.metadata_props] == [("names", "x")]
