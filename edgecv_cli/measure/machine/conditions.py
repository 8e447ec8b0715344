"""The record of what the machine did while it was timed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import Field

from edgecv_cli.core.result import Part


class Conditions(Part):
    """What the kernel showed during the timed rounds; what it does not show is absent."""

    governor: str | None = Field(
        default=None, description="Frequency governors of the usable cores when it began."
    )
    frequency_first_mhz: float | None = Field(
        default=None,
        description="Clock of the fastest core, median over the first third of the looks.",
    )
    frequency_last_mhz: float | None = Field(
        default=None, description="The same over the last third."
    )
    temperature_first_c: float | None = Field(
        default=None, description="Hottest sensor of the processor when it began."
    )
    temperature_last_c: float | None = None
    temperature_max_c: float | None = None
    throttle_events: int | None = Field(
        default=None, description="Times that one core, or the package, throttled for heat."
    )
    capped: float | None = Field(
        default=None,
        description="Fraction of the looks in which the kernel held the clock down for heat.",
    )
    steal: float | None = Field(
        default=None, description="Fraction of the processor time that the hypervisor took."
    )
    other_load: float | None = Field(
        default=None,
        description="Usable cores that other processes kept busy on average; the benchmark's own "
        "processes are not in it.",
    )
    quota_stopped_s: float | None = Field(
        default=None, description="Seconds that the container's CPU quota stopped its processes."
    )
    swapped_bytes: int | None = Field(
        default=None, description="Moved between memory and swap, by the whole machine."
    )
    under_voltage: bool | None = Field(
        default=None, description="Whether the board's supply fell too low (Raspberry Pi)."
    )


@dataclass(frozen=True)
class Seen:
    """What one source has to say at the end.

    Attributes:
        figures: fields of :class:`Conditions`; None where nothing was shown.
        warnings: one line each: what, how much, what it does to the figures, what to do.
    """

    figures: Mapping[str, str | float | bool | None] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Source(Protocol):
    """Something that the kernel shows, looked at before, between and after timed blocks."""

    def begin(self) -> None:
        """Look for the first time."""
        ...

    def sample(self) -> None:
        """Look again, in a few microseconds."""
        ...

    def end(self) -> Seen:
        """Look for the last time and say what was seen."""
        ...
