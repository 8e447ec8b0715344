"""Rows that take turns, with processes that only pretend to measure."""

from __future__ import annotations

from pathlib import Path

import pytest
from side_services import SideWorld

from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ChildFailureError, InterruptedByUser, UsageError
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.side_child import share_rounds, take_turns

CRASH = ChildFailureError("running b: the process crashed", remedy="try", reason="crashed")


def rows(*names):
    return [BenchRow(Path(f"{name}.onnx"), threads=3) for name in names]


def world(**opened):
    return SideWorld(
        lambda name, payload: {"of": name, **payload}, **(opened or {"a": {}, "b": {}})
    )


def taken(world, *names, count=4, at_most=float("inf"), context=None, payloads=None):
    return take_turns(
        rows(*names),
        "service",
        payloads or [{}] * len(names),
        lambda opened: (count, [{"n": one.get("n", 0)} for one in opened]),
        name="work",
        context=context or Context(),
        at_most=at_most,
        start=world.start,
    )


def test_every_row_is_opened_once_and_has_all_turns_in_random_order():
    world_ = world(a={"n": 1}, b={"n": 2})

    sides = taken(world_, "a", "b", count=20, payloads=[{"extra": 5}, {"extra": 6}])

    assert [side.opened for side in sides] == [{"n": 1}, {"n": 2}]
    assert [one["extra"] for _, method, one in world_.calls if method == "open"] == [5, 6]
    assert sides[0].turns == [{"of": "a", "n": 1}] * 20
    assert sides[1].turns == [{"of": "b", "n": 2}] * 20
    turns = [name for name, method, _ in world_.calls if method == "turn"]
    assert {tuple(turns[i : i + 2]) for i in range(0, 40, 2)} == {("a", "b"), ("b", "a")}
    assert not world_.running


def test_a_service_is_told_the_row(tmp_path):
    world_ = world()
    taken(world_, "a")

    ((_, _, asked),) = [call for call in world_.calls if call[1] == "open"]
    assert asked == {
        "model": str(Path("a.onnx").absolute()), "engine": "onnxruntime", "threads": 3,
        "affinity": None, "spec": None, "input_size": None, "seed": 0,
    }  # fmt: skip


@pytest.mark.parametrize("method", ["start", "open", "turn"])
def test_a_row_that_fails_stays_out_and_the_others_go_on(method):
    world_ = world()
    world_.failures["b", method] = CRASH

    a, b = taken(world_, "a", "b")

    assert b.failure is CRASH
    assert b.turns == []
    assert a.failure is None
    assert len(a.turns) == 4
    assert len(world_.turns_of("b")) == (method == "turn")


@pytest.mark.parametrize(
    "error", [UsageError("no such core", remedy="choose"), InterruptedByUser()]
)
@pytest.mark.parametrize("method", ["start", "open", "turn"])
def test_what_the_user_asked_for_wrongly_ends_it_all(method, error):
    world_ = world()
    world_.failures["a", method] = error

    with pytest.raises(type(error)):
        taken(world_, "a", "b")
    assert not world_.running


def test_no_round_begins_after_the_time_is_up():
    seconds = iter(range(100))
    context = Context(clock=lambda: next(seconds) * 10**9)

    a, b = taken(world(), "a", "b", count=50, at_most=2.5, context=context)

    assert len(a.turns) == len(b.turns) == 2


def test_a_cancelled_run_stops():
    context = Context()
    context.cancel.set()

    with pytest.raises(InterruptedByUser):
        taken(world(), "a", context=context)


def test_turns_are_as_many_as_the_slowest_row_allows():
    assert share_rounds([0.5, 0.2], 10) == (20, 0.5)
    assert share_rounds([4.0, 0.2], 2) == (5, 0.4)
    assert share_rounds([0.3], 0.9 * 5)[0] == 15
