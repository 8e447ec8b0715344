"""Channels leave together: the smaller graph computes what the masked whole one does."""

from __future__ import annotations

from pathlib import Path

import models
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.compress.pruning.analyse import analyse
from edgecv_cli.compress.pruning.cut import cut
from edgecv_cli.compress.pruning.labels import LabelSets
from edgecv_cli.graph.io import load_model
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.shuffle import with_gathered_shuffles
from edgecv_cli.graph.topology import Topology

REAL = Path(__file__).parents[4] / "shared/models"


class Net:
    """Builds a small network layer by layer, with seeded weights."""

    def __init__(self, channels=4, side=8):
        self.nodes, self.stored = [], []
        self.rng = np.random.default_rng(1)
        self.input = [1, channels, side, side]

    def store(self, value):
        name = f"k{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weight(self, *shape):
        return self.store(self.rng.normal(0, 0.5, shape).astype(np.float32))

    def add(self, op, inputs, output, **attributes):
        names = [one if isinstance(one, str) else self.store(one) for one in inputs]
        outputs = output if isinstance(output, list) else [output]
        self.nodes.append(helper.make_node(op, names, outputs, **attributes))
        return output

    def conv(self, data, output, wide, out, *, kernel=3, group=1, bias=True, op="Conv"):
        shape = (out, wide // group) if op == "Conv" else (wide, out // group)
        inputs = [data, self.weight(*shape, kernel, kernel)]
        if bias:
            inputs.append(self.weight(out))
        pads = [kernel // 2] * 4
        return self.add(op, inputs, output, pads=pads, group=group)

    def topology(self, output="y"):
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.input)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.stored,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        onnx.checker.check_model(model, full_check=True)
        return Topology.of(with_gathered_shuffles(model))


def residual(net):
    net.conv("x", "a", 4, 16)
    net.add("Relu", ["a"], "ar")
    net.conv("ar", "b", 16, 16)
    net.add("Add", ["b", "ar"], "s")
    net.conv("s", "y", 16, 5, kernel=1)


def depthwise(net):
    net.conv("x", "a", 4, 12)
    net.add("Clip", ["a", np.float32(0), np.float32(6)], "ar")
    net.conv("ar", "d", 12, 24, group=12)
    net.add("Sigmoid", ["d"], "ds")
    net.add("Mul", ["d", "ds"], "dm")
    net.conv("dm", "y", 24, 5, kernel=1)


def branches(net):
    net.conv("x", "a", 4, 16, bias=False)
    net.add("Split", ["a", np.asarray([6, 10])], ["p", "q"], axis=1)
    net.conv("p", "b", 6, 8)
    net.add("MaxPool", ["q"], "qm", kernel_shape=[3, 3], pads=[1] * 4)
    net.add("Concat", ["b", "qm", "p"], "c", axis=1)
    net.conv("c", "y", 24, 5, kernel=1)


def squeeze_excite(net):
    net.conv("x", "a", 4, 16)
    net.add("GlobalAveragePool", ["a"], "g")
    net.conv("g", "r", 16, 8, kernel=1)
    net.add("Relu", ["r"], "rr")
    net.conv("rr", "e", 8, 16, kernel=1)
    net.add("HardSigmoid", ["e"], "h")
    net.add("Mul", ["a", "h"], "m")
    net.conv("m", "y", 16, 5)


def sliced(net):
    net.conv("x", "a", 4, 16)
    net.add("Slice", ["a", np.asarray([0]), np.asarray([7]), np.asarray([1])], "p")
    every_third = [np.asarray([15]), np.asarray([0]), np.asarray([1]), np.asarray([-3])]
    net.add("Slice", ["a", *every_third], "q")
    net.add("Gather", ["a", np.asarray([3, -1, 3, 0])], "g", axis=1)
    net.add("Concat", ["p", "q", "g"], "c", axis=1)
    net.conv("c", "y", 16, 5, kernel=1)


def upsampled(net):
    net.conv("x", "a", 4, 16)
    net.add("Resize", ["a", "", "", np.asarray([1, 16, 16, 16])], "u", mode="nearest")
    net.conv("u", "t", 16, 12, op="ConvTranspose")
    net.conv("t", "td", 12, 12, group=12, op="ConvTranspose")
    net.add("Mul", ["td", net.weight(1, 12, 1, 1)], "m")
    net.add("Add", ["m", net.weight(12, 1, 1)], "n")
    net.conv("n", "y", 12, 5)


def grouped(net):
    net.conv("x", "a", 4, 16)
    net.conv("a", "b", 16, 24, group=4)
    net.add("PRelu", ["b", net.weight(24, 1, 1)], "p")
    net.conv("p", "y", 24, 5, kernel=1)


def shuffled(net):
    net.conv("x", "a", 4, 16)
    net.add("Reshape", ["a", np.asarray([1, 2, 8, 8, 8])], "r")
    net.add("Transpose", ["r"], "t", perm=[0, 2, 1, 3, 4])
    net.add("Reshape", ["t", np.asarray([1, 16, 8, 8])], "s")
    net.add("Split", ["s", np.asarray([8, 8])], ["p", "q"], axis=1)
    net.conv("p", "b", 8, 8)
    net.add("Concat", ["b", "q"], "c", axis=1)
    net.conv("c", "y", 16, 5, kernel=1)


def flattened(net):
    net.conv("x", "a", 4, 16)
    net.add("Relu", ["a"], "r")
    net.add("Reshape", ["r", np.asarray([1, 16 * 64])], "f")
    net.add("Gemm", ["f", net.weight(10, 16 * 64), net.weight(10)], "g", transB=1)
    net.add("Relu", ["g"], "gr")
    net.add("Gemm", ["gr", net.weight(10, 5)], "y")


def tokens(net):
    net.conv("x", "a", 4, 16)
    net.add("Reshape", ["a", np.asarray([1, 16, -1])], "r")
    net.add("Transpose", ["r"], "t", perm=[0, 2, 1])
    net.add("MatMul", ["t", net.weight(16, 12)], "m")
    net.add("Add", ["m", net.weight(12)], "b")
    net.add("Relu", ["b"], "br")
    net.add("ReduceMean", ["br"], "mean", axes=[1], keepdims=0)
    net.add("Gemm", ["mean", net.weight(12, 5)], "y")


def normalised(net):
    net.conv("x", "a", 4, 16)
    net.add("InstanceNormalization", ["a", net.weight(16), net.weight(16)], "n", epsilon=1e-5)
    net.add("Pad", ["n", np.asarray([0, 0, 1, 1, 0, 0, 1, 1])], "p")
    net.add("AveragePool", ["p"], "v", kernel_shape=[3, 3])
    net.conv("v", "y", 16, 5)


BUILDERS = (
    residual, depthwise, branches, squeeze_excite, sliced, upsampled, grouped, shuffled, flattened,
    tokens, normalised,
)  # fmt: skip


def run(model, feed):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feed)


