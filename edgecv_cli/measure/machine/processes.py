"""Processor time of single processes, from ``/proc/<pid>/stat`` (proc(5))."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgecv_cli.measure.machine.files import text, whole

# Of the fields behind the name, which stands in brackets and may hold anything.
_PARENT, _USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM, _START = 1, 11, 12, 13, 14, 19
_UNPRINTABLE = re.compile(r"[^\w.+:/@-]+", re.ASCII)


@dataclass(frozen=True)
class Process:
    """One process at one moment.

    Attributes:
        pid, parent: process numbers.
        name: as it calls itself, made of plain characters alone.
        start: when it began, in ticks since boot: a number that is given again has another.
        ticks: processor time of all its threads, in ticks.
        with_children: the same and that of its children that have ended.
    """

    pid: int
    parent: int
    name: str
    start: int
    ticks: int
    with_children: int


def processes(root: Path) -> dict[int, Process]:
    """Return every process that this one may see."""
    try:
        folders = [name for name in (root / "proc").iterdir() if name.name.isdecimal()]
    except OSError:
        return {}
    found = (_parse(text(folder / "stat")) for folder in folders)
    return {process.pid: process for process in found if process is not None}


def family(every: Mapping[int, Process], pid: int) -> set[int]:
    """Return the numbers of a process and of all that descend from it."""
    children: dict[int, list[int]] = {}
    for process in every.values():
        children.setdefault(process.parent, []).append(process.pid)
    found, pending = set(), [pid]
    while pending:
        one = pending.pop()
        if one not in found:
            found.add(one)
            pending += children.get(one, ())
    return found


def family_ticks(every: Mapping[int, Process], pid: int) -> int:
    """Return the processor time of a process and its descendants, ended ones included.

    The time of a child that ended moves to the parent that waited for it, so that the sum never
    falls while the process itself lives.
    """
    members = family(every, pid)
    return sum(every[one].with_children for one in members if one in every)


def busiest(
    before: Mapping[int, Process], now: Mapping[int, Process], pid: int
) -> tuple[str, int] | None:
    """Return name and ticks of the process outside a family that used most time in between."""
    ours = family(now, pid)
    used = [
        (process.ticks - _earlier(before, process), process.name)
        for process in now.values()
        if process.pid not in ours
    ]
    ticks, name = max(used, default=(0, ""))
    return (name, ticks) if ticks > 0 else None


def _earlier(before: Mapping[int, Process], process: Process) -> int:
    known = before.get(process.pid)
    return known.ticks if known is not None and known.start == process.start else 0


def _parse(line: str) -> Process | None:
    head, closing, tail = line.rpartition(")")
    number, _, name = head.partition(" (")
    values = [whole(word) for word in tail.split()[1:]]
    pid, values = whole(number), [None, *values]
    if not closing or pid is None or len(values) <= _START:
        return None
    parent, start = values[_PARENT], values[_START]
    times = [values[place] for place in (_USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM)]
    user, system, waited, waited_system = (max(time or 0, 0) for time in times)
    return Process(
        pid=pid,
        parent=parent or 0,
        name=_UNPRINTABLE.sub("_", name)[:32] or "unnamed",
        start=start or 0,
        ticks=user + system,
        with_children=user + system + waited + waited_system,
    )
