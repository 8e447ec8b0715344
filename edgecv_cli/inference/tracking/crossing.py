"""How many things crossed a line in the picture, by class and direction."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

Line = tuple[float, float, float, float]
Point = tuple[float, float]

_CLEAR = 0.05  # of a box's height: nearer to the line a thing is on neither side of it
_REMEMBERED = 4096


class LineCounter:
    """Counts tracks whose centre went from one side of a line's two ends to the other.

    A box trembles; a thing that stands on the line would cross it all the time. So it counts from
    a clear side to a clear side, and only where its way goes between the ends.

    Args:
        line: x1, y1, x2, y2 in pixels of the picture.

    Attributes:
        line: its ends.
        forward: by class index, from the left to the right of one who looks from the first end to
            the second; ``back``: the other way.
    """

    def __init__(self, line: Line) -> None:
        self.line = line
        self._clear: dict[int, tuple[Point, bool]] = {}
        self.forward: Counter[int] = Counter()
        self.back: Counter[int] = Counter()

    def update(self, seen: Iterable[tuple[int, int, tuple[float, float, float, float]]]) -> None:
        """Take one frame: the number, class index and box (x1, y1, x2, y2) of each track."""
        for number, class_id, (x1, y1, x2, y2) in seen:
            centre = ((x1 + x2) / 2, (y1 + y2) / 2)
            away = self._distance(centre)
            if abs(away) <= _CLEAR * (y2 - y1):
                continue
            before = self._clear.pop(number, None)
            self._clear[number] = centre, away > 0
            if before is not None and before[1] != (away > 0) and self._between(before[0], centre):
                (self.forward if away > 0 else self.back)[class_id] += 1
        while len(self._clear) > _REMEMBERED:  # those not seen for the longest time
            del self._clear[next(iter(self._clear))]

    def restart(self) -> None:
        """Forget where things are, not what was counted: another video begins."""
        self._clear.clear()

    def _distance(self, point: Point) -> float:
        """Return pixels to the line; positive on the right of one who looks along it."""
        x1, y1, x2, y2 = self.line
        length = math.hypot(x2 - x1, y2 - y1)
        return ((x2 - x1) * (point[1] - y1) - (y2 - y1) * (point[0] - x1)) / length

    def _between(self, one: Point, other: Point) -> bool:
        """Whether the way from one point to another meets the line between its ends."""
        near, far = self._distance(one), self._distance(other)
        share = near / (near - far)
        x, y = (a + share * (b - a) for a, b in zip(one, other, strict=True))
        x1, y1, x2, y2 = self.line
        along = (x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)
        return 0 <= along <= (x2 - x1) ** 2 + (y2 - y1) ** 2