def masked(flow, removed):
    """Return the whole graph with what the removed channels are multiplied with set to zero.

    Zeroing what makes a channel would not do: a bias, or sigmoid(0), would be left of it.
    """
    topology = flow.topology
    model = onnx.ModelProto()
    model.CopyFrom(topology.model)
    for node in model.graph.node:
        layer = topology.layers.get(node.output[0])
        dead = None if layer is None else flow.channels.get(layer.data)
        if layer is None or dead is None or layer.depthwise:
            continue
        weight = topology.constants.value(layer.weight).copy()
        gone = np.isin(dead.labels, sorted(removed))
        if layer.op == "Conv":
            groups = len(gone) // weight.shape[1]
            for number, part in enumerate(np.split(gone, groups)):
                rows = len(weight) // groups
                weight[number * rows : (number + 1) * rows, part] = 0
        elif layer.op == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute):
            weight[:, gone] = 0
        elif dead.axis == 1 or layer.op == "MatMul":
            weight[gone] = 0
        name = f"{node.output[0]}_masked"
        model.graph.initializer.append(numpy_helper.from_array(weight, name))
        node.input[1] = name
    return model


def drawn(flow, rng, share=0.4):
    """Draw a part of each group's units."""
    removed = []
    for group in flow.groups:
        count = int(share * len(group.units))
        removed += [int(unit) for unit in rng.choice(group.units, count, replace=False)]
    return flow.survivable(removed)


