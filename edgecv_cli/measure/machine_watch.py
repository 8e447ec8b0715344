"""Watching the machine while something is timed on it: what makes figures wrong is said."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecv_cli.measure.machine.clocks import Clocks
from edgecv_cli.measure.machine.conditions import Conditions, Source
from edgecv_cli.measure.machine.heat import Heat
from edgecv_cli.measure.machine.limits import Quota, Supply, Swap
from edgecv_cli.measure.machine.load import Load

_BETWEEN_LOOKS_NS = 100_000_000


@dataclass(frozen=True)
class Watched:
    """What was seen from :meth:`MachineWatch.begin` to :meth:`MachineWatch.end`.

    Attributes:
        conditions: the record; None where the kernel showed nothing at all.
        warnings: one line each: what, how much, what it does to the figures, what to do.
    """

    conditions: Conditions | None
    warnings: tuple[str, ...]


class MachineWatch:
    """Looks at what Linux shows of clocks, heat, load, quota, swap and supply.

    ::

        watch = MachineWatch()
        watch.begin()
        for block in blocks:
            block.run()
            watch.sample()
        seen = watch.end()

    What is not shown (another system, a virtual machine, a container) is neither figure nor
    warning. Processes that descend from this one are its own; all others are "other load".

    Args:
        root: of the file system that is looked at.
        clock: nanoseconds; looks in between are at least 0.1 s apart.
        cores: numbers of the logical cores that are used; None is all that this process may use.
        pid: the process whose family is the benchmark; None is this one.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        cores: Sequence[int] | None = None,
        pid: int | None = None,
    ) -> None:
        cores = _usable() if cores is None else cores
        pid = os.getpid() if pid is None else pid
        self._clock = clock
        self._looked = 0
        self._sources: tuple[Source, ...] = (
            Clocks(root, cores),
            Heat(root),
            Load(root, cores, pid),
            Quota(root, pid),
            Swap(root),
            Supply(root),
        )

    def begin(self) -> None:
        """Look for the first time, right before what is timed."""
        for source in self._sources:
            source.begin()
        self._looked = self._clock()

    def sample(self) -> None:
        """Look again, between timed blocks; too soon after the last time nothing is done."""
        now = self._clock()
        if now - self._looked < _BETWEEN_LOOKS_NS:
            return
        self._looked = now
        for source in self._sources:
            source.sample()

    def end(self) -> Watched:
        """Look for the last time and say what was seen."""
        seen = [source.end() for source in self._sources]
        figures = {name: value for one in seen for name, value in one.figures.items()}
        shown = any(value is not None for value in figures.values())
        return Watched(
            Conditions.model_validate(figures) if shown else None,
            tuple(line for one in seen for line in one.warnings),
        )


def _usable() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
