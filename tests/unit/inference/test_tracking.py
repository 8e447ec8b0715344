"""Tracks through frames: numbers stay with things, and lines count who crosses them."""

from __future__ import annotations

import numpy as np
import pytest
from clips import picture
from fakes import CLASSES, found
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.scalar_kalman import follow

from edgecv_cli.core.errors import MissingDependencyError
from edgecv_cli.detector.profiles import Profile
from edgecv_cli.inference.frames import Frame, FrameResult
from edgecv_cli.inference.tracking.byte_tracker import ByteTracker
from edgecv_cli.inference.tracking.crossing import LineCounter
from edgecv_cli.inference.tracking.following import Follower, tracked_profile
from edgecv_cli.inference.tracking.kalman import Motion

HIDDEN = None


def box(x, y, *, score=0.9, kind=0, wide=20.0, tall=40.0):
    return (x, y, x + wide, y + tall, score, kind)


def numbers(tracker, *frames):
    """The track of each box of each frame; a hidden thing has no box."""
    answers = []
    for rows in frames:
        shown = [row for row in rows if row is not HIDDEN]
        given_out = iter(tracker.update(found(*shown)).tolist())
        answers.append([None if row is HIDDEN else next(given_out) for row in rows])
    return answers


@given(
    st.lists(st.none() | st.floats(-500, 500), min_size=1, max_size=12),
    st.floats(-500, 500),
    st.floats(5, 300),
)
@settings(max_examples=50)
def test_the_filter_is_the_scalar_one(sightings, start, tall):
    places = [start, *sightings]
    motion = Motion.begin(np.array([[start - 10, 50, start + 10, 50 + tall]]))
    estimates = [(motion.mean[0, 0], motion.mean[0, 4])]
    for seen in sightings:
        motion = motion.predict()
        if seen is not None:
            motion = motion.update(np.array([[seen - 10, 50, seen + 10, 50 + tall]]))
        estimates.append((motion.mean[0, 0], motion.mean[0, 4]))

    # only the first coordinate moves, so that the height, which noise goes by, stays
    expected = follow(
        places,
        place_noise=(tall / 20) ** 2,
        speed_noise=(tall / 160) ** 2,
        seen_noise=(tall / 20) ** 2,
        place_doubt=(tall / 10) ** 2,
        speed_doubt=(tall / 16) ** 2,
    )
    assert np.allclose(estimates, expected, rtol=1e-6, atol=1e-6)


def test_a_flat_box_moves_on_without_a_warning():
    motion = Motion.begin(np.array([[5.0, 5, 5, 5]]))

    for _ in range(3):
        motion = motion.predict().update(np.array([[6.0, 5, 6, 5]]))

    assert np.isfinite(motion.boxes()).all()


def test_things_keep_their_numbers_while_they_pass_each_other():
    frames = [[box(10 + 6 * at, 100), box(310 - 6 * at, 112)] for at in range(50)]

    assert numbers(ByteTracker(threshold=0.5), *frames) == [[1, 2]] * 50


@pytest.mark.parametrize("gap", [1, 10, 29])
def test_a_thing_that_was_hidden_gets_its_number_back(gap):
    here = [[box(10 + 2 * at, 50), box(400, 300)] for at in range(20)]
    away = [[HIDDEN, box(400, 300)]] * gap
    back = [[box(10 + 2 * (20 + gap + at), 50), box(400, 300)] for at in range(5)]

    assert numbers(ByteTracker(threshold=0.5), *here, *away, *back)[-5:] == [[1, 2]] * 5


def test_who_stays_away_too_long_is_somebody_else():
    away = [[HIDDEN, box(400, 300)]] * 8
    frames = [[box(10, 50), box(400, 300)]] * 3 + away + [[box(10, 50), box(400, 300)]] * 2

    assert numbers(ByteTracker(threshold=0.5, patience=5), *frames)[-1] == [3, 2]


def test_a_doubtful_box_goes_on_with_a_track_and_begins_none():
    sure, doubtful = [box(10, 50)], [box(11, 50, score=0.2), box(300, 50, score=0.2)]

    assert numbers(ByteTracker(threshold=0.5), sure, sure, doubtful, doubtful) == [
        [1], [1], [1, 0], [1, 0]
    ]  # fmt: skip


def test_what_is_seen_once_has_no_number_yet():
    tracker = ByteTracker(threshold=0.5)

    assert numbers(
        tracker,
        [box(10, 50)],
        [box(10, 50), box(200, 50)],
        [box(10, 50), HIDDEN],
        [box(10, 50), box(300, 50)],
        [box(10, 50), box(301, 50)],
    ) == [[1], [1, 0], [1, None], [1, 0], [1, 2]]
    assert tracker.numbers == 2


