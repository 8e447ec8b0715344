"""What looks at the machine while rows are timed on it: a watch, and an energy meter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edgecv_cli.measure.energy import EnergyTally, find_meter
from edgecv_cli.measure.energy_meter import EnergyMeter
from edgecv_cli.measure.machine.conditions import Conditions
from edgecv_cli.measure.machine_watch import MachineWatch, Watched

IDLE_SECONDS = 2.0


class Instruments:
    """A watch and a meter around timed rounds; without either it does nothing.

    ::

        with instruments.running():
            tally = instruments.tally()       # one a row; None without a meter
            for block in blocks:
                with tally.meter.measure() as taken:
                    block.run()
                tally.add(taken, block.inferences)
                instruments.sample()
        instruments.conditions, instruments.warnings, tally.use()

    Args:
        watch: what looks at clocks, heat and load.
        meter: what counts energy.
        sleep: waits that many seconds while idle power is measured.
    """

    def __init__(
        self,
        watch: MachineWatch | None = None,
        meter: EnergyMeter | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._watch, self._meter, self._sleep = watch, meter, sleep
        self._idle_watts: float | None = None
        self._seen = Watched(None, ())

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure idle power for two seconds, if there is a meter, and watch until the end."""
        if self._meter is not None:
            self._meter.start()
        try:
            if self._meter is not None:
                self._idle_watts = self._meter.watts(IDLE_SECONDS, self._sleep)
            if self._watch is not None:
                self._watch.begin()
            yield
            if self._watch is not None:
                self._seen = self._watch.end()
        finally:
            if self._meter is not None:
                self._meter.stop()

    def sample(self) -> None:
        """Look at the machine, between timed blocks."""
        if self._watch is not None:
            self._watch.sample()

    @property
    def has_meter(self) -> bool:
        """Whether energy is measured."""
        return self._meter is not None

    def tally(self) -> EnergyTally | None:
        """Return what adds up the energy of one row; None without a meter."""
        return None if self._meter is None else EnergyTally(self._meter, self._idle_watts)

    @property
    def conditions(self) -> Conditions | None:
        """What was seen of the machine."""
        return self._seen.conditions

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of it makes the figures wrong."""
        return self._seen.warnings


def of_this_machine() -> tuple[Instruments, str | None]:
    """Return this machine's instruments, and a note where a sensor is there but may not be read."""
    found = find_meter()
    return Instruments(MachineWatch(), found.meter), found.note
