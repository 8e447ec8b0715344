"""Tiles that several predictors look at side by side."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from edgecv_cli.core.boxes import Detections
from edgecv_cli.inference.predictor import Timings
from edgecv_cli.inference.team import Team
from edgecv_cli.inference.tiles import TiledPredictor

SOON = 10.0


def threads() -> int:
    return sum(thread.name.startswith("edgecv-tile") for thread in threading.enumerate())


class Member:
    """Finds a box as large as the picture, scored by its first pixel; waits for the others."""

    def __init__(self, together=None, fails_on=None):
        self.together, self.fails_on, self.closed = together, fails_on, 0
        self.inside = threading.Lock()

    def predict_timed(self, image):
        assert self.inside.acquire(blocking=False)  # one thread at a time
        try:
            if self.together is not None:
                self.together.wait(SOON)
            value = int(image[0, 0, 0])
            if value == self.fails_on:
                raise MemoryError("no room")
            box = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
            scores, classes = np.array([value / 255], np.float32), np.array([value % 3])
            return Detections(box, scores, classes), Timings(value, 10, 100)
        finally:
            self.inside.release()

    def close(self):
        self.closed += 1


def pictures(count):
    return [np.full((4 + value, 5, 3), value, np.uint8) for value in range(count)]


def values(seen):
    return [timings.preprocess_ns for _, timings in seen]


def test_every_member_works_at_the_same_time_and_the_order_is_kept():
    together = threading.Barrier(3)
    team = Team([Member(together) for _ in range(3)])
    assert values(team.predict_all(pictures(12))) == list(range(12))
    team.close()
    assert threads() == 0


def test_several_may_ask_at_once_and_each_gets_its_own():
    team = Team([Member(), Member()])
    got: dict[int, list[int]] = {}

    def ask(first: int) -> None:
        got[first] = values(team.predict_all(pictures(20)[first:]))

    asking = [threading.Thread(target=ask, args=(first,)) for first in range(4)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(SOON)
    team.close()
    assert got == {first: list(range(first, 20)) for first in range(4)}


def test_what_fails_is_raised_and_the_team_goes_on():
    members = [Member(fails_on=5), Member(fails_on=5)]
    team = Team(members)
    with pytest.raises(MemoryError, match="no room"):
        team.predict_all(pictures(40))
    assert values(team.predict_all(pictures(5))) == list(range(5))
    team.close()
    assert threads() == 0
    assert [member.closed for member in members] == [1, 0]


def test_one_alone_needs_no_thread_and_closes_its_owner():
    owner = Member()
    team = Team([Member()], owner)
    assert values(team.predict_all(pictures(3))) == [0, 1, 2]
    assert values([team.predict_timed(pictures(3)[2])]) == [2]
    assert threads() == 0
    team.close()
    assert owner.closed == 1


def test_tiles_are_the_same_from_a_team_as_from_one():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 200, (90, 110, 3)).astype(np.uint8)
    team = Team([Member() for _ in range(3)])
    alone, together = (TiledPredictor(inner, (32, 32), 0.2, iou=0.6) for inner in (Member(), team))
    one, timings = alone.predict_timed(picture)
    other, summed = together.predict_timed(picture)
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.class_ids, other.class_ids)
    assert timings.infer_ns == summed.infer_ns
    together.close()
    assert threads() == 0
