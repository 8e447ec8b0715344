"""Power sensors of Jetson boards (INA3221), the ones that ``tegrastats`` reads.

Sources: Linux ``Documentation/hwmon/ina3221.rst`` (millivolts, milliamperes) and NVIDIA's Jetson
Linux Developer Guide, "Power and performance", for which rail feeds what.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecv_cli.measure.energy_meter import Clock, EnergyMeter, SensorLostError
from edgecv_cli.measure.machine.files import matching, number, text

INTERVAL_S = 0.05
_CHANNELS = (1, 2, 3)
_STOP_SECONDS = 5.0

# Rails that feed different things, so that their sum counts nothing twice; the first set that is
# there whole. Xavier NX, Orin NX and Orin Nano; AGX Orin; AGX Xavier.
_RAILS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("VDD_IN",), "the whole module, memory included; the carrier board is not"),
    (
        ("VDD_GPU_SOC", "VDD_CPU_CV"),
        "CPU, GPU, SoC and vision accelerators; memory and the board are not",
    ),
    (
        ("GPU", "CPU", "SOC", "CV"),
        "CPU, GPU, SoC and vision accelerators; memory and the board are not",
    ),
)


@dataclass(frozen=True)
class Rail:
    """One channel of a sensor: files with millivolts and milliamperes."""

    voltage: Path
    current: Path

    def watts(self) -> float:
        """Return the power now.

        Raises:
            SensorLostError: the sensor gives no answer.
        """
        millivolts, milliamperes = number(self.voltage), number(self.current)
        if millivolts is None or milliamperes is None:
            raise SensorLostError(
                f"the power sensor '{self.voltage.parent}' gives no answer",
                remedy="measure again; `tegrastats` tells whether it works",
            )
        return millivolts * milliamperes / 1e6


class Ina3221Meter(EnergyMeter):
    """Power of some rails, summed over time by trapezoids.

    A thread looks every 50 ms, and every reading of the energy is a look of its own. What is
    shorter than the sensor's own averaging (some milliseconds to a second) is not seen.

    Args:
        names: of the rails.
        rails: their channels.
        scope: what they feed, in words.
        clock: nanoseconds.
    """

    def __init__(
        self,
        names: Sequence[str],
        rails: Sequence[Rail],
        scope: str,
        clock: Clock = time.monotonic_ns,
    ) -> None:
        self.clock = clock
        self.name = f"INA3221 {' + '.join(names)}"
        self.scope = f"{scope}; power read every {INTERVAL_S * 1000:.0f} ms"
        self._rails = tuple(rails)
        self._lock = threading.Lock()
        self._last: tuple[int, float] | None = None
        self._joules = 0.0
        self._lost: SensorLostError | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to sample; energy counts from here on."""
        if self._thread is not None:
            return
        self._last, self._joules, self._lost = None, 0.0, None
        self._ended.clear()
        self._thread = threading.Thread(target=self._sample, name="energy", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End sampling."""
        thread, self._thread = self._thread, None
        self._ended.set()
        if thread is not None:
            thread.join(_STOP_SECONDS)

    def read_uj(self) -> int:
        """Return the energy since the start, in microjoules.

        Raises:
            SensorLostError: the sensor gave no answer, now or in between.
        """
        with self._lock:
            if self._lost is not None:
                raise self._lost
            self._look()
            return round(self._joules * 1e6)

    def _look(self) -> None:
        began = self.clock()
        watts = sum(rail.watts() for rail in self._rails)
        # Reading takes a millisecond or more: the figure is of its middle.
        now = (began + self.clock()) // 2
        if self._last is not None:
            before, power = self._last
            self._joules += (now - before) / 1e9 * (power + watts) / 2
        self._last = (now, watts)

    def _sample(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            with self._lock:
                try:
                    self._look()
                except SensorLostError as lost:
                    self._lost = lost
                    return


def find_ina3221(root: Path, clock: Clock = time.monotonic_ns) -> Ina3221Meter | None:
    """Return the meter of a Jetson board whose rails are known, else None."""
    there = _rails(root)
    for names, scope in _RAILS:
        if all(name in there for name in names):
            return Ina3221Meter(names, [there[name] for name in names], scope, clock)
    return None


def _rails(root: Path) -> Mapping[str, Rail]:
    found: dict[str, Rail] = {}
    for chip in matching(root / "sys/class/hwmon", "hwmon*"):
        if text(chip / "name") != "ina3221":
            continue
        for channel in _CHANNELS:
            rail = Rail(chip / f"in{channel}_input", chip / f"curr{channel}_input")
            label = text(chip / f"in{channel}_label")
            if label and number(rail.voltage) is not None and number(rail.current) is not None:
                found.setdefault(label, rail)
    return found
