"""Judge whole cuts by their detections, and trade channels between groups while that helps.

What groups cost one by one does not add up: cut together, some lose more than the sum, others
less. So several shares of a budget are measured whole, and from the best of them on channels of
one group come back for those of others as long as the whole gets better by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.compress.pruning.allocate import Price, part_of, way_of
from edgecv_cli.compress.pruning.curves import Curve, strides
from edgecv_cli.compress.pruning.flow import Flow

Counts = tuple[int, ...]
# parts of a group's steps that are traded at once, and how many trades are tried in a round
_MOVED = 6
_TRIED = 3


@dataclass(frozen=True)
class Budget:
    """What is to be met.

    Attributes:
        price: what is counted.
        share: the part of it that stays at most, 0..1.
        step: units that leave together.
    """

    price: Price
    share: float
    step: int


class Trade:
    """Looks for the cut that costs least, all of it measured at once.

    Args:
        flow: the graph's channels.
        curves: how each group's units leave.
        budget: what is to be met.
        loss: of detections without some units, 0..1.
        most: cuts that are measured at most.
    """

    def __init__(
        self,
        flow: Flow,
        curves: Sequence[Curve],
        budget: Budget,
        loss: Callable[[frozenset[int]], float],
        *,
        most: int,
    ) -> None:
        self._flow, self._curves, self._budget = flow, curves, budget
        self._loss, self._most = loss, most
        self._ends = [
            np.cumsum([0, *strides(len(one.group.units), len(one.order), budget.step)])
            for one in curves
        ]
        self._seen: dict[Counts, float] = {}
        self._parts: dict[Counts, float] = {}

    def best(self) -> frozenset[int]:
        """Return the units that leave; where the budget can't be met, all that may."""
        starts = self._starts()
        if self._part(starts[0]) > self._budget.share:
            return self._units(starts[0])
        counts = min(starts, key=self._measured)
        while len(self._seen) < self._most:
            better = self._traded(counts)
            if better == counts:
                break
            counts = better
        return self._units(counts)

    def _starts(self) -> list[Counts]:
        """Return different ways to meet the budget, the plain one first."""
        found: dict[Counts, None] = {}
        for curves in (self._curves, [_convex(one) for one in self._curves]):
            for until in (self._budget.share, 0.0):
                way = way_of(
                    self._flow,
                    curves,
                    step=self._budget.step,
                    price=self._budget.price,
                    until=until,
                )
                found[self._counts(way.removed(way.reaching(self._budget.share)))] = None
        return list(found)

    def _counts(self, removed: frozenset[int]) -> Counts:
        gone = np.asarray(sorted(removed), np.int64)
        return tuple(
            int(np.searchsorted(end, np.isin(curve.order, gone).sum()))
            for curve, end in zip(self._curves, self._ends, strict=True)
        )

    def _units(self, counts: Counts) -> frozenset[int]:
        parts = zip(self._curves, self._ends, counts, strict=True)
        return self._flow.survivable(
            {int(unit) for curve, end, taken in parts for unit in curve.order[: end[taken]]}
        )

    def _part(self, counts: Counts) -> float:
        if counts not in self._parts:
            self._parts[counts] = part_of(self._flow, self._budget.price, self._units(counts))
        return self._parts[counts]

    def _measured(self, counts: Counts) -> float:
        if counts not in self._seen:
            self._seen[counts] = self._loss(self._units(counts))
        return self._seen[counts]

    def _traded(self, counts: Counts) -> Counts:
        """Return the best cut that one trade leads to; the same where none is better."""
        backs, onwards = self._moves(counts, -1), self._moves(counts, 1)
        offers = [
            self._filled(counts, backs[place : place + 1], onwards) for place in range(_TRIED)
        ]
        offers += [self._filled(counts, backs[:several], onwards) for several in (2, 3)]
        met = [one for one in offers if self._part(one) <= self._budget.share]
        return min([counts, *met], key=self._measured)

    def _moves(self, counts: Counts, sign: int) -> list[int]:
        """Return groups, those first for which it pays most to bring back or take out some more."""
        loss, part = self._measured(counts), self._part(counts)
        able = [place for place in range(len(counts)) if self._moved(counts, place, sign) != counts]
        told = sorted(able, key=lambda place: -sign * self._told(counts, place, sign))
        found = []
        for place in told[-max(4, self._most // 4) :]:
            if len(self._seen) >= self._most:
                break
            moved = self._moved(counts, place, sign)
            change = abs(self._part(moved) - part)
            found.append(((self._measured(moved) - loss) / max(change, 1e-9), place))
        return [place for _, place in sorted(found)]

    def _told(self, counts: Counts, place: int, sign: int) -> float:
        """Return what the group's own curve says of a move, for what it changes of the cost."""
        moved = self._moved(counts, place, sign)
        curve, end = self._curves[place], self._ends[place]
        harms = [
            float(curve.errors[end[one[place]] - 1]) if one[place] else 0.0
            for one in (counts, moved)
        ]
        change = abs(self._part(moved) - self._part(counts))
        return sign * (harms[1] - harms[0]) / max(change, 1e-9)

    def _moved(self, counts: Counts, place: int, sign: int) -> Counts:
        most = len(self._ends[place]) - 1
        size = max(1, most // _MOVED)
        taken = min(max(counts[place] + sign * size, 0), most)
        return (*counts[:place], taken, *counts[place + 1 :])

    def _filled(self, counts: Counts, backs: Sequence[int], onwards: Sequence[int]) -> Counts:
        """Bring some groups' units back, and take others' out until the budget is met."""
        found = counts
        for place in backs:
            found = self._moved(found, place, -1)
        for place in onwards:
            if self._part(found) <= self._budget.share:
                break
            if place not in backs:
                found = self._moved(found, place, 1)
        return found


def _convex(curve: Curve) -> Curve:
    """Return a curve of the same end whose first units cost less: cuts are spread wider by it."""
    many = len(curve.errors)
    parts: NDArray[np.float64] = np.arange(1, many + 1) / many
    return replace(curve, errors=curve.errors[-1] * parts**2)
