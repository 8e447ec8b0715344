"""Which of several candidates no other beats."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of those that no other beats, by growing x.

    One beats another that has less x or the same, and more y or the same, and is not its equal in
    both. Of equals all stay.

    Args:
        points: (x, y), of which less x and more y is better.
    """
    order = sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1]))
    front: list[int] = []
    for place in order:
        best = points[front[-1]] if front else None
        if best is None or points[place][1] > best[1] or points[place] == best:
            front.append(place)
    return front
