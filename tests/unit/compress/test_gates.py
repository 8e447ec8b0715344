"""Gates apart from values: the same numbers, alike channels, and grids that end in time."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.compress.quantization.gates import (
    cuts_of,
    extremes_of,
    factors_of,
    find_gated,
    parted,
    with_grids_cut,
)
from edgecv_cli.compress.quantization.plan import GridPlan, QuantizePlan
from edgecv_cli.core.context import Context
from edgecv_cli.graph.topology import Topology

R = np.random.default_rng(3)
X = R.normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
SPREAD = np.asarray([0.05, 0.4, 3.0, 20.0], np.float32)


def conv(name, source, out, size, *, groups=1, scale=1.0, bias=True):
    """A convolution and what it stores; ``scale``: of each output channel."""
    kernel = 3 if groups > 1 else 1
    weights = R.normal(0, 0.7, (out, size // groups, kernel, kernel)) * np.reshape(
        np.broadcast_to(scale, out), (-1, 1, 1, 1)
    )
    stored = {f"{name}_w": weights.astype(np.float32)}
    if bias:
        stored[f"{name}_b"] = (R.normal(0, 0.5, out) * np.broadcast_to(scale, out)).astype("f4")
    pads = {"group": groups, "pads": [kernel // 2] * 4}
    return helper.make_node("Conv", [source, *stored], [name], **pads), stored


def network(parts, outputs):
    nodes, tensors = [], []
    for part in parts:
        node, stored = part if isinstance(part, tuple) else (part, {})
        nodes.append(node)
        tensors += [numpy_helper.from_array(value, name) for name, value in stored.items()]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def gated(kind, **settings):
    """Convolution, activation, depthwise, activation, convolution: the block of small nets."""
    return network(
        [
            conv("a", "x", 4, 3, scale=SPREAD),
            helper.make_node(kind, ["a"], ["ag"], **settings),
            helper.make_node("Mul", ["a", "ag"], ["ay"]),
            conv("d", "ay", 4, 4, groups=4, bias=False),
            helper.make_node(kind, ["d"], ["dg"], **settings),
            helper.make_node("Mul", ["dg", "d"], ["dy"]),
            conv("p", "dy", 5, 4),
        ],
        ["p"],
    )


def run(model, names=None):
    model = onnx.ModelProto.FromString(model.SerializeToString())
    if names:
        del model.graph.output[:]
        model.graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
        )
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X})


def opened(data):
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    return lambda feed: session.run(None, dict(feed))


def part(model):
    topology = Topology.of(model)
    found = find_gated(topology)
    layers = [one.layer for one in found]
    seen = extremes_of(topology, layers, [{"x": X}], open_model=opened, context=Context())
    factors = factors_of(topology, found, seen)
    return parted(topology, found, factors), cuts_of(topology, found, factors), seen


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("Sigmoid", {}), ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}), ("HardSigmoid", {})],
)
def test_the_network_computes_the_same(kind, settings):
    before = gated(kind, **settings)
    after, _, _ = part(before)

    np.testing.assert_allclose(run(after)[0], run(before)[0], rtol=2e-4, atol=2e-4)
    made = [node.output[0] for node in after.graph.node]
    assert {"a_gate", "d_gate"} <= set(made)


def test_channels_of_values_fill_one_grid():
    before = gated("Sigmoid")
    after, _, _ = part(before)

    for tensor in ("a", "d"):
        wide, alike = (np.abs(run(m, [tensor])[0]).max(axis=(0, 2, 3)) for m in (before, after))
        assert alike.max() / alike.min() < wide.max() / wide.min() / 3


def test_bounds_are_means_over_images_of_each_channel():
    topology = Topology.of(gated("Sigmoid"))
    feeds = [{"x": X}, {"x": 2 * X}]
    seen = extremes_of(topology, ["a", "d"], feeds, open_model=opened, context=Context())

    session = opened(topology.model.SerializeToString())
    assert session  # the graph itself loads
    each = []
    for feed in feeds:
        copy = onnx.ModelProto.FromString(topology.model.SerializeToString())
        copy.graph.output.append(helper.make_tensor_value_info("d", TensorProto.FLOAT, None))
        each.append(opened(copy.SerializeToString())(feed)[1])
    lows = np.mean([value.min(axis=(0, 2, 3)) for value in each], axis=0)
    highs = np.mean([value.max(axis=(0, 2, 3)) for value in each], axis=0)
    np.testing.assert_allclose(seen["d"][0], lows, rtol=1e-5)
    np.testing.assert_allclose(seen["d"][1], highs, rtol=1e-5)


def test_grids_end_where_gates_are_shut_or_open():
    _, cuts, _ = part(gated("HardSigmoid", alpha=1 / 6, beta=0.5))
    assert cuts["a"] == (-1.0, np.inf)
    assert cuts["a_gate"] == pytest.approx((-3.0, 3.0))

    wide = GridPlan(scale=0.5, zero_point=0, signed=True)
    plan = QuantizePlan(
        source="s", target="t", placement="all", estimator="e", bias_correction=False,
        nodes=(), layers={}, grids={"a": wide, "a_gate": wide, "other": wide},
    )  # fmt: skip
    grids = with_grids_cut(plan, cuts).grids

    assert grids["other"] == wide
    gate, value = grids["a_gate"], grids["a"]
    assert gate.scale * 255 == pytest.approx(6.0)
    assert value.scale * (-128 - value.zero_point) == pytest.approx(-1.0, abs=value.scale)
    assert value.scale * (127 - value.zero_point) == pytest.approx(63.5, abs=value.scale)


def squeezed():
    """A depthwise layer's output that a squeeze-and-excite gate reads, and is multiplied with."""
    return network(
        [
            conv("a", "x", 4, 3, scale=SPREAD),
            helper.make_node("Relu", ["a"], ["ar"]),
            conv("d", "ar", 4, 4, groups=4),
            helper.make_node("GlobalAveragePool", ["d"], ["pool"]),
            conv("s", "pool", 4, 4),
            helper.make_node("Sigmoid", ["s"], ["sg"]),
            helper.make_node("Mul", ["d", "sg"], ["dy"]),
            conv("p", "dy", 5, 4),
        ],
        ["p"],
    )