def test_a_person_and_a_bicycle_do_not_change_places():
    person = [box(100 + at, 100, kind=0, wide=30, tall=60) for at in range(12)]
    bicycle = [box(102 + at, 118, kind=1, wide=34, tall=48) for at in range(12)]
    frames = [[a, b] for a, b in zip(person, bicycle, strict=True)]
    frames[6] = [box(104, 110, kind=0, wide=34, tall=55), box(104, 112, kind=1, wide=32, tall=52)]

    assert numbers(ByteTracker(threshold=0.5), *frames) == [[1, 2]] * 12


def test_a_class_that_flickers_is_one_track():
    frames = [[box(50 + 2 * at, 40, kind=at % 3 == 2)] for at in range(12)]

    assert numbers(ByteTracker(threshold=0.5), *frames) == [[1]] * 12


def test_an_empty_frame_and_an_empty_video():
    assert numbers(ByteTracker(threshold=0.5), [], [], [box(1, 1)], [box(1, 1)]) == [
        [], [], [0], [1]
    ]  # fmt: skip


def test_without_lap_the_pip_line_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lap", None)

    with pytest.raises(MissingDependencyError) as caught:
        ByteTracker(threshold=0.5)

    assert "edgecv[track]" in caught.value.remedy


def walk(counter, number, points, kind=0, tall=40.0):
    for x, y in points:
        counter.update([(number, kind, (x - 10, y - tall / 2, x + 10, y + tall / 2))])


def test_a_line_counts_each_way():
    # to the left of one who looks along it is up: y points down
    counter = LineCounter((0, 100, 200, 100))

    walk(counter, 1, [(50, 60), (50, 90), (50, 110), (50, 140)])
    walk(counter, 2, [(150, 140), (150, 110), (150, 90)], kind=2)

    assert (dict(counter.forward), dict(counter.back)) == ({0: 1}, {2: 1})


def test_who_passes_beside_the_line_is_not_counted():
    counter = LineCounter((0, 100, 200, 100))

    walk(counter, 1, [(250, 60), (250, 140)])
    walk(counter, 2, [(-1, 60), (-1, 140)])
    walk(counter, 3, [(190, 60), (215, 140)])  # at the line it is at 202.5

    assert not counter.forward
    assert not counter.back


def test_who_trembles_on_the_line_is_counted_once():
    counter = LineCounter((0, 100, 200, 100))

    walk(counter, 1, [(50, 60), *[(50, 100 + step) for step in (-1, 1, -1.9, 1.9, 0)], (50, 140)])

    assert (dict(counter.forward), dict(counter.back)) == ({0: 1}, {})


def test_another_video_begins_anew_and_counts_on():
    counter = LineCounter((0, 100, 200, 100))

    walk(counter, 1, [(50, 60)])
    counter.restart()
    walk(counter, 1, [(50, 140), (50, 60)])

    assert (dict(counter.forward), dict(counter.back)) == ({}, {0: 1})


def frame(source, rows):
    return FrameResult(Frame(source, 0, picture()), found(*rows), CLASSES)


def test_a_follower_drops_doubtful_boxes_without_a_track():
    follower = Follower(threshold=0.5)
    rows = [box(10, 50), box(90, 50, score=0.3), box(200, 50)]

    follower.follow(frame("a.mp4", rows))
    again = [box(11, 50, score=0.3), box(90, 50, score=0.3), box(200, 50), box(300, 9, score=0.55)]
    result = follower.follow(frame("a.mp4", again))

    assert result.tracks() == [1, 2, None]
    assert result.detections.scores.tolist() == pytest.approx([0.3, 0.9, 0.55])


def test_each_video_has_tracks_of_its_own():
    follower = Follower(threshold=0.5, lines=[(0, 100, 400, 100)])
    down = [[box(10, 40 + 5 * at)] for at in range(10)]

    for source in ("a.mp4", "b.mp4"):
        ids = [follower.follow(frame(source, rows)).tracks() for rows in down]
        assert ids == [[1]] * 10

    assert follower.tracks == 2
    assert dict(follower.counters[0].forward) == {0: 2}


def test_doubtful_boxes_reach_the_tracker():
    profile = Profile(0.4, 0.6, 3000, 300, multi_label=False)

    assert tracked_profile(profile).threshold == 0.1
    assert tracked_profile(Profile(0.05, 0.6, 1, 1, multi_label=False)).threshold == 0.05
