"""Cross-layer equalisation: the same outputs, for every op that it may and may not pass."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.compress.quantization.equalise import (
    channel_ranges,
    equalisation,
    equalised,
    find_pairs,
)
from edgecv_cli.compress.quantization.plan import EqualisePlan
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ConfigError
from edgecv_cli.graph.topology import Topology

CHANNELS = 4
PASSED = {
    "nothing": [],
    "Relu": [("Relu", {})],
    "LeakyRelu": [("LeakyRelu", {"alpha": 0.2})],
    "MaxPool": [("Relu", {}), ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]})],
    "AveragePool": [("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]})],
    "GlobalAveragePool": [("GlobalAveragePool", {})],
    "PRelu": [("PRelu", {})],
    "Resize": [("Resize", {"mode": "nearest"})],
}
BARRED = ["Sigmoid", "Clip", "SiLU", "Add", "Concat", "output", "two readers", "shared weights"]


def weights(rng, out, inputs, groups=1, size=3):
    spread = rng.uniform(0.05, 4, (out, 1, 1, 1))
    return (spread * rng.normal(size=(out, inputs // groups, size, size))).astype(np.float32)


class Chain:
    """Conv, something in between, Conv, Conv."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.stored, self.outputs = [], [], ["y"]

    def store(self, name, value):
        self.stored.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def op(self, kind, inputs, out, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        return out

    def conv(self, data, out, inputs, channels, *, groups=1, weight=None):
        if weight is None:
            weight = self.store(f"{out}_w", weights(self.rng, channels, inputs, groups))
        bias = self.store(f"{out}_b", self.rng.normal(size=channels).astype(np.float32))
        return self.op("Conv", [data, weight, bias], out, pads=[1, 1, 1, 1], group=groups)

    def between(self, ops, data):
        for index, (kind, attributes) in enumerate(ops):
            inputs = [data]
            if kind == "PRelu":
                slope = self.rng.uniform(0.1, 1, (CHANNELS, 1, 1)).astype(np.float32)
                inputs.append(self.store("slope", slope))
            if kind == "Resize":
                scales = self.store("scales", np.asarray([1, 1, 2, 2], np.float32))
                inputs += ["", scales]
            data = self.op(kind, inputs, f"mid{index}", **attributes)
        return data

    def topology(self):
        shape = [1, 3, 8, 8]
        graph = helper.make_graph(
            self.nodes,
            "chain",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in self.outputs],
            self.stored,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        model.ir_version = 8
        return Topology.of(onnx.shape_inference.infer_shapes(model))


def allowed(name, seed=0, *, groups=1):
    chain = Chain(seed)
    first = chain.conv("x", "a", 3, CHANNELS)
    middle = chain.between(PASSED[name], first)
    second = chain.conv(middle, "b", CHANNELS, 2 * CHANNELS, groups=groups)
    chain.conv(second, "y", 2 * CHANNELS, 3)
    return chain.topology()


def barred(name):
    chain = Chain(0)
    first = chain.conv("x", "a", 3, CHANNELS)
    if name == "Sigmoid":
        middle = chain.op("Sigmoid", [first], "mid")
    elif name == "Clip":
        bounds = [chain.store(f"bound{v}", np.float32(v)) for v in (0, 6)]
        middle = chain.op("Clip", [first, *bounds], "mid")
    elif name == "SiLU":
        middle = chain.op("Mul", [first, chain.op("Sigmoid", [first], "gate")], "mid")
    elif name == "Add":
        middle = chain.op("Add", [first, chain.conv("x", "c", 3, CHANNELS)], "mid")
    elif name == "Concat":
        middle = chain.op("Concat", [first], "mid", axis=1)
    else:
        middle = chain.op("Relu", [first], "mid")
    weight = None
    if name == "shared weights":
        weight = chain.store("shared", weights(chain.rng, CHANNELS, CHANNELS))
        chain.outputs.append(chain.conv("a2", "z", CHANNELS, CHANNELS, weight=weight))
        chain.nodes.insert(1, helper.make_node("Sigmoid", ["a0"], ["a2"]))
        chain.conv("x", "a0", 3, CHANNELS)
        chain.nodes.insert(0, chain.nodes.pop())
    chain.conv(middle, "y", CHANNELS, CHANNELS, weight=weight)
    if name == "output":
        chain.outputs.append("mid")
    if name == "two readers":
        chain.outputs.append(chain.op("Abs", [middle], "z"))
    return chain.topology()


def run(topology, feed):
    session = onnxruntime.InferenceSession(
        topology.model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, feed)


def open_model(data):
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return lambda feed: session.run(None, dict(feed))


def images(count=3):
    rng = np.random.default_rng(7)
    return [{"x": rng.normal(size=(1, 3, 8, 8)).astype(np.float32)} for _ in range(count)]


def planned(topology):
    ranges = channel_ranges(topology, images(), open_model=open_model, context=Context())
    return equalisation(topology, ranges)


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(sorted(PASSED)),
    groups=st.sampled_from([1, 2, CHANNELS]),
    seed=st.integers(0, 99),
    observed=st.booleans(),
)
def test_an_equalised_graph_computes_the_same(name, groups, seed, observed):
    topology = allowed(name, seed, groups=groups)
    plans = planned(topology) if observed else equalisation(topology, {})
    feed = images(1)[0]

    wanted, found = (run(graph, feed)[0] for graph in (topology, equalised(topology, plans)))

    assert [(plan.producer, plan.consumer) for plan in plans] == [("a", "b"), ("b", "y")]
    assert any(abs(factor - 1) > 0.05 for plan in plans for factor in plan.factors)
    assert np.abs(found - wanted).max() <= 1e-4 * max(1, np.abs(wanted).max())


@pytest.mark.parametrize("name", BARRED)
def test_what_is_not_homogeneous_or_read_elsewhere_is_no_pair(name):
    topology = barred(name)

    assert ("a", "y") not in [(pair.producer, pair.consumer) for pair in find_pairs(topology)]


def test_the_channels_of_a_depthwise_input_become_alike():
    topology = allowed("Relu", groups=CHANNELS)
    after = equalised(topology, planned(topology))

    ranges = [
        channel_ranges(graph, images(), open_model=open_model, context=Context())["mid0"]
        for graph in (topology, after)
    ]
    spreads = [seen.max() / seen.min() for seen in ranges]
    assert spreads[0] > 3
    assert spreads[1] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    "change", [{"consumer": "y"}, {"factors": (1.0,)}, {"factors": (0.0, 1.0, 1.0, 1.0)}]
)
def test_a_plan_that_does_not_fit_is_refused(change):
    topology = allowed("Relu")
    told = {"producer": "a", "consumer": "b", "factors": (1.0,) * CHANNELS, **change}

    with pytest.raises(ConfigError, match="the plan equalises"):
        equalised(topology, [EqualisePlan(**told)])


def test_the_graph_that_was_given_is_left_alone():
    topology = allowed("Relu")
    before = topology.model.SerializeToString()

    equalised(topology, planned(topology))

    assert topology.model.SerializeToString() == before
