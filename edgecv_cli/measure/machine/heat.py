"""Temperatures of the processor, the trip points it reached, and clocks held down for heat.

Source: Linux ``Documentation/driver-api/thermal/sysfs-api.rst`` (millidegrees Celsius) and
``Documentation/hwmon/sysfs-interface.rst`` for machines that show no thermal zone.
"""

from __future__ import annotations

from pathlib import Path

from edgecv_cli.measure.machine.conditions import Seen
from edgecv_cli.measure.machine.files import matching, number, text

_OF_A_PROCESSOR = ("cpu", "pkg", "soc", "core", "tj", "gpu")
_SENSORS = frozenset({"coretemp", "k10temp", "zenpower", "cpu_thermal"})
_SLOWS = frozenset({"passive", "hot", "critical"})
_MOST_ZONES = 8
_MOST_COOLERS = 4
_TRIPS = 16
_PLAUSIBLE = range(-40_000, 150_000)  # what is outside is an unconnected or a sleeping sensor


class Heat:
    """Watches temperatures and what the kernel does about them."""

    def __init__(self, root: Path) -> None:
        self._thermal = root / "sys/class/thermal"
        self._hwmon = root / "sys/class/hwmon"
        self._sensors: dict[str, int | None] = {}
        self._coolers: list[str] = []
        self._hottest: list[int] = []
        self._peaks: dict[str, int] = {}
        self._looks = self._capped = 0

    def begin(self) -> None:
        """Find the processor's sensors and their trip points."""
        self._sensors = self._zones() or self._chips()
        self._coolers = [
            f"{device}/cur_state"
            for device in matching(self._thermal, "cooling_device*")
            if "cpufreq" in (kind := text(device / "type")) or kind == "Processor"
        ][:_MOST_COOLERS]
        self._hottest, self._peaks, self._looks, self._capped = [], {}, 0, 0
        self.sample()

    def sample(self) -> None:
        """Read every temperature, and whether a clock is held down."""
        read = {path: degrees for path in self._sensors if (degrees := _degrees(path)) is not None}
        if read:
            seen = [*self._hottest, max(read.values())]
            # the first, the hottest and the latest: a run may last for days
            self._hottest = seen if len(seen) < 4 else [seen[0], max(seen), seen[-1]]
        for path, degrees in read.items():
            self._peaks[path] = max(degrees, self._peaks.get(path, degrees))
        self._looks += 1
        self._capped += any((number(path) or 0) > 0 for path in self._coolers)

    @property
    def latest_c(self) -> float | None:
        """The hottest sensor at the last look, in degrees Celsius; None without a sensor."""
        return self._hottest[-1] / 1000 if self._hottest else None

    def end(self) -> Seen:
        """Say how hot it became."""
        self.sample()
        seen = self._hottest
        return Seen(
            {
                "temperature_first_c": seen[0] / 1000 if seen else None,
                "temperature_last_c": seen[-1] / 1000 if seen else None,
                "temperature_max_c": max(seen) / 1000 if seen else None,
                "capped": self._capped / self._looks if self._coolers else None,
            },
            tuple(filter(None, [self._line()])),
        )

    def _zones(self) -> dict[str, int | None]:
        zones = [
            zone
            for zone in matching(self._thermal, "thermal_zone*")
            if any(part in text(zone / "type").lower() for part in _OF_A_PROCESSOR)
        ]
        return {
            str(zone / "temp"): _lowest_trip(zone)
            for zone in zones[:_MOST_ZONES]
            if _degrees(f"{zone}/temp") is not None
        }

    def _chips(self) -> dict[str, int | None]:
        return {
            str(chip / "temp1_input"): None
            for chip in matching(self._hwmon, "hwmon*")
            if text(chip / "name") in _SENSORS and _degrees(f"{chip}/temp1_input") is not None
        }

    def _line(self) -> str | None:
        reached = [
            (peak, trip)
            for path, peak in self._peaks.items()
            if (trip := self._sensors[path]) is not None and peak >= trip
        ]
        if not self._capped and not reached:
            return None
        what = []
        if reached:
            peak, trip = max(reached)
            what.append(f"reached {peak / 1000:.0f} °C, the kernel's limit is {trip / 1000:.0f} °C")
        if self._capped:
            what.append(
                f"had its clock held down for heat in {self._capped} of {self._looks} looks"
            )
        return (
            f"the processor {' and '.join(what)}: times are those of a hot machine and depend on "
            "what ran before; cool it (fan, heat sink), wait between runs, or measure for as long "
            "as the product runs"
        )


def _degrees(path: str) -> int | None:
    found = number(path)
    return found if found is not None and found in _PLAUSIBLE else None


def _lowest_trip(zone: Path) -> int | None:
    """Return the lowest temperature at which the kernel slows or stops the machine."""
    trips = [
        number(zone / f"trip_point_{place}_temp")
        for place in range(_TRIPS)
        if text(zone / f"trip_point_{place}_type") in _SLOWS
    ]
    # Zero and below: a trip point that nobody has set.
    return min((trip for trip in trips if trip is not None and trip > 0), default=None)
