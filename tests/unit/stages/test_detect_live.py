"""What detect says while it runs."""

from __future__ import annotations

import pytest

from edgecv_cli.inference.flow import Rooms
from edgecv_cli.inference.predictor import Timings
from edgecv_cli.inference.times import Times
from edgecv_cli.stages.detect_live import LiveView
from edgecv_cli.stages.detect_result import Tally


class Row:
    def __init__(self):
        self.done, self.told = 0, []

    def advance(self, steps=1):
        self.done += steps

    def describe(self, text, details=()):
        self.told.append((text, *details))


class Run:
    """A run whose clock moves when told."""

    def __init__(self, root):
        self.now, self.row, self.tally, self.read = 0, Row(), Tally(), Times()
        self.tally.follow(self.read, 2)
        self.live = LiveView(self.row, self.tally, lambda: self.now, root)

    def frame(self, infer_ms, step_ms, dropped=0):
        self.read.add(1_000_000)
        timings = Timings(2_000_000, int(infer_ms * 1e6), 500_000)
        self.tally.add(2, timings, write_ns=3_000_000)
        self.tally.look(Rooms(2, 2, 1, 4), dropped)
        self.now += int(step_ms * 1e6)
        self.live.frame()


def test_the_last_two_seconds_are_told_and_at_the_end_the_whole_run(tmp_path):
    run = Run(tmp_path)
    for infer_ms, step_ms, frames in ((10, 100, 20), (70, 50, 60)):
        for _ in range(frames):
            run.frame(infer_ms, step_ms)
    run.live.end()

    assert run.row.done == 80
    assert len(run.row.told) == 11  # every half second of five, and the end
    assert run.row.told[3] == (
        "10.0 fps, 40 found",
        "reading 1.0 ms, then 2 of 2 waiting",
        "preprocessing 2.0, inference 10.0, post-processing 0.5 ms, 2 at once, then 1 of 4 waiting",
        "writing 3.0 ms",
        "limit: inference, busy 6% of the time",
    )
    assert run.row.told[-2][0] == "20.0 fps, 160 found"
    assert "inference 70.0" in run.row.told[-2][2]
    assert "busy 72% of the time" in run.row.told[-2][-1]
    assert run.row.told[-1] == ("16.0 fps, 160 found",)


def test_drops_and_warmth_are_told_where_there_are_any(tmp_path):
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("61400\n")
    run = Run(tmp_path)
    run.frame(1, 1000, dropped=7)
    assert run.row.told[0][-1].endswith("; 7 dropped; 61 °C")


def test_a_run_without_a_frame_says_nothing(tmp_path):
    run = Run(tmp_path)
    run.now = 5_000_000_000
    run.live.end()
    assert run.row.told == []


def test_queues_are_averages_over_the_frames():
    tally = Tally()
    assert tally.queues() is None
    for before, behind in ((2, 0), (1, 3)):
        tally.add(0, Timings(1, 1, 1), write_ns=1)
        tally.look(Rooms(before, 2, behind, 4), 0)
    queues = tally.queues()
    assert queues is not None
    assert (queues.to_detect, queues.to_write) == pytest.approx((1.5, 1.5))
    assert (queues.to_detect_most, queues.to_write_most) == (2, 4)
