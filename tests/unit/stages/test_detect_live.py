"""What detect says while it runs."""

from __future__ import annotations

from edgecv_cli.inference.predictor import Timings
from edgecv_cli.inference.times import Times
from edgecv_cli.stages.detect_live import LiveView
from edgecv_cli.stages.detect_result import Tally


class Row:
    def __init__(self):
        self.done, self.told = 0, []

    def advance(self, steps=1):
        self.done += steps

    def describe(self, text):
        self.told.append(text)


def passed(tally, read, milliseconds):
    read.add(1_000_000)
    tally.add(2, Timings(2_000_000, int(milliseconds * 1e6), 500_000), write_ns=3_000_000)


def view(root):
    now, row, tally, read = [0], Row(), Tally(), Times()
    tally.follow(read, 2)
    return now, row, tally, read, LiveView(row, tally, lambda: now[0], root)


def test_the_last_half_second_is_told_and_not_the_whole_run(tmp_path):
    now, row, tally, read, live = view(tmp_path)
    for milliseconds, step in ((10.0, 100_000_000), (30.0, 50_000_000)):
        for _ in range(10):
            passed(tally, read, milliseconds)
            tally.waiting = (2, 1)
            now[0] += step
            live.frame()
    assert row.done == 20
    assert row.told == [
        "10.0 fps, 10 found; read 1.0 pre 2.0 infer 10.0 post 0.5 write 3.0 ms; waiting 2 + 1",
        "10.0 fps, 20 found; read 1.0 pre 2.0 infer 10.0 post 0.5 write 3.0 ms; waiting 2 + 1",
        "20.0 fps, 40 found; read 1.0 pre 2.0 infer 30.0 post 0.5 write 3.0 ms; waiting 2 + 1",
    ]


def test_drops_and_warmth_are_told_where_there_are_any(tmp_path):
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("61400\n")
    now, row, tally, read, live = view(tmp_path)
    passed(tally, read, 1.0)
    tally.dropped, now[0] = 7, 1_000_000_000
    live.frame()
    assert row.told[0].endswith("; waiting 0 + 0; 7 dropped; 61 °C")
