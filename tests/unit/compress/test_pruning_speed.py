"""A budget of time or weights: what layers cost, and how far to go for a speed."""

from __future__ import annotations

import models
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.compress.pruning.allocate import Way, by_macs, by_parameters, part_of, way_of
from edgecv_cli.compress.pruning.analyse import analyse
from edgecv_cli.compress.pruning.curves import Curve, strides
from edgecv_cli.compress.pruning.cut import cut
from edgecv_cli.compress.pruning.layer_times import LayerTimes, layer_model, layer_times
from edgecv_cli.core.context import Context
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.shuffle import with_gathered_shuffles
from edgecv_cli.graph.topology import Topology
from edgecv_cli.measure.latency_result import SpeedResult
from edgecv_cli.stages.prune_speed import SpeedNotReachedError, reach


@pytest.fixture(scope="module")
def flow():
    return analyse(Topology.of(with_gathered_shuffles(normalise(models.yolov8()))))


@pytest.fixture(scope="module")
def curves(flow):
    cap = [group.units[: len(group.units) // 2] for group in flow.groups]
    return [
        Curve(group, units, np.arange(1.0, len(units) + 1))
        for group, units in zip(flow.groups, cap, strict=True)
    ]


@given(st.integers(1, 200), st.integers(0, 200), st.integers(1, 16))
def test_what_stays_is_a_multiple_of_the_step(units, most, step):
    sizes = strides(units, min(most, units), step)
    assert sum(sizes) <= min(most, units)
    assert all(one > 0 for one in sizes)
    for gone in np.cumsum(sizes):
        assert (units - gone) % step == 0
    if min(most, units) >= step:
        assert sizes


def test_prices_are_those_of_the_smaller_graph(flow, curves):
    way = way_of(flow, curves, step=1)
    removed = flow.survivable(way.removed(len(way.steps) // 2))
    smaller = Topology.of(cut(flow, removed))

    def weights(topology):
        return sum(topology.elements(layer.weight) for layer in topology.layers.values())

    expected = weights(smaller) / weights(flow.topology)
    assert part_of(flow, by_parameters(flow), removed) == pytest.approx(expected)
    expected = flow.macs(removed) / flow.macs(())
    assert part_of(flow, by_macs(flow), removed) == pytest.approx(expected, rel=1e-4)
    assert way.left[len(way.steps) // 2 - 1] == pytest.approx(expected, rel=0.05)


def test_a_way_meets_every_budget_by_its_first_steps(flow, curves):
    way = way_of(flow, curves, step=1)
    assert list(way.left) == sorted(way.left, reverse=True)
    assert list(way.damage) == sorted(way.damage)
    for count in (3, 7):
        share = (way.left[count - 1] + way.left[count - 2]) / 2
        assert way.reaching(share) == count
    assert way.reaching(0) == len(way.steps)


def test_a_budget_is_not_overshot_by_a_step_that_saves_too_much(flow):
    whole, tiny = (
        max(flow.groups, key=lambda one: flow.macs(()) - flow.macs(one.units[:2])),
        min(flow.groups, key=lambda one: flow.macs(()) - flow.macs(one.units[:2])),
    )
    great, small = (1 - flow.macs(one.units[:2]) / flow.macs(()) for one in (whole, tiny))
    # The great step is cheaper for what it saves, and dearer for what is needed.
    harms = (1.0, 2 * small / great)
    curves = [
        Curve(group, group.units[:2], np.asarray([harm / 2, harm]))
        for group, harm in zip((whole, tiny), harms, strict=True)
    ]
    assert way_of(flow, curves, step=2, until=1 - great).steps[0] == tuple(whole.units[:2])
    assert way_of(flow, curves, step=2, until=1 - small).steps[0] == tuple(tiny.units[:2])


def test_times_between_widths_are_interpolated():
    table = np.asarray([[[1.0, 2, 3], [2, 4, 6], [3, 6, 9]]])
    times = LayerTimes(np.asarray([0.5, 0.75, 1.0]), table)
    for makes, reads, expected in (
        (1, 1, 9), (0.5, 0.5, 1), (0.75, 1, 6), (0.875, 1, 7.5), (0.625, 0.625, 2.25), (0.1, 1, 3),
    ):  # fmt: skip
        assert times(np.asarray([[makes], [reads]]))[0] == pytest.approx(expected)


def test_every_layer_is_timed_with_its_activation(flow, tmp_path):
    topology = flow.topology
    found = layer_times(flow, cap=0.5, step=2, threads=1, folder=tmp_path, context=Context())
    assert found.table.shape == (len(topology.layers), 3, 3)
    assert (found.table > 0).all()
    layer = next(one for one in topology.layers.values() if topology.consumers[one.name])
    model = layer_model(topology, layer, 4, 3, np.random.default_rng(0))
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model, strict_mode=True))
    weight = model.graph.initializer[0].dims
    assert list(weight[:2]) == [4, 3]
    after = {topology.nodes[name].op_type for name in topology.consumers[layer.name]}
    assert after <= {node.op_type for node in model.graph.node}


class Clock:
    """Times cuts without a clock: ``speed`` of so many steps."""

    def __init__(self, speed):
        self.speed, self.asked = speed, []

    def __call__(self, steps):
        self.asked.append(steps)
        ratio = self.speed(steps)
        blank = {"p50_ms": 1, "p90_ms": 1, "p95_ms": 1, "p99_ms": 1, "mean_ms": 1, "samples": 1}
        return SpeedResult.model_construct(
            ratio=ratio, low=ratio, high=ratio, baseline=blank, candidate=blank, rounds=1
        )


WAY = Way(
    tuple((unit,) for unit in range(40)),
    tuple(1 - 0.0125 * (place + 1) for place in range(40)),
    tuple(range(40)),
)


@pytest.mark.parametrize("pays", [0.4, 0.7, 1.0, 1.3])
@pytest.mark.parametrize("target", [1.05, 1.15])
def test_the_mildest_cut_that_is_fast_enough_is_found(pays, target):
    clock = Clock(lambda steps: 1 / (1 - pays * 0.0125 * steps))
    best, tries = reach(WAY, target, clock)
    assert clock.speed(best.steps) >= target
    assert clock.speed(best.steps - 1) < target * 1.02
    assert [one.steps for one in tries] == clock.asked
    assert len(set(clock.asked)) == len(clock.asked) <= 7


@pytest.mark.parametrize("speed", [lambda steps: 1 + 0.002 * steps, lambda _steps: 0.9])
def test_a_speed_out_of_reach_is_said_after_the_whole_way(speed):
    clock = Clock(speed)
    with pytest.raises(SpeedNotReachedError) as caught:
        reach(WAY, 1.5, clock)
    assert 40 in clock.asked
    assert caught.value.nearest.speed.ratio == max(speed(steps) for steps in clock.asked)
