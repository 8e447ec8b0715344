"""Scenarios: how many queries are answered, and what is stated after them."""

from __future__ import annotations

from pathlib import Path

import pytest
from side_services import SideWorld

from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ChildFailureError
from edgecv_cli.measure.early_stopping import slower_allowed
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.scenarios import measure_scenario

MS = 1_000_000


def measured(world, scenario, *names, clock=None, **changes):
    asked = {"streams": None, "queries": None, "seconds": 1.0, **changes}
    return measure_scenario(
        [BenchRow(Path(f"{name}.onnx"), threads=2) for name in names],
        scenario,
        context=Context() if clock is None else Context(clock=clock),
        start=world.start,
        **asked,
    )


class Queries:
    """Queries of 1, 2, 3 ... ms, each a millisecond slower than the one before."""

    def __init__(self):
        self.done = {}

    def __call__(self, name, payload):
        first = self.done.get(name, 0)
        self.done[name] = first + payload["queries"]
        return {"ns": [(one + 1) * MS for one in range(first, self.done[name])]}


def network(ms, streams=1):
    return {"inference_ns": ms * MS, "streams": streams}


def test_one_picture_after_the_other_until_its_90th_percentile_can_be_stated():
    world = SideWorld(Queries(), a=network(100))

    (found,) = measured(world, "single-stream", "a")

    assert (found.scenario, found.percentile, found.confidence) == ("single-stream", 90, 0.99)
    assert (found.queries, found.queries_needed, found.established) == (64, 64, True)
    assert found.latency_ms == 64
    assert found.measured_ms == pytest.approx(57.7)
    assert (found.samples_per_query, found.streams) == (1, 1)


def test_eight_pictures_at_once_until_their_99th_percentile_can_be_stated():
    world = SideWorld(Queries(), a=network(100, streams=2))

    (found,) = measured(world, "multi-stream", "a")

    assert (found.percentile, found.samples_per_query, found.streams) == (99, 8, 2)
    assert found.queries == found.queries_needed == 662
    assert found.latency_ms == 662
    assert {payload["samples"] for payload in world.turns_of("a")} == {8}


@pytest.mark.parametrize(("streams", "used"), [(None, 2), (4, 4), (100, 8)])
def test_a_query_of_eight_has_at_most_eight_in_flight(streams, used):
    world = SideWorld(Queries(), a=network(100, streams=used))

    assert measured(world, "multi-stream", "a", streams=streams)[0].streams == used
    assert [payload["streams"] for _, method, payload in world.calls if method == "open"] == [used]


def test_a_fast_network_gets_all_its_seconds_and_drops_the_slowest():
    world = SideWorld(Queries(), a=network(1))

    (found,) = measured(world, "single-stream", "a", seconds=2.0)

    assert found.queries == 2000
    assert found.latency_ms == 2001 - slower_allowed(2000, 0.9)


def test_the_rows_take_turns_and_each_gets_enough():
    world = SideWorld(Queries(), fast=network(1), slow=network(250))

    fast, slow = measured(world, "single-stream", "fast", "slow")

    assert (fast.queries, slow.queries) == (1024, 64)
    assert len(world.turns_of("fast")) == len(world.turns_of("slow")) == 64


def test_as_many_queries_as_were_asked_for():
    world = SideWorld(Queries(), a=network(10))

    few, many = (measured(world, "single-stream", "a", queries=n)[0] for n in (63, 130))

    assert (few.queries, few.established, few.latency_ms) == (63, False, None)
    assert few.measured_ms == pytest.approx(56.8)
    assert few.queries_needed == 64
    assert (many.queries, many.established) == (130, True)


def test_when_the_time_is_up_the_percentile_stays_open():
    seconds = iter(range(0, 10_000, 10))
    world = SideWorld(Queries(), a=network(10_000))

    (found,) = measured(world, "single-stream", "a", clock=lambda: next(seconds) * 10**9)

    assert found.queries == 6  # of ten seconds each, in the 60 that one second allows
    assert (found.established, found.latency_ms, found.queries_needed) == (False, None, 64)


def test_a_row_that_can_not_be_opened_neither_counts_nor_holds_up_the_others():
    world = SideWorld(Queries(), a=network(100), b=network(1))
    crash = ChildFailureError("it crashed", remedy="try", reason="crashed")
    world.failures["b", "open"] = crash

    a, b = measured(world, "single-stream", "a", "b")

    assert b is crash
    assert a.queries == 64
