"""Which layers stay in integers, or are given back to float, together."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from models import fastestdet, nanodet_plus, ssd, yolov6_lite, yolov8, yolox
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.compress.quantization.groups import groups_of
from edgecv_cli.compress.quantization.placement import distinct_placements, place
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.topology import Topology

BUILDERS = (fastestdet, nanodet_plus, ssd, yolov6_lite, yolov8, yolox)
CHANNELS = 4


def conv(data, output, *, depthwise=False):
    groups = CHANNELS if depthwise else 1
    return helper.make_node("Conv", [data, "d" if depthwise else "w"], [output], group=groups)


def net(*nodes, output):
    rng = np.random.default_rng(0)
    stored = {"w": (CHANNELS, CHANNELS, 1, 1), "d": (CHANNELS, 1, 1, 1)}
    shape = [1, CHANNELS, 8, 8]
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_empty_tensor_value_info(output)],
        [
            numpy_helper.from_array(rng.normal(size=size).astype(np.float32), name)
            for name, size in stored.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model)
    model.graph.output[0].CopyFrom(inferred.graph.output[0])
    return Topology(model, Topology.of(inferred).shapes)


def layers_of(topology, nodes=None):
    return [set(group.layers) for group in groups_of(topology, nodes or topology.nodes)]


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_every_integer_layer_is_in_one_group(build):
    topology = Topology.of(normalise(build()))
    for placement in distinct_placements(topology):
        nodes = place(topology, placement).nodes
        groups = groups_of(topology, nodes)
        found = [name for group in groups for name in group.layers]
        assert sorted(found) == sorted(name for name in nodes if name in topology.layers)
        owned = [name for group in groups for name in group.nodes]
        assert sorted(owned) == sorted(nodes)
        assert sum(group.macs for group in groups) == sum(topology.layers[n].macs for n in found)
        assert groups == groups_of(topology, reversed(nodes))


def test_no_group_swallows_a_network():
    topology = Topology.of(normalise(yolov8()))
    groups = groups_of(topology, place(topology, "all").nodes)
    assert max(len(group.layers) for group in groups) <= 4 < len(groups)


def test_a_depthwise_layer_is_with_its_neighbours_but_a_chain_is_not_one_group():
    topology = net(
        conv("x", "a"),
        helper.make_node("Relu", ["a"], ["ar"]),
        conv("ar", "b", depthwise=True),
        conv("b", "c"),
        conv("c", "e", depthwise=True),
        conv("e", "f"),
        conv("f", "g"),
        output="g",
    )
    assert layers_of(topology) == [{"a", "b"}, {"c", "e", "f"}, {"g"}]
    first, second, third = groups_of(topology, topology.nodes)
    assert first.nodes == ("a", "ar", "b")
    assert (first.kind, first.depthwise) == ("depthwise", True)
    assert (third.kind, third.depthwise) == ("layer", False)
    assert second.name == "c and 2 more"


def test_a_float_layer_ties_nothing():
    topology = net(conv("x", "a"), conv("a", "b", depthwise=True), conv("b", "c"), output="c")
    assert layers_of(topology, ["a", "c"]) == [{"a"}, {"c"}]


def test_a_residual_trunk_is_not_one_group():
    topology = net(
        conv("x", "a"),
        conv("x", "b"),
        helper.make_node("Add", ["a", "b"], ["s"]),
        conv("s", "c"),
        helper.make_node("Add", ["s", "c"], ["t"]),
        conv("t", "e"),
        helper.make_node("Add", ["t", "e"], ["u"]),
        conv("u", "f"),
        output="f",
    )
    groups = groups_of(topology, topology.nodes)
    assert [group.layers for group in groups] == [("a", "b"), ("c",), ("e",), ("f",)]
    assert groups[0].kind == "add"
    assert groups[1].nodes == ("c", "t")


def test_a_gate_belongs_to_the_layer_that_it_weighs():
    topology = net(
        conv("x", "a"),
        helper.make_node("GlobalAveragePool", ["a"], ["m"]),
        conv("m", "b"),
        helper.make_node("Sigmoid", ["b"], ["g"]),
        helper.make_node("Mul", ["a", "g"], ["p"]),
        conv("p", "c"),
        output="c",
    )
    assert layers_of(topology) == [{"a", "b"}, {"c"}]
    assert groups_of(topology, topology.nodes)[0].kind == "gate"


def test_a_concat_of_two_layers_ties_them_and_of_more_does_not():
    two = net(
        conv("x", "a"),
        conv("x", "b"),
        helper.make_node("Concat", ["a", "b"], ["p"], axis=1),
        output="p",
    )
    three = net(
        conv("x", "a"),
        conv("x", "b"),
        conv("x", "c"),
        helper.make_node("Concat", ["a", "b", "c"], ["p"], axis=1),
        output="p",
    )
    assert layers_of(two) == [{"a", "b"}]
    assert layers_of(three) == [{"a"}, {"b"}, {"c"}]
