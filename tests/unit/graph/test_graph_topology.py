"""Who feeds whom."""

from __future__ import annotations

import models
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.topology import Topology


def diamond() -> Topology:
    """x -> a -> relu -> (depthwise b, c) -> add -> d -> sigmoid -> y."""
    rng = np.random.default_rng(0)
    shapes = {"wa": (4, 3, 1, 1), "wb": (8, 1, 3, 3), "wc": (8, 4, 1, 1), "wd": (2, 8, 1, 1)}
    stored = [
        numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    stored.append(numpy_helper.from_array(np.zeros(2, np.float32), "bias"))
    nodes = [
        helper.make_node("Conv", ["x", "wa"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Conv", ["r", "wb"], ["b"], group=4, pads=[1] * 4),
        helper.make_node("Conv", ["r", "wc"], ["c"]),
        helper.make_node("Add", ["b", "c"], ["s"]),
        helper.make_node("Conv", ["s", "wd", "bias"], ["d"]),
        helper.make_node("Sigmoid", ["d"], ["y"]),
    ]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 8, 8])
    graph = helper.make_graph(nodes, "net", [image], [out], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return Topology.of(model)


@pytest.fixture(scope="module")
def net() -> Topology:
    return diamond()


def test_layers_in_graph_order(net):
    assert list(net.layers) == ["a", "b", "c", "d"]
    assert net.heads == ("d",)
    assert net.tail == {"y"}
    assert net.graph_outputs == {"y"}


def test_what_a_layer_is(net):
    a, b, d = net.layers["a"], net.layers["b"], net.layers["d"]

    assert (a.op, a.data, a.weight, a.bias, a.macs) == ("Conv", "x", "wa", None, 64 * 4 * 3)
    assert (b.depthwise, b.macs) == (True, 64 * 8 * 9)
    assert not a.depthwise
    assert d.bias == "bias"


def test_neighbours(net):
    assert net.producer["s"] == "s"
    assert net.consumers["r"] == ["b", "c"]
    assert net.activations("s") == ["b", "c"]
    assert net.activations("d") == ["s"]
    assert net.elements("s") == 8 * 64
    assert net.elements("nothing") is None


def test_layers_above_and_below_look_through_other_operators(net):
    assert sorted(net.layers_above("s")) == ["b", "c"]
    assert sorted(net.layers_above("r")) == ["a"]
    assert list(net.layers_above("x")) == []
    assert sorted(net.layers_below("a")) == ["b", "c"]
    assert list(net.layers_below("b")) == ["d"]
    assert list(net.layers_below("d")) == [""]


@pytest.mark.parametrize("build", [models.yolov8, models.yolox, models.ssd])
def test_every_layer_of_a_detector_leads_to_its_heads(build):
    net = Topology.of(normalise(build()))

    assert set(net.heads) <= set(net.layers)
    assert not net.tail & set(net.layers)
    for name in net.layers:
        below = set(net.layers_below(name))
        assert below
        assert ("" in below) == (name in net.heads)
