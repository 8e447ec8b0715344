"""The port to a sensor that tells how much energy was used."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from edgecv_cli.core.errors import EdgeCVError

Clock = Callable[[], int]


@dataclass
class Taken:
    """Energy of one block, complete when the block has been left.

    Attributes:
        joules: energy; None while it is measured, or where the sensor stopped answering.
        seconds: how long that took.
    """

    joules: float | None = None
    seconds: float = 0.0


class SensorLostError(EdgeCVError):
    """A sensor that could be read before gave no answer."""

    kind = "sensor"


class EnergyMeter(ABC):
    """A sensor whose readings add up to energy.

    ::

        with meter:                       # sensors without a counter sample from here on
            with meter.measure() as taken:
                ...
            taken.joules

    Attributes:
        name: of the sensor: ``RAPL package-0``.
        scope: what its energy is of, in words.
        clock: nanoseconds.
    """

    name: str
    scope: str
    clock: Clock = staticmethod(time.monotonic_ns)

    @abstractmethod
    def read_uj(self) -> int:
        """Return the energy since the meter was made or started, in microjoules.

        Raises:
            SensorLostError: the sensor gives no answer.
        """

    def start(self) -> None:  # noqa: B027 - a counter needs none
        """Begin to sample, if the sensor has no counter of its own."""

    def stop(self) -> None:  # noqa: B027
        """End sampling; more than once does no harm."""

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    @contextmanager
    def measure(self) -> Iterator[Taken]:
        """Measure what a block uses; an exception of the block passes through."""
        taken = Taken()
        began, before = self.clock(), self._read()
        yield taken
        after, ended = self._read(), self.clock()
        taken.seconds = (ended - began) / 1e9
        if before is not None and after is not None:
            taken.joules = (after - before) / 1e6

    def watts(self, seconds: float, sleep: Callable[[float], None] = time.sleep) -> float | None:
        """Return the mean power over that long of doing nothing; None if it can't be told."""
        with self.measure() as taken:
            sleep(seconds)
        if taken.joules is None or taken.seconds <= 0:
            return None
        return taken.joules / taken.seconds

    def _read(self) -> int | None:
        try:
            return self.read_uj()
        except SensorLostError:
            return None
