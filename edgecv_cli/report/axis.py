"""A stretch of numbers laid onto 0..1, and where its ticks stand. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

_MARGIN = 0.09  # of the axis, on both sides: room for the names of marks
_TICKS = 6
_EDGE = 0.04


class Axis:
    """Numbers from ``low`` to ``high``, with a margin on both sides.

    Args:
        low, high: what has to be on it; where they are equal, some room is made around them.
        margin: on each side, as a share of the axis.
        ticks: how many there are at most, about.
    """

    def __init__(
        self, low: float, high: float, *, margin: float = _MARGIN, ticks: int = _TICKS
    ) -> None:
        if high <= low:
            room = abs(low) / 10 or 1.0
            low, high = low - room, high + room
        beside = (high - low) * margin / (1 - 2 * margin)
        self.low, self.high = low - beside, high + beside
        self._ticks = ticks

    @classmethod
    def over(cls, values: Iterable[float], *, margin: float = _MARGIN, ticks: int = _TICKS) -> Axis:
        """Return an axis with all values on it."""
        held = list(values)
        return cls(min(held), max(held), margin=margin, ticks=ticks)

    def place(self, value: float) -> float:
        """Return where a value stands, 0..1."""
        return (value - self.low) / (self.high - self.low)

    def ticks(self, *, edge: float = _EDGE) -> list[tuple[float, str]]:
        """Return values at steps of 1, 2 or 5 times a power of ten, with their text.

        Args:
            edge: share of the axis at both ends without any: a text that is centred on its tick
                would be cut off there.
        """
        rough = (self.high - self.low) / self._ticks
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * size for size in (1, 2, 5, 10) if power * size >= rough)
        digits = max(0, -math.floor(math.log10(step)))
        first, last = math.ceil(max(self.low, 0) / step), math.floor(self.high / step)
        values = [number * step for number in range(first, last + 1)]
        inside = [value for value in values if edge <= self.place(value) <= 1 - edge]
        return [(value, f"{value:.{digits}f}") for value in inside]
