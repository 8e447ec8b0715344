"""Who else used the processor: other processes, and a hypervisor's other machines.

Source: proc(5), ``/proc/stat``: ticks of each core as user, nice, system, idle, iowait, irq,
softirq and steal (guest time is in user and nice already).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecv_cli.measure.machine.conditions import Seen
from edgecv_cli.measure.machine.files import text, whole
from edgecv_cli.measure.machine.processes import Process, busiest, family_ticks, processes

STEAL_LIMIT = 0.01
OTHER_LIMIT = 0.10
"""Fraction of the usable cores that other processes may use before it is said."""

_COUNTED = 8
_IDLE, _IOWAIT, _STEAL = 3, 4, 7
_FEWEST_TICKS = 50  # a core's, about half a second: below, single ticks would be seen as load


@dataclass(frozen=True)
class _Cores:
    count: int
    total: int
    busy: int
    steal: int


class Load:
    """Compares what the cores did with what this process and its descendants did.

    Args:
        root: of the file system.
        cores: numbers of the usable cores.
        pid: of the process whose family is the benchmark.
    """

    def __init__(self, root: Path, cores: Sequence[int], pid: int) -> None:
        self._root, self._pid = root, pid
        self._names = {f"cpu{core}" for core in cores}
        self._cores = _Cores(0, 0, 0, 0)
        self._processes: Mapping[int, Process] = {}

    def begin(self) -> None:
        """Read every counter."""
        self._processes = processes(self._root)
        self._cores = self._read()

    def sample(self) -> None:
        """Do nothing: counters tell at the end what happened since the beginning."""

    def end(self) -> Seen:
        """Say what share of the processor others had."""
        before, now = self._cores, self._read()
        elapsed = now.total - before.total
        if not before.count or now.count != before.count or elapsed < _FEWEST_TICKS * now.count:
            return Seen()
        steal = max(0, now.steal - before.steal) / elapsed
        ticks = elapsed / now.count
        other, busiest_line = self._others(now.busy - before.busy, ticks)
        lines = [_steal_line(steal), self._other_line(other, busiest_line)]
        return Seen({"steal": steal, "other_load": other}, tuple(filter(None, lines)))

    def _others(self, busy: int, ticks: float) -> tuple[float | None, str]:
        """Return the cores that others used, and who most of all."""
        now = processes(self._root)
        if self._pid not in now or self._pid not in self._processes:
            return None, ""  # ours can't be told from theirs
        ours = family_ticks(now, self._pid) - family_ticks(self._processes, self._pid)
        most = busiest(self._processes, now, self._pid)
        named = f" (most: {most[0]}, {most[1] / ticks:.1f})" if most else ""
        return max(0, busy - ours) / ticks, named

    def _other_line(self, other: float | None, most: str) -> str | None:
        count = self._cores.count
        if other is None or other <= OTHER_LIMIT * count:
            return None
        return (
            f"other processes used {other:.1f} of {count} cores during the run{most}: times are "
            "longer and vary more, ratios hold better; end them, or give the models cores of "
            "their own with --affinity"
        )

    def _read(self) -> _Cores:
        count = total = busy = steal = 0
        for line in text(self._root / "proc/stat").splitlines():
            name, *words = line.split() or [""]
            if name not in self._names:
                continue
            ticks = [whole(word) or 0 for word in words[:_COUNTED]]
            if len(ticks) == _COUNTED:
                count += 1
                total += sum(ticks)
                steal += ticks[_STEAL]
                busy += sum(ticks) - ticks[_IDLE] - ticks[_IOWAIT] - ticks[_STEAL]
        return _Cores(count, total, busy, steal)


def _steal_line(steal: float) -> str | None:
    if steal <= STEAL_LIMIT:
        return None
    return (
        f"the hypervisor took {steal:.1%} of this machine's processor time for other machines "
        "(steal): times are longer and vary more, p99 most of all; use a host of your own or "
        "dedicated cores"
    )
