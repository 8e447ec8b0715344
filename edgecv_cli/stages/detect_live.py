"""What is told while detect runs: its rate, where the time goes, what waits, and how warm it is."""

from __future__ import annotations

from pathlib import Path

from edgecv_cli.core.context import Clock, Task
from edgecv_cli.measure.machine.heat import Heat
from edgecv_cli.stages.detect_result import STAGES, Tally

_EVERY_NS = 500_000_000
_SHORT = {"preprocess": "pre", "postprocess": "post"}


class LiveView:
    """Says how the last half second went.

    Args:
        task: the row on the terminal.
        tally: counts what passes by.
        clock: monotonic nanoseconds.
        root: of the file system, where the sensors are.
    """

    def __init__(self, task: Task, tally: Tally, clock: Clock, root: Path = Path("/")) -> None:
        self._task, self._tally, self._clock = task, tally, clock
        self._heat = Heat(root)
        self._heat.begin()
        self._since = clock()
        self._frames = 0
        self._spent = tally.spent()

    def frame(self) -> None:
        """Count a frame, and say anew what there is to say where its time has come."""
        self._task.advance()
        now = self._clock()
        if now - self._since < _EVERY_NS:
            return
        frames, spent = self._tally.frames - self._frames, self._tally.spent()
        parts = [
            f"{frames * 1e9 / (now - self._since):.1f} fps, {self._tally.detections} found",
            self._stages(spent),
            f"waiting {self._tally.waiting[0]} + {self._tally.waiting[1]}",
            f"{self._tally.dropped} dropped" if self._tally.dropped else "",
            self._warmth(),
        ]
        self._task.describe("; ".join(part for part in parts if part))
        self._since, self._frames, self._spent = now, self._tally.frames, spent

    def _stages(self, spent: dict[str, tuple[int, int]]) -> str:
        """Say what a frame took of late in each stage, in milliseconds."""
        told = []
        for stage in STAGES:
            total, count = (b - a for a, b in zip(self._spent[stage], spent[stage], strict=True))
            if count:
                told.append(f"{_SHORT.get(stage, stage)} {total / count / 1e6:.1f}")
        return " ".join(told) + " ms" if told else ""

    def _warmth(self) -> str:
        self._heat.sample()
        latest = self._heat.latest_c
        return "" if latest is None else f"{latest:.0f} °C"
