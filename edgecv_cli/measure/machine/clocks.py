"""Frequency governors, clock frequencies and throttling events of the usable cores.

Sources: Linux ``Documentation/admin-guide/pm/cpufreq.rst`` (frequencies in kHz) and
``arch/x86`` ``thermal_throttle/*_throttle_count`` (events since boot).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from edgecv_cli.measure.machine.conditions import Seen
from edgecv_cli.measure.machine.files import number, numbers, spread, text, word

FALL_LIMIT = 0.10
_FEWEST_LOOKS = 6
_MOST_CLOCKS = 16  # that are looked at between blocks
_FOLLOWS_LOAD = frozenset({"powersave", "ondemand", "conservative", "schedutil"})
_FIX = "`sudo cpupower frequency-set -g performance`"


class Clocks:
    """Watches how fast the cores run.

    Args:
        root: of the file system.
        cores: numbers of the usable cores.
    """

    def __init__(self, root: Path, cores: Sequence[int]) -> None:
        self._cores = [f"{root}/sys/devices/system/cpu/cpu{core}" for core in cores]
        self._clocks: list[str] = []
        self._governed: list[str] = []
        self._governors: tuple[str, ...] = ()
        self._changed_to: tuple[str, ...] | None = None
        self._khz: list[int] = []
        self._throttled: dict[str, int] = {}

    def begin(self) -> None:
        """Note governors and throttling events as they are, and the first frequency."""
        # Cores of one cluster share a policy, which is what is read.
        policies = list(dict.fromkeys(os.path.realpath(f"{core}/cpufreq") for core in self._cores))
        clocked = [policy for policy in policies if number(_clock(policy)) is not None]
        self._clocks = spread(clocked, _MOST_CLOCKS)
        self._governed = [policy for policy in policies if word(_governor(policy))]
        self._governors = self._read_governors()
        self._changed_to = None
        self._throttled = self._read_throttled()
        self._khz = []
        self.sample()

    def sample(self) -> None:
        """Read the highest clock of the cores, which is that of one that works."""
        clocks = numbers(map(_clock, self._clocks))
        if clocks:
            self._khz.append(max(clocks))
        if self._governed and word(_governor(self._governed[0])) not in self._governors:
            self._look_at_governors()

    def end(self) -> Seen:
        """Say what governors, clocks and counters did."""
        self.sample()
        self._look_at_governors()
        first, last = self._thirds()
        events = self._events()
        warnings = [self._governor_line(), self._fall_line(first, last), _throttle_line(events)]
        return Seen(
            {
                "governor": ", ".join(self._governors) or None,
                "frequency_first_mhz": None if first is None else first / 1000,
                "frequency_last_mhz": None if last is None else last / 1000,
                "throttle_events": events,
            },
            tuple(filter(None, warnings)),
        )

    def _look_at_governors(self) -> None:
        now = self._read_governors()
        if now and now != self._governors:
            self._changed_to = now

    def _read_governors(self) -> tuple[str, ...]:
        names = {word(_governor(policy)) for policy in self._governed}
        return tuple(sorted(names - {""}))

    def _read_throttled(self) -> dict[str, int]:
        paths = [
            f"{core}/thermal_throttle/{part}_throttle_count"
            for core in self._cores
            for part in ("core", "package")
        ]
        return {path: count for path in paths if (count := number(path)) is not None}

    def _events(self) -> int | None:
        # Every core shows its package's count, so that a sum would count one event many times.
        now = self._read_throttled()
        return max((now[path] - self._throttled.get(path, now[path]) for path in now), default=None)

    def _thirds(self) -> tuple[float | None, float | None]:
        if not self._khz:
            return None, None
        third = max(1, len(self._khz) // 3)
        return float(median(self._khz[:third])), float(median(self._khz[-third:]))

    def _governor_line(self) -> str | None:
        before = ", ".join(self._governors)
        if self._changed_to is not None:
            return (
                f"the frequency governor changed during the run, from {before} to "
                f"{', '.join(self._changed_to)}: earlier and later rounds had different clocks; "
                f"set one with {_FIX} and measure again"
            )
        if _FOLLOWS_LOAD.isdisjoint(self._governors) or not self._could_be_steady():
            return None
        return (
            f"the frequency governor is {before}: clocks follow the load, so times are longer and "
            f"vary more than the machine's best; set it with {_FIX}, or leave it if the product "
            "runs so too"
        )

    def _could_be_steady(self) -> bool:
        return any(
            "performance" in text(f"{policy}/scaling_available_governors").split()
            for policy in self._governed
        )

    def _fall_line(self, first: float | None, last: float | None) -> str | None:
        if first is None or last is None or len(self._khz) < _FEWEST_LOOKS:
            return None
        most = max(numbers(f"{policy}/cpuinfo_max_freq" for policy in self._clocks), default=first)
        if last > (1 - FALL_LIMIT) * first or last > (1 - FALL_LIMIT) * most:
            return None
        return (
            f"the processor's clock fell during the run from {first / 1e6:.2f} to "
            f"{last / 1e6:.2f} GHz (it can do {most / 1e6:.2f}): later rounds are slower, and a "
            "product that runs for long is slower too; cool the machine, or fix a clock that it "
            f"holds: `sudo cpupower frequency-set --max {last / 1000:.0f}MHz`"
        )


def _clock(policy: str) -> str:
    return f"{policy}/scaling_cur_freq"


def _governor(policy: str) -> str:
    return f"{policy}/scaling_governor"


def _throttle_line(events: int | None) -> str | None:
    if not events or events < 0:
        return None
    times = "once" if events == 1 else f"{events} times"
    return (
        f"the processor throttled for heat {times} during the run: times are those of a hot "
        "machine; cool it, or measure with fewer --threads, and let it rest before"
    )
