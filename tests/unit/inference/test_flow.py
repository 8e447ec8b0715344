"""Reading, working and using side by side, as a plain loop would in turn."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecv_cli.core.context import Cancel
from edgecv_cli.core.errors import InterruptedByUser
from edgecv_cli.inference.flow import Flow

SOON = 10.0  # seconds after which a test gives up on something that was to happen


class BrokenError(Exception):
    """Raised on purpose."""


def threads() -> int:
    return sum(thread.name.startswith("edgecv-") for thread in threading.enumerate())


def numbers(count: int, fails_at: int | None) -> Iterator[int]:
    for number in range(count):
        if number == fails_at:
            raise BrokenError("reading")
        yield number


class Shuffled:
    """Lanes that finish in an order drawn beforehand, as far as the rooms between allow."""

    def __init__(self, lanes: int, pauses: list[int], fails_at: int | None) -> None:
        self.inside = [0] * lanes
        self._pauses, self._fails_at = pauses, fails_at

    def lane(self, index: int) -> Callable[[int], int]:
        def work(number: int) -> int:
            self.inside[index] += 1
            assert self.inside[index] == 1  # one thread a lane
            for _ in range(self._pauses[number % len(self._pauses)]):
                threading.Event().wait(0.0005)
            self.inside[index] -= 1
            if number == self._fails_at:
                raise BrokenError("working")
            return number * number

        return work


PLACES = st.none() | st.integers(0, 25)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 25), lanes=st.integers(1, 4), depth=st.integers(1, 3),
    pauses=st.lists(st.integers(0, 3), min_size=1, max_size=7),
    reading=PLACES, working=PLACES, using=PLACES, leaving=PLACES, cancelling=PLACES,
)  # fmt: skip
def test_it_gives_and_fails_like_a_plain_loop(
    count, lanes, depth, pauses, reading, working, using, leaving, cancelling
):
    def run(results, cancel):
        """Return what was used, and how it ended."""
        used = []
        try:
            for result in results:
                used.append(result)
                if len(used) - 1 == using:
                    raise BrokenError("using")
                if len(used) - 1 == leaving:
                    return used, "left"
                if len(used) - 1 == cancelling:
                    cancel.set()
        except (BrokenError, InterruptedByUser) as error:
            return used, str(error)
        return used, "done"

    def plain(cancel):
        for number in numbers(count, reading):
            if number == working:
                raise BrokenError("working")
            yield number * number
            cancel.check()
        cancel.check()

    cancel = Cancel()
    work = Shuffled(lanes, pauses, working)
    each = [work.lane(index) for index in range(lanes)]
    with Flow(numbers(count, reading), each, depth=depth, cancel=cancel) as flow:
        found = run(flow, cancel)

    stopped = Cancel()
    assert found == run(plain(stopped), stopped)
    assert threads() == 0


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("depth", [1, 4])
def test_nobody_runs_far_ahead_of_who_uses_the_results(lanes, depth):
    read, worked = [], []
    full = threading.Event()
    most = 1 + lanes + 2 * depth + 1  # one used; in the lanes, in both rooms, in the reader's hand

    def endless() -> Iterator[int]:
        for number in itertools.count():
            read.append(number)
            if len(read) == most:
                full.set()
            yield number

    with Flow(endless(), [worked.append] * lanes, depth=depth) as flow:
        next(iter(flow))
        assert full.wait(SOON)
        for _ in range(20):
            threading.Event().wait(0.001)
        assert len(read) == most
        assert len(worked) <= 1 + lanes + depth
    assert threads() == 0


def test_nothing_is_read_before_a_lane_asks_for_it():
    asked, go_on = [], threading.Event()

    def camera() -> Iterator[int]:
        for number in range(4):
            asked.append(number)
            yield number

    def lane(number: int) -> int:
        assert go_on.wait(SOON)
        return number

    with Flow(camera(), [lane], on_demand=True) as flow:
        threading.Event().wait(0.05)
        assert asked == [0]
        go_on.set()
        assert list(flow) == [0, 1, 2, 3]
    assert threads() == 0


def test_no_result_grows_old_behind_the_lanes_where_they_ask():
    worked = []

    with Flow(iter(range(50)), [worked.append], on_demand=True) as flow:
        results = iter(flow)
        next(results)
        threading.Event().wait(0.05)
        assert len(worked) <= 2
        list(results)
    assert len(worked) == 50


def test_what_reading_waits_for_is_stopped_at_the_end():
    quiet = threading.Event()

    def camera() -> Iterator[int]:
        yield 1
        assert quiet.wait(SOON)

    with Flow(camera(), [str], on_demand=True, stop=quiet.set) as flow:
        assert next(iter(flow)) == "1"
    assert threads() == 0


def test_cancelling_is_noticed_while_a_source_gives_nothing():
    cancel, quiet = Cancel(), threading.Event()

    def dead() -> Iterator[int]:
        yield 1
        quiet.wait(SOON)

    with Flow(dead(), [str], cancel=cancel) as flow:
        results = iter(flow)
        assert next(results) == "1"
        cancel.set()
        with pytest.raises(InterruptedByUser):
            next(results)
        quiet.set()
    assert threads() == 0


def test_leaving_closes_the_source_in_the_thread_that_read_it():
    closed = []

    def endless() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append(threading.current_thread().name)

    with Flow(endless(), [str]) as flow:
        next(iter(flow))
    assert closed == ["edgecv-reader"]


def test_times_come_from_the_clock():
    ticks = itertools.count(0, 1_000_000)
    with Flow([1, 2, 3], [str], clock=lambda: next(ticks)) as flow:
        assert list(flow) == ["1", "2", "3"]
    assert flow.read.count == flow.used.count == 3
    assert flow.read.total_ns >= 3_000_000


def test_a_thread_that_can_not_start_leaves_none_behind(monkeypatch):
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "edgecv-lane-1":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start"), Flow(itertools.count(), [str, str]):
        pass
    assert threads() == 0
