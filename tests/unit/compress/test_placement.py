"""Which nodes run in integers, and why the others do not."""

from __future__ import annotations

import pytest
from models import ssd, yolov8, yolox

from edgecv_cli.compress.quantization.placement import (
    distinct_placements,
    integer_share,
    place,
    stem_layers,
)
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.topology import Topology

BUILDERS = {"yolov8": yolov8, "yolox": yolox, "ssd": ssd}


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def topology(request):
    return Topology.of(normalise(BUILDERS[request.param]()))


def test_the_decode_tail_is_never_in_integers(topology):
    for placement in distinct_placements(topology):
        assert not set(place(topology, placement).nodes) & topology.tail


def test_each_layer_is_in_integers_or_has_a_reason(topology):
    for placement in distinct_placements(topology):
        chosen = place(topology, placement)
        for name in topology.layers:
            assert (name in chosen.nodes) != (name in chosen.reasons)


def test_all_leaves_no_convolution_float(topology):
    assert integer_share(topology, place(topology, "all").nodes) == 1.0


def test_last_leaves_exactly_the_heads_float(topology):
    assert set(place(topology, "last").reasons) == set(topology.heads)


def test_last2_adds_layers_that_feed_only_heads(topology):
    more = set(place(topology, "last2").reasons) - set(topology.heads)
    for name in more:
        below = set(topology.layers_below(name))
        assert below <= set(topology.heads)


def test_depthwise_layers_and_their_inputs_stay_float():
    topology = Topology.of(normalise(yolox()))
    depthwise = [layer for layer in topology.layers.values() if layer.depthwise]
    chosen = set(place(topology, "depthwise-float").nodes)
    assert depthwise
    for layer in depthwise:
        assert layer.name not in chosen
        assert not chosen & set(topology.layers_above(layer.data))


def test_distinct_placements_differ_and_hold_a_layer(topology):
    names = distinct_placements(topology)
    nodes = [place(topology, name).nodes for name in names]
    assert len(set(nodes)) == len(nodes)
    assert all(integer_share(topology, chosen) > 0 for chosen in nodes)


def test_glue_is_read_by_an_integer_node(topology):
    chosen = set(place(topology, "all").nodes)
    for name in chosen - set(topology.layers):
        readers = [
            reader
            for output in topology.nodes[name].output
            for reader in topology.consumers.get(output, [])
        ]
        assert chosen & set(readers)


def test_layers_and_nodes_given_back_stay_float_and_say_why(topology):
    whole = place(topology, "all")
    layer = next(iter(topology.layers))
    node = next(name for name in whole.nodes if name not in topology.layers)

    less = place(topology, "all", floats={layer: "costs too much"}, keep={node})

    assert {layer, node} <= set(whole.nodes)
    assert not {layer, node} & set(less.nodes)
    assert less.reasons[layer] == "costs too much"
    assert place(topology, "all", floats={}, keep=set()) == whole


def test_a_rule_keeps_its_own_reason_for_a_layer_that_is_also_given_back(topology):
    head = topology.heads[0]
    assert place(topology, "last", floats={head: "other"}).reasons[head] == "feeds the decode tail"


@pytest.mark.parametrize("glue", ["inputs", "residual"])
def test_between_layers_only_adds_of_a_layers_output_are_integer(topology, glue):
    for placement in distinct_placements(topology, glue=glue):
        for name in place(topology, placement, glue=glue).nodes:
            if name not in topology.layers:
                assert glue == "residual"
                assert topology.nodes[name].op_type == "Add"


def test_the_same_layers_are_integer_whatever_the_glue(topology):
    for placement in ("all", "last2-depthwise-float"):
        layers = [
            {
                name
                for name in place(topology, placement, glue=glue).nodes
                if name in topology.layers
            }
            for glue in ("ops", "inputs", "residual")
        ]
        assert layers[0] == layers[1] == layers[2]


def test_stem_layers_are_those_that_no_layer_comes_before(topology):
    stem = set(stem_layers(topology))
    assert stem
    for name, layer in topology.layers.items():
        assert (name in stem) == (not set(topology.layers_above(layer.data)))


def test_a_stem_can_be_float_in_every_placement(topology):
    floats = dict.fromkeys(stem_layers(topology), "told so")
    for placement in distinct_placements(topology):
        chosen = place(topology, placement, floats=floats)
        assert not set(floats) & set(chosen.nodes)
        assert set(floats) <= set(chosen.reasons)
