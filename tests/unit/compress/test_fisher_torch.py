"""Channels ranked by gradients: what nothing depends on counts for nothing."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from models import yolov8
from onnx import numpy_helper

from edgecv_cli.compress.pruning.analyse import analyse
from edgecv_cli.compress.pruning.fisher import fisher
from edgecv_cli.core.context import Context
from edgecv_cli.detector.recognise import recognise
from edgecv_cli.graph.inspect import read_facts
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.topology import Topology

pytest.importorskip("torch", reason="torch is not installed: pip install 'edgecv[train]'")

FEEDS = [
    {"images": np.random.default_rng(seed).random((1, 3, 64, 64), np.float32)} for seed in range(2)
]


def changed(model, name, value):
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(value, name))
    return copy


def importances(model, spec):
    flow = analyse(Topology.of(model))
    feeds = [{model.graph.input[0].name: next(iter(feed.values()))} for feed in FEEDS]
    return flow, fisher(flow, spec, feeds, Context())


@pytest.fixture(scope="module")
def detector():
    graph = yolov8()
    return normalise(graph), recognise(read_facts(graph)).spec


def test_a_channel_that_nothing_reads_counts_for_nothing_and_the_others_for_something(detector):
    model, spec = detector
    flow = analyse(Topology.of(model))
    group = next(one for one in flow.groups if len(one.units) > 1)
    unit = int(group.units[0])
    for name in group.consumers:
        layer = flow.topology.layers[name]
        weight = np.array(flow.topology.constants.value(layer.weight))
        weight[:, flow.channels[layer.data].labels == unit] = 0
        model = changed(model, layer.weight, weight)
    flow, found = importances(model, spec)
    assert found[unit] == 0
    assert (found[group.units[1:]] > 0).any()


def test_one_seed_gives_one_ranking(detector):
    first, again = (importances(*detector)[1] for _ in range(2))
    assert np.array_equal(first, again)
    assert np.isfinite(first).all()
