"""Energy per inference, where this machine has a sensor; elsewhere there is no figure."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgecv_cli.core.measurement import bootstrap_interval
from edgecv_cli.core.result import Interval, Part
from edgecv_cli.measure.energy_ina3221 import find_ina3221
from edgecv_cli.measure.energy_meter import Clock, EnergyMeter, Taken
from edgecv_cli.measure.energy_rapl import find_rapl

_RESAMPLES = 1000
_STRETCHES = 200
_FEWEST_BLOCKS = 5


class EnergyUse(Part):
    """What one inference took, as a sensor of the machine counted it during the timed blocks."""

    mj_per_inference: float = Field(
        description="Millijoules: energy of all blocks over the inferences in them, what the "
        "machine takes when idle included."
    )
    interval: Interval | None = Field(
        default=None, description="95 % interval of it, by bootstrap over blocks."
    )
    idle_watts: float | None = Field(
        default=None, description="Mean power before the rounds, while nothing was inferred."
    )
    net_mj_per_inference: float | None = Field(
        default=None,
        description="Millijoules beyond those that the idle machine takes in the same time; "
        "absent where idle power was not measured, or the interval over blocks holds zero.",
    )
    sensor: str
    scope: str = Field(description="What the sensor's energy is of.")
    inferences: int = Field(description="In the blocks, those that were not timed included.")
    blocks: int


@dataclass(frozen=True)
class FoundMeter:
    """What energy can be measured with.

    Attributes:
        meter: None where there is no sensor, or it may not be read.
        note: in the second case, why and what to type.
    """

    meter: EnergyMeter | None
    note: str | None = None


def find_meter(root: Path = Path("/"), clock: Clock = time.monotonic_ns) -> FoundMeter:
    """Return this machine's energy meter: a Jetson's power sensor, else the processor's counter."""
    board = find_ina3221(root, clock)
    if board is not None:
        return FoundMeter(board)
    return FoundMeter(*find_rapl(root, clock))


@dataclass
class EnergyTally:
    """The blocks of one row.

    Attributes:
        meter: what they are measured with.
        idle_watts: power before the rounds, from :meth:`EnergyMeter.watts`.
    """

    meter: EnergyMeter
    idle_watts: float | None = None
    _blocks: list[tuple[float, float, int]] = field(default_factory=list)

    def add(self, taken: Taken, inferences: int) -> None:
        """Add a block; one whose energy or whose inferences are unknown is left out.

        Args:
            taken: what it used, from :meth:`EnergyMeter.measure`.
            inferences: all that ran in it, settling ones too.
        """
        if taken.joules is not None and inferences > 0:
            self._blocks.append((taken.joules, taken.seconds, inferences))

    def use(self, seed: int = 0) -> EnergyUse | None:
        """Return what one inference took; None where no block was measured, or took nothing.

        A counter that did not move at all is no measurement.
        """
        joules, seconds, counts = np.array(self._blocks, np.float64).reshape(-1, 3).T
        total, inferences = float(joules.sum()), int(counts.sum())
        if total <= 0:
            return None
        idle = self.idle_watts
        beyond = None if idle is None else joules - idle * seconds
        return EnergyUse(
            mj_per_inference=1000 * total / inferences,
            interval=_interval(joules, counts, seed),
            idle_watts=idle,
            net_mj_per_inference=None if beyond is None else _above_zero(beyond, counts, seed),
            sensor=self.meter.name,
            scope=self.meter.scope,
            inferences=inferences,
            blocks=len(self._blocks),
        )


def _above_zero(
    joules: NDArray[np.float64], counts: NDArray[np.float64], seed: int
) -> float | None:
    """Return millijoules per inference, if they are more than what blocks differ by."""
    mean = 1000 * float(joules.sum() / counts.sum())
    between = _interval(joules, counts, seed)
    return mean if (mean if between is None else between.low) > 0 else None


def _interval(
    joules: NDArray[np.float64], counts: NDArray[np.float64], seed: int
) -> Interval | None:
    """Return the interval of millijoules per inference; None of fewer blocks than tell anything."""
    if len(joules) < _FEWEST_BLOCKS:
        return None
    size = min(len(joules), _STRETCHES)  # neighbouring blocks are joined
    parts = np.array_split(np.arange(len(joules)), size)
    energy = np.array([joules[part].sum() for part in parts])
    inferences = np.array([counts[part].sum() for part in parts])
    drawn = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), _RESAMPLES)
    return bootstrap_interval(1000 * (drawn @ energy) / (drawn @ inferences))
