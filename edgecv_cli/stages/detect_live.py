"""What is told while detect runs: its rate, where the time goes, what waits, and how warm it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgecv_cli.core.context import Clock, Task
from edgecv_cli.measure.machine.heat import Heat
from edgecv_cli.stages.detect_result import STAGE_NAMES, Tally, limit_of

_EVERY_NS = 500_000_000
_LOOKS = 4  # what is told is of that many last looks: two seconds, or of slower frames more


@dataclass(frozen=True)
class _Look:
    """Where a run was at a time: frames, and nanoseconds and their number by stage."""

    at: int
    frames: int
    spent: Mapping[str, tuple[int, int]]


class LiveView:
    """Says how the last two seconds went, every half second.

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
        self._began = self._look()
        self._looks = deque([self._began], maxlen=_LOOKS)

    def frame(self) -> None:
        """Count a frame, and say anew what there is to say where its time has come."""
        self._task.advance()
        if self._clock() - self._looks[-1].at < _EVERY_NS:
            return
        now, before = self._look(), self._looks[0]
        self._looks.append(now)
        self._heat.sample()
        self._task.describe(self._rate(before, now), self._details(before, now))

    def end(self) -> None:
        """Say how the whole run went."""
        now = self._look()
        if now.frames and now.at > self._began.at:
            self._task.describe(self._rate(self._began, now))

    def _look(self) -> _Look:
        return _Look(self._clock(), self._tally.frames, self._tally.spent())

    def _rate(self, before: _Look, now: _Look) -> str:
        rate = (now.frames - before.frames) * 1e9 / (now.at - before.at)
        return f"{rate:.1f} fps, {self._tally.detections} found"

    def _details(self, before: _Look, now: _Look) -> tuple[str, ...]:
        mean, rooms = _means(before, now), self._tally.rooms
        lanes = self._tally.lanes
        detecting = ", ".join(
            f"{STAGE_NAMES[stage]} {mean[stage]}" for stage in ("preprocess", "infer")
        )
        then = ("", "")
        if rooms is not None:
            then = (
                f", then {rooms.before} of {rooms.most_before} waiting",
                f", then {rooms.behind} of {rooms.most_behind} waiting",
            )
        return (
            f"reading {mean['read']} ms{then[0]}",
            f"{detecting}, post-processing {mean['postprocess']} ms, {lanes} at once{then[1]}",
            f"writing {mean['write']} ms",
            self._state(before, now),
        )

    def _state(self, before: _Look, now: _Look) -> str:
        """Say what holds the run up, what it loses, and how warm the processor is."""
        spent = {stage: now.spent[stage][0] - before.spent[stage][0] for stage in now.spent}
        limit = limit_of(spent, self._tally.lanes, now.at - before.at)
        said = [f"limit: {STAGE_NAMES[limit.stage]}, busy {limit.busy:.0%} of the time"]
        if self._tally.dropped:
            said.append(f"{self._tally.dropped} dropped")
        if self._heat.latest_c is not None:
            said.append(f"{self._heat.latest_c:.0f} °C")
        return "; ".join(said)


def _means(before: _Look, now: _Look) -> dict[str, str]:
    """Return what a frame took in each stage, in milliseconds; a dash where none came by."""
    means = {}
    for stage, (total, count) in now.spent.items():
        past, passed = before.spent[stage]
        means[stage] = f"{(total - past) / (count - passed) / 1e6:.1f}" if count > passed else "-"
    return means