def assert_same(flow, removed, seed=0, tolerance=1e-5):
    smaller, whole = cut(flow, removed), masked(flow, removed)
    onnx.checker.check_model(smaller, full_check=True)
    rng = np.random.default_rng(seed)
    feed = {}
    for value in flow.topology.model.graph.input:
        shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        feed[value.name] = rng.random(shape, np.float32)
    for expected, got in zip(run(whole, feed), run(smaller, feed), strict=True):
        assert got.shape == expected.shape
        assert np.abs(got - expected).max() <= tolerance * max(1.0, np.abs(expected).max())
    return smaller


@pytest.mark.parametrize("build", BUILDERS, ids=lambda one: one.__name__)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_what_stays_computes_as_before(build, seed):
    net = Net()
    build(net)
    flow = analyse(net.topology())
    removed = drawn(flow, np.random.default_rng(seed))
    smaller = assert_same(flow, removed, seed)
    assert removed
    assert smaller.ByteSize() < flow.topology.model.ByteSize()
    assert flow.macs(removed) < flow.macs(())


@pytest.mark.parametrize("build", BUILDERS, ids=lambda one: one.__name__)
def test_the_mask_is_no_test_without_teeth(build):
    """Channels that leave matter: the masked graph is not the whole one."""
    net = Net()
    build(net)
    flow = analyse(net.topology())
    removed = drawn(flow, np.random.default_rng(3))
    feed = {"x": np.random.default_rng(0).random(net.input, np.float32)}
    whole, dead = run(flow.topology.model, feed)[0], run(masked(flow, removed), feed)[0]
    assert np.abs(whole - dead).max() > 1e-3 * np.abs(whole).max()


def test_outputs_and_inputs_stay_whole():
    net = Net()
    residual(net)
    flow = analyse(net.topology())
    assert flow.kept_because["y"]
    assert flow.macs(()) == sum(layer.macs for layer in flow.topology.layers.values())
    assert {name for group in flow.groups for name in group.producers} == {"a", "b"}
    assert len(flow.groups) == 1  # the addition ties both


def test_what_has_no_rule_keeps_its_channels():
    net = Net()
    net.conv("x", "a", 4, 16)
    net.add("LpNormalization", ["a"], "n", axis=1)
    net.conv("n", "y", 16, 5)
    flow = analyse(net.topology())
    assert not flow.groups
    assert "LpNormalization" in flow.kept_because["a"]


def test_frozen_or_last_channels_are_not_cut():
    net = Net()
    branches(net)
    flow = analyse(net.topology())
    with pytest.raises(ValueError, match="have to stay"):
        cut(flow, {int(flow.made_by["y"][0])})
    every = {int(unit) for group in flow.groups for unit in group.units}
    with pytest.raises(ValueError, match="no channel"):
        cut(flow, every)
    assert_same(flow, flow.survivable(every))


def test_a_cut_is_the_same_byte_for_byte():
    net = Net()
    shuffled(net)
    flow = analyse(net.topology())
    removed = drawn(flow, np.random.default_rng(5))
    assert cut(flow, removed).SerializeToString() == cut(flow, removed).SerializeToString()


def test_joined_labels_share_one_fate():
    sets = LabelSets()
    a, b, c = sets.new(2), sets.new(2), sets.new(1)
    sets.join(a, b)
    assert sets.root(int(b[0])) == int(a[0])
    sets.freeze(b[:1])
    assert sets.is_frozen(sets.root(int(a[0])))
    assert not sets.is_frozen(sets.root(int(a[1])))
    sets.join(c, a[1:])
    assert not sets.is_frozen(sets.root(int(c[0])))


@pytest.mark.parametrize("build", [models.yolov8, models.yolox, models.ssd, models.nanodet_plus])
def test_whole_detectors(build):
    flow = analyse(Topology.of(with_gathered_shuffles(normalise(build()))))
    assert flow.groups
    assert_same(flow, drawn(flow, np.random.default_rng(0)))


@pytest.mark.real
@pytest.mark.parametrize(
    "name",
    ["yolov8n_640", "ssd_mobilenet_v1_300", "nanodet_plus_m_416", "yolox_nano_416",
     "fastestdet_352", "yolov6lite_s_320"],
)  # fmt: skip
def test_real_detectors(name):
    path = REAL / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    flow = analyse(Topology.of(with_gathered_shuffles(normalise(load_model(path)))))
    assert len(flow.groups) > 10
    assert_same(flow, drawn(flow, np.random.default_rng(0)))
