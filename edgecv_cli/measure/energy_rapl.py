"""Energy counters of Intel and AMD processors (RAPL), as Linux shows them.

Source: Linux ``Documentation/power/powercap/powercap.rst``: ``energy_uj`` counts microjoules and
begins again at ``max_energy_range_uj``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from edgecv_cli.measure.energy_meter import Clock, EnergyMeter, SensorLostError
from edgecv_cli.measure.machine.files import matching, number, text

# Zones below a package (core, uncore, dram) are parts of it or memory, and psys holds packages:
# to add them would count joules twice. intel-rapl-mmio shows the same packages once more.
_TOP = re.compile(r"intel-rapl:\d+")
_ALLOW = "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"


class RaplMeter(EnergyMeter):
    """The sum of all processor packages.

    A counter that begins again is followed as long as it is read at least once per round of it,
    which takes minutes at the least.

    Args:
        zones: folders of the packages.
        clock: nanoseconds.

    Raises:
        SensorLostError: a counter can't be read.
    """

    def __init__(self, zones: Sequence[Path], clock: Clock = time.monotonic_ns) -> None:
        self.clock = clock
        self.name = "RAPL " + " + ".join(text(zone / "name") for zone in zones)
        packages = "the whole processor package" if len(zones) == 1 else "all processor packages"
        self.scope = f"{packages}, everything that ran on it included; memory and board are not"
        self._zones = tuple(zones)
        self._ranges = [number(zone / "max_energy_range_uj") for zone in zones]
        self._last = [_counter(zone) for zone in zones]
        self._total = 0

    def read_uj(self) -> int:
        """Return the energy since the meter was made, in microjoules.

        Raises:
            SensorLostError: a counter can't be read, or went back without a known range.
        """
        for place, zone in enumerate(self._zones):
            now = _counter(zone)
            rise = now - self._last[place]
            if rise < 0:
                rise += self._ranges[place] or 0
            if rise < 0:
                raise SensorLostError(
                    f"the counter '{zone / 'energy_uj'}' went back", remedy="measure again"
                )
            self._last[place] = now
            self._total += rise
        return self._total


def find_rapl(root: Path, clock: Clock = time.monotonic_ns) -> tuple[RaplMeter | None, str | None]:
    """Return the meter, or a note on what to type where one is there but may not be read."""
    zones = [
        zone
        for zone in matching(root / "sys/class/powercap", "intel-rapl:*")
        if _TOP.fullmatch(zone.name) and text(zone / "name").startswith("package")
    ]
    if not zones:
        return None, None
    try:
        return RaplMeter(zones, clock), None
    except SensorLostError as lost:
        return None, f"energy was not measured: {lost.problem}; {lost.remedy}"


def _counter(zone: Path) -> int:
    found = number(zone / "energy_uj")
    if found is None:
        raise SensorLostError(
            f"'{zone / 'energy_uj'}' can't be read (the kernel lets root alone)",
            remedy=f"until the next start: `{_ALLOW}`",
        )
    return found