def joined():
    """Two activations joined before a depthwise layer."""
    parts = []
    for name in ("a", "b"):
        parts += [
            conv(name, "x", 4, 3, scale=SPREAD),
            helper.make_node("Sigmoid", [name], [f"{name}g"]),
            helper.make_node("Mul", [name, f"{name}g"], [f"{name}y"]),
        ]
    parts += [
        helper.make_node("Concat", ["ay", "by"], ["c"], axis=1),
        conv("d", "c", 8, 8, groups=8),
        conv("p", "d", 5, 8),
    ]
    return network(parts, ["p"])


def test_several_readers_take_the_factors():
    before = squeezed()
    after, cuts, _ = part(before)

    assert [one.layer for one in find_gated(Topology.of(before))] == ["d"]
    assert cuts == {}
    np.testing.assert_allclose(run(after)[0], run(before)[0], rtol=1e-4, atol=1e-5)
    wide, alike = (np.abs(run(m, ["d"])[0]).max(axis=(0, 2, 3)) for m in (before, after))
    assert alike.max() / alike.min() < 1.01 < wide.max() / wide.min()


def test_joined_channels_take_their_own_factors():
    before = joined()
    after, _, _ = part(before)

    assert [one.readers[0].start for one in find_gated(Topology.of(before))] == [0, 4]
    np.testing.assert_allclose(run(after)[0], run(before)[0], rtol=2e-4, atol=2e-4)


def dense():
    return network(
        [
            conv("a", "x", 4, 3),
            helper.make_node("Sigmoid", ["a"], ["g"]),
            helper.make_node("Mul", ["a", "g"], ["y"]),
            conv("p", "y", 5, 4),
        ],
        ["p"],
    )


def read_elsewhere():
    return network(
        [
            conv("a", "x", 4, 3),
            helper.make_node("Sigmoid", ["a"], ["g"]),
            helper.make_node("Mul", ["a", "g"], ["y"]),
            conv("d", "y", 4, 4, groups=4),
            helper.make_node("Add", ["d", "y"], ["p"]),
        ],
        ["p"],
    )


def squared():
    return network(
        [
            conv("a", "x", 4, 3),
            helper.make_node("Relu", ["a"], ["r"]),
            helper.make_node("Mul", ["a", "r"], ["y"]),
            conv("d", "y", 4, 4, groups=4),
            conv("p", "d", 5, 4),
        ],
        ["p"],
    )


@pytest.mark.parametrize("build", [dense, read_elsewhere])
def test_what_gains_nothing_or_cannot_be_scaled_is_left_alone(build):
    assert find_gated(Topology.of(build())) == []


def test_a_product_of_a_tensor_with_itself_is_not_scaled():
    assert "a" not in [one.layer for one in find_gated(Topology.of(squared()))]


def test_only_convolutions_over_images_are_scaled():
    lines = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Conv", ["x", "w"], ["a"]),
                helper.make_node("Sigmoid", ["a"], ["g"]),
                helper.make_node("Mul", ["a", "g"], ["y"]),
                helper.make_node("Conv", ["y", "v"], ["p"], group=4),
            ],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8])],
            [helper.make_tensor_value_info("p", TensorProto.FLOAT, None)],
            [
                numpy_helper.from_array(np.ones((4, 3, 1), np.float32), "w"),
                numpy_helper.from_array(np.ones((4, 1, 3), np.float32), "v"),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    assert find_gated(Topology.of(lines)) == []
