"""A container's quota, swap, and the supply voltage of a Raspberry Pi.

Sources: Linux ``Documentation/admin-guide/cgroup-v2.rst`` and ``cgroup-v1`` (cpu.stat), proc(5)
(``/proc/vmstat``, ``/proc/<pid>/cgroup``), and the ``raspberrypi-hwmon`` driver, whose alarm says
whether the voltage was too low since the last look.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from edgecv_cli.measure.machine.conditions import Seen
from edgecv_cli.measure.machine.files import fields, matching, number, text

SWAP_LIMIT_BYTES = 1 << 20


class Quota:
    """Watches whether the container's CPU quota stops the benchmark."""

    def __init__(self, root: Path, pid: int) -> None:
        self._root, self._pid = root, pid
        self._before: dict[Path, tuple[int, float]] = {}

    def begin(self) -> None:
        """Read how often each enclosing group was stopped."""
        self._before = self._read()

    def sample(self) -> None:
        """Do nothing: counters tell at the end what happened since the beginning."""

    def end(self) -> Seen:
        """Say how long the quota stopped the processes."""
        rises = [
            (seconds - self._before[group][1], periods - self._before[group][0])
            for group, (periods, seconds) in self._read().items()
            if group in self._before
        ]
        if not rises:
            return Seen()
        seconds, periods = max(rises)
        line = (
            f"the container's CPU quota stopped its processes for {seconds:.2f} s during the run "
            f"({periods} periods): the slowest times are waits for the quota; allow more CPUs "
            "(`docker run --cpus`, `resources.limits.cpu`), or use fewer --threads"
        )
        return Seen({"quota_stopped_s": max(0.0, seconds)}, (line,) if periods > 0 else ())

    def _read(self) -> dict[Path, tuple[int, float]]:
        found = {}
        for group in self._groups():
            seen = fields(group / "cpu.stat")
            # No period has passed under a quota: there is none.
            if "nr_throttled" in seen and seen.get("nr_periods"):
                seconds = seen.get("throttled_usec", 0) / 1e6 + seen.get("throttled_time", 0) / 1e9
                found[group] = (seen["nr_throttled"], seconds)
        return found

    def _groups(self) -> Iterator[Path]:
        """Yield the folders of this process's CPU group and of all that enclose it."""
        mounted = self._root / "sys/fs/cgroup"
        for line in text(self._root / f"proc/{self._pid}/cgroup").splitlines():
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if controllers and "cpu" not in controllers.split(","):
                continue
            top = mounted / controllers
            inside = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
            for depth in range(len(inside), -1, -1):
                yield top.joinpath(*inside[:depth])


class Swap:
    """Watches whether memory was moved to and from the disk."""

    def __init__(self, root: Path) -> None:
        self._path = root / "proc/vmstat"
        self._before: int | None = None

    def begin(self) -> None:
        """Read the counters."""
        self._before = self._pages()

    def sample(self) -> None:
        """Do nothing: counters tell at the end what happened since the beginning."""

    def end(self) -> Seen:
        """Say how much was moved."""
        now = self._pages()
        if now is None or self._before is None:
            return Seen()
        moved = max(0, now - self._before) * os.sysconf("SC_PAGE_SIZE")
        line = (
            f"the machine swapped {moved / 1e6:.0f} MB during the run: single times hold waits for "
            "the disk; end what needs the memory, or `sudo swapoff -a` while you measure"
        )
        return Seen({"swapped_bytes": moved}, (line,) if moved > SWAP_LIMIT_BYTES else ())

    def _pages(self) -> int | None:
        seen = fields(self._path)
        if "pswpin" not in seen or "pswpout" not in seen:
            return None
        return seen["pswpin"] + seen["pswpout"]


class Supply:
    """Watches the under-voltage alarm of a Raspberry Pi."""

    def __init__(self, root: Path) -> None:
        self._hwmon = root / "sys/class/hwmon"
        self._alarm: str | None = None
        self._looks: list[bool] = []

    def begin(self) -> None:
        """Find the alarm."""
        chips = (c for c in matching(self._hwmon, "hwmon*") if text(c / "name") == "rpi_volt")
        self._alarm = next((f"{chip}/in0_lcrit_alarm" for chip in chips), None)
        self._looks = []
        self.sample()

    def sample(self) -> None:
        """Read the alarm, which is taken back after a while."""
        raised = None if self._alarm is None else number(self._alarm)
        if raised is not None:
            self._looks.append(raised != 0)

    def end(self) -> Seen:
        """Say whether the voltage was too low."""
        self.sample()
        if not self._looks:
            return Seen()
        low = sum(self._looks)
        line = (
            f"the board's supply voltage was too low in {low} of {len(self._looks)} looks: the "
            "firmware lowers the clock then, and times are longer; use the board's own power "
            "supply (5.1 V, 3 A or 5 A) and a short cable"
        )
        return Seen({"under_voltage": low > 0}, (line,) if low else ())
