"""How many channels must leave for a speed: tried by the clock, on the whole network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgecv_cli.compress.pruning.allocate import Way
from edgecv_cli.measure.latency_result import SpeedResult

_TRIES = 7
# A try that is faster than asked by no more than this is near enough.
_ENOUGH = 1.02
_AIM = 1.005


@dataclass(frozen=True)
class Try:
    """A cut that was timed beside the original.

    Attributes:
        steps: how many of the way's steps were taken.
        speed: of the cut network.
    """

    steps: int
    speed: SpeedResult


class SpeedNotReachedError(Exception):
    """No cut is as fast as was asked.

    Attributes:
        tries: what was timed, in order.
    """

    def __init__(self, tries: tuple[Try, ...]) -> None:
        super().__init__("no cut is as fast as was asked")
        self.tries = tries

    @property
    def nearest(self) -> Try:
        """The fastest."""
        return max(self.tries, key=lambda one: one.speed.ratio)


def reach(
    way: Way, target: float, timed: Callable[[int], SpeedResult]
) -> tuple[Try, tuple[Try, ...]]:
    """Return the mildest cut found that is as fast as asked, and all that were timed.

    The layers' times say where time is saved, not how much of the whole: after each try the rest
    of the way is drawn anew through what it measured.

    Args:
        way: steps in which channels leave, with the part of the layers' time that stays.
        target: time(original) / time(cut) to reach.
        timed: times the network without the units of so many steps beside the original.

    Raises:
        SpeedNotReachedError: even the end of the way is slower.
    """
    slow, fast = 0, len(way.steps) + 1
    tries: list[Try] = []
    count = way.reaching(1 / target)
    while len(tries) < _TRIES and slow < count < fast:
        found = Try(count, timed(count))
        tries.append(found)
        if found.speed.ratio >= target:
            fast = count
            if found.speed.ratio <= target * _ENOUGH:
                break
        else:
            slow = count
        last = len(tries) == _TRIES - 1 and fast > len(way.steps)
        count = len(way.steps) if last else _next(way, found, target)
        count = min(max(count, slow + 1), max(slow + 1, fast - 1))
    met = [one for one in tries if one.speed.ratio >= target]
    if not met:
        raise SpeedNotReachedError(tuple(tries))
    return min(met, key=lambda one: one.steps), tuple(tries)


def _next(way: Way, last: Try, target: float) -> int:
    """Return the steps that should do, if time falls in proportion to what it fell by so far."""
    told = 1 - way.left[last.steps - 1]
    saved = 1 - 1 / last.speed.ratio
    if saved <= 0 or told <= 0:
        return len(way.steps)
    wanted = 1 - 1 / (target * _AIM)
    return way.reaching(1 - told * wanted / saved)
