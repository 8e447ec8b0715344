"""Cameras and streams: the newest frame, in turns, however often a stream is lost."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest

from edgecv_cli.core.context import Cancel
from edgecv_cli.core.errors import DataError
from edgecv_cli.inference.live import OLDEST_S, LiveFrames, Patience
from edgecv_cli.media.streams import Address

PATIENT = Patience(lost_s=5.0)


def threads_left():
    return [one for one in threading.enumerate() if one.name == "edgecv-live"]


class Script:
    """An opener: each call opens the next of some streams, then nothing more opens."""

    def __init__(self, *streams):
        self._streams = iter(streams)
        self.opened = 0

    def __call__(self, address, *, again=False):
        assert again == (self.opened > 0)
        self.opened += 1
        stream = next(self._streams, None)
        if stream is None:
            raise DataError(f"{address.shown} can't be opened", remedy="look")
        return stream


class Numbers:
    """A stream of pictures that hold their number; ends after the last."""

    def __init__(self, first, count, *, rate=None, finite=False, pause=0.0, sizes=((8, 8),)):
        self._numbers = iter(range(first, first + count))
        self._sizes = itertools.cycle(sizes)
        self.rate, self.frames, self._pause = rate, count if finite else None, pause
        self.closed = False

    def skip(self):
        time.sleep(0.005)  # nothing had been waiting
        return True

    def read(self):
        time.sleep(self._pause)
        number = next(self._numbers, None)
        return None if number is None else np.full((*next(self._sizes), 3), number, np.uint8)

    def close(self):
        self.closed = True


def address(name="cam"):
    return Address("url", f"http://{name}", f"http://{name}")


def frames(opener, patience=PATIENT, *, names=("cam",), notes=None, **more):
    note = (lambda _: None) if notes is None else notes.append
    return LiveFrames([address(one) for one in names], patience, note=note, opener=opener, **more)


def number(frame):
    return int(frame.image[0, 0, 0])


def test_every_frame_comes_in_order_where_every_frame_counts():
    live = frames(Script(Numbers(0, 100, finite=True)), Patience(every_frame=True))
    assert [number(one) for one in live] == list(range(100))
    assert (live.states[0].received, live.states[0].given) == (100, 100)
    assert not threads_left()


def test_the_newest_counts_where_the_reader_is_slow():
    live = frames(Script(Numbers(0, 50, pause=0.002)), Patience(lost_s=0))
    seen = []
    for frame in live:
        seen.append(number(frame))
        time.sleep(0.02)
    assert seen == sorted(seen)
    assert len(seen) < 25
    assert seen[-1] == 49
    assert len(seen) + live.dropped == 50


def test_a_stream_that_ends_is_opened_again_and_said():
    notes = []
    opener = Script(Numbers(0, 3), Numbers(10, 3), Numbers(20, 3))
    live = frames(opener, Patience(lost_s=0.6, every_frame=True), notes=notes)
    assert [number(one) for one in live] == [0, 1, 2, 10, 11, 12, 20, 21, 22]
    state = live.states[0]
    assert state.reconnects == 2
    assert 0.5 < state.seconds_away < 5
    assert [note.split(" ", 1)[1].split(" after")[0] for note in notes] == [
        "gives no pictures any more: trying again", "is back",
        "gives no pictures any more: trying again", "is back",
        "gives no pictures any more: trying again",
    ]  # fmt: skip
    assert "gave no pictures for" in live.skipped[0].problem
    assert opener.opened > 3


def test_none_is_opened_again_where_that_is_not_wanted():
    opener = Script(Numbers(0, 2), Numbers(5, 2))
    live = frames(opener, Patience(lost_s=0, every_frame=True))
    assert [number(one) for one in live] == [0, 1]
    assert opener.opened == 1


def test_what_never_opens_is_an_error_at_once():
    with pytest.raises(DataError, match="http://cam can't be opened"):
        list(frames(Script()))
    assert not threads_left()


def test_one_of_several_may_be_late():
    not_now = DataError("not now", remedy="wait")
    given = {"late": iter([not_now, Numbers(5, 1)]), "early": iter([Numbers(0, 1)])}

    def opener(one, *, again=False):
        made = next(given[one.shown.removeprefix("http://")], not_now)
        if isinstance(made, DataError):
            raise made
        return made

    live = frames(opener, Patience(limit=2, every_frame=True), names=("late", "early"))
    assert sorted(number(one) for one in live) == [0, 5]


def test_a_recording_is_whole_and_says_if_it_is_not():
    whole = frames(Script(Numbers(0, 60, finite=True)))
    seen = []
    for frame in whole:
        seen.append(number(frame))
        time.sleep(0.001)
    assert seen == list(range(60))
    assert whole.skipped == []
    cut = Numbers(0, 60, finite=True)
    cut.frames = 100
    short = frames(Script(cut))
    assert len(list(short)) == 60
    assert "ended after 60 of about 100 frames" in short.skipped[0].problem


def test_a_stalled_source_does_not_hold_up_the_others():
    gate = threading.Event()

    class Stalled(Numbers):
        def read(self):
            gate.wait(10)

    opened = {"stalled": Stalled(0, 1), "lively": Numbers(0, 40, finite=True)}
    live = frames(
        lambda one, again=False: opened[one.shown.removeprefix("http://")],
        Patience(every_frame=True, limit=40),
        names=("stalled", "lively"),
    )
    seen = []
    for frame in live:
        seen.append(frame.source)
        if len(seen) == 40:
            gate.set()
    assert seen == ["http://lively"] * 40


def test_sources_take_turns():
    opened = {name: Numbers(0, 30, finite=True) for name in ("a", "b")}
    live = frames(
        lambda one, again=False: opened[one.shown[-1]], Patience(every_frame=True), names=("a", "b")
    )
    iterator = iter(live)
    next(iterator)
    while any(state.received < 22 for state in live.states):
        time.sleep(0.01)
    seen = [next(iterator).source[-1] for _ in range(20)]
    assert all(one != other for one, other in itertools.pairwise(seen))
    iterator.close()
    assert not threads_left()


def test_frames_that_grew_old_are_not_live():
    """A frame waits while the one who asks is busy for longer than a frame may be old."""
    now = [0.0]
    opener = Script(Numbers(0, 3, pause=0.03))
    live = frames(opener, Patience(lost_s=0), clock=lambda: now[0])
    iterator = iter(live)
    first = number(next(iterator))
    while live.states[0].received < 3:
        time.sleep(0.01)
    now[0] = OLDEST_S + 0.5
    assert first == 0
    assert list(iterator) == []
    assert live.states[0].stale == 1


def test_what_waited_while_the_stream_was_opened_is_left():
    class Buffered(Numbers):
        def __init__(self):
            super().__init__(0, 3, finite=False)
            self.left = 20

        def skip(self):
            self.left -= 1
            if self.left <= 0:
                time.sleep(0.01)  # from here on it waits for the camera
            return True

    stream = Buffered()
    list(frames(Script(stream), Patience(lost_s=0, every_frame=True)))
    assert stream.left == 0
    assert stream.closed


def test_a_source_may_change_its_size():
    live = frames(
        Script(Numbers(0, 6, finite=True, sizes=((8, 8), (4, 16)))), Patience(every_frame=True)
    )
    assert {one.image.shape for one in live} == {(8, 8, 3), (4, 16, 3)}


@pytest.mark.parametrize("how", ["cancel", "stop", "limit", "seconds"])
def test_every_way_to_end_leaves_no_thread(how):
    cancel = Cancel()
    patience = Patience(
        limit=3 if how == "limit" else None, seconds=0.2 if how == "seconds" else None
    )
    live = frames(Script(Numbers(0, 200, pause=0.01)), patience, cancel=cancel)
    count = 0
    for _ in live:
        count += 1
        if count == 3:
            {"cancel": cancel.set, "stop": live.stop}.get(how, lambda: None)()
    assert count >= 3 if how != "limit" else count == 3
    assert not threads_left()


def test_what_reading_never_raises_is_raised_where_frames_are_asked_for():
    def opener(one, *, again=False):
        raise RuntimeError("no such thing")

    with pytest.raises(RuntimeError, match="no such thing"):
        list(frames(opener))
    assert not threads_left()
