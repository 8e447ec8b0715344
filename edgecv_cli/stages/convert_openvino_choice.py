"""Which of two int8 forms is kept: both met the gates, and both were measured alike."""

from __future__ import annotations

from dataclasses import dataclass

from edgecv_cli.config.common import Prefer


@dataclass(frozen=True)
class Contender:
    """An int8 form that met the gates.

    Attributes:
        name: what made it.
        measure: what ``fitness`` is, in words: "mAP" or "agreement".
        fitness: 0..1, on the same images as the other's; None where there were none.
    """

    name: str
    measure: str
    fitness: float | None


@dataclass(frozen=True)
class Speed:
    """time(first) / time(second), timed in turns, with its 95 % interval."""

    ratio: float
    low: float
    high: float

    @property
    def faster(self) -> int | None:
        """Which is shown to be faster, 0 or 1; None where the interval holds 1."""
        if self.low > 1:
            return 1
        return 0 if self.high < 1 else None


def choose(
    first: Contender, second: Contender, speed: Speed | None, prefer: Prefer
) -> tuple[int, str]:
    """Return which is kept, 0 or 1, and why.

    Both are within the gates, so ``balanced`` takes the one that is shown to be faster, and the
    more accurate one where neither is; ``accuracy`` asks the other way round; ``speed`` goes by
    the ratio, shown or not. Where nothing tells them apart the first is kept.
    """
    both = (first, second)
    accurate, quick = _accurate(first, second), speed.faster if speed else None
    if prefer == "speed" and speed is not None:
        quick = int(speed.ratio > 1)
    order = (accurate, quick) if prefer == "accuracy" else (quick, accurate)
    kept = next((place for place in order if place is not None), 0)
    by = "equal in what was measured"
    if order[0] is not None or order[1] is not None:
        by_speed = (order[0] is None) == (prefer == "accuracy")
        by = "faster" if by_speed else "more accurate"
    said = [text for text in (_fits(both), _ratio(both, speed)) if text]
    return kept, f"{both[kept].name}'s int8 is kept, {by}: " + "; ".join(said or ["not measured"])


def _accurate(first: Contender, second: Contender) -> int | None:
    if first.fitness is None or second.fitness is None or first.fitness == second.fitness:
        return None
    return int(second.fitness > first.fitness)


def _fits(both: tuple[Contender, Contender]) -> str | None:
    if any(one.fitness is None for one in both):
        return None
    figures = ", ".join(f"{one.fitness:.4f} of {one.name}'s" for one in both)
    return f"{both[0].measure} {figures}"


def _ratio(both: tuple[Contender, Contender], speed: Speed | None) -> str | None:
    if speed is None:
        return None
    first, second = both
    return (
        f"{second.name}'s runs at {speed.ratio:.2f} x the speed of {first.name}'s "
        f"({speed.low:.2f} to {speed.high:.2f})"
    )
