import io
import itertools

import pytest
from rich.console import Console, Group
from rich.progress import TextColumn

from edgecv_cli.cli.live_rows import LiveRows
from edgecv_cli.cli.progress import LiveProgress, PlainProgress


class FakeClock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_a_task_ends_with_a_line_that_says_how_long_it_took(clock):
    out = io.StringIO()
    with PlainProgress(out, clock).task("calibrate", 3) as task:
        for _ in range(3):
            task.advance()
        clock.now += 2.5
    assert out.getvalue() == "calibrate: 3 images in 2.5 s\n"


def test_long_tasks_speak_every_ten_seconds(clock):
    out = io.StringIO()
    with PlainProgress(out, clock).task("evaluate", 40) as task:
        for step in itertools.count(1):
            clock.now += 1
            task.describe(f"{step} fps")
            task.advance()
            if step == 25:
                break
    assert out.getvalue().splitlines() == [
        "evaluate: 10/40 images (10 fps)",
        "evaluate: 20/40 images (20 fps)",
        "evaluate: 25/40 images in 25.0 s (25 fps)",
    ]


def test_a_task_that_fails_says_nothing(clock):
    out = io.StringIO()
    with pytest.raises(ZeroDivisionError), PlainProgress(out, clock).task("x"):
        raise ZeroDivisionError
    assert out.getvalue() == ""


@pytest.mark.parametrize(("done", "line"), [(0, "load: done in 0.0 s"), (1, "load: 1 file in")])
def test_counting_words(clock, done, line):
    out = io.StringIO()
    with PlainProgress(out, clock).task("load", unit="file") as task:
        task.advance(done)
    assert out.getvalue().startswith(line)


def test_hostile_names_can_not_move_the_cursor(clock):
    out = io.StringIO()
    progress = PlainProgress(out, clock)
    progress.note("skipped \x1b[2J.png")
    with progress.task("a\rb"):
        pass
    assert "\x1b" not in out.getvalue()
    assert "\r" not in out.getvalue()


def test_live_rows_show_names_counts_and_notes():
    out = io.StringIO()
    progress = LiveProgress(out)
    with progress.task("outer [bold]", 2, unit="step") as outer:
        with progress.task("inner") as inner:
            inner.advance(5)
            inner.describe("12 fps")
        progress.note("one [skipped]")
        outer.advance()
    progress.note("after")
    text = out.getvalue()
    assert "one [skipped]" in text
    assert "1/2 steps" in text.splitlines()[-2]
    assert "outer [bold]" in text
    assert "inner" not in text  # a part's row goes when it ends; what it was part of stays
    assert text.endswith("after\n")


def test_a_live_row_shows_its_count_and_its_words():
    out = io.StringIO()
    with LiveProgress(out).task("detect", unit="frame") as task:
        task.advance(5)
        task.describe("12 fps")
    for part in ("detect", "5 frames", "12 fps"):
        assert part in out.getvalue()


def test_details_stand_below_the_rows_and_are_cut_to_the_width():
    console = Console(file=io.StringIO(), width=40)
    rows = LiveRows(TextColumn("{task.description}"), console=console)
    rows.add_task("detect", details=("reading [x]", 60 * "w"))
    rows.add_task("other", details=())
    console.print(Group(*rows.get_renderables()))
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert lines == ["detect", "other", "  reading [x]", f"  {37 * 'w'}…"]


def test_a_live_row_can_be_given_details():
    out = io.StringIO()
    with LiveProgress(out).task("detect") as task:
        task.describe("12 fps", ["writing\x1b[2J"])
    assert "writing" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()


def test_lines_of_a_log_leave_details_out(clock):
    out = io.StringIO()
    with PlainProgress(out, clock).task("detect") as task:
        task.describe("12 fps", ["reading 1.0 ms"])
    assert out.getvalue() == "detect: done in 0.0 s (12 fps)\n"


def test_live_display_closes_when_a_task_fails():
    out = io.StringIO()
    progress = LiveProgress(out)
    with pytest.raises(ZeroDivisionError), progress.task("a"):
        raise ZeroDivisionError
    progress.note("still here")
    assert out.getvalue().endswith("still here\n")
