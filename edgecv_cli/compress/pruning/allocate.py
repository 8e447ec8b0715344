"""Share a budget of multiply-accumulates out over the groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgecv_cli.compress.pruning.curves import Curve
from edgecv_cli.compress.pruning.flow import Flow


class Costs:
    """The multiply-accumulates of a graph as units leave it, layer by layer."""

    def __init__(self, flow: Flow, curves: Sequence[Curve]) -> None:
        self._macs = np.asarray([layer.macs for layer in flow.topology.layers.values()], np.float64)
        self._sides: list[dict[int, dict[int, int]]] = []
        names = list(flow.topology.layers)
        units = {int(unit) for curve in curves for unit in curve.order}
        self._left = np.ones((2, len(names)))
        self._total = np.ones((2, len(names)))
        self._touch: dict[int, list[tuple[int, int, int]]] = {unit: [] for unit in units}
        for place, (name, layer) in enumerate(flow.topology.layers.items()):
            tensors = (name,) if layer.depthwise else (name, layer.data)
            for side, tensor in enumerate(tensors):
                found = flow.channels.get(tensor)
                if found is None:
                    continue
                self._total[side, place] = self._left[side, place] = len(found.labels)
                for unit, times in zip(*np.unique(found.labels, return_counts=True), strict=True):
                    if int(unit) in self._touch:
                        self._touch[int(unit)].append((side, place, int(times)))

    @property
    def macs(self) -> float:
        """Multiply-accumulates with what has left so far."""
        return float((self._macs * (self._left / self._total).prod(axis=0)).sum())

    def saved(self, units: Sequence[int]) -> float:
        """Return how many fewer they were if these units left as well."""
        before = self.macs
        self.remove(units)
        after = self.macs
        for unit in units:
            for side, place, times in self._touch[unit]:
                self._left[side, place] += times
        return before - after

    def remove(self, units: Sequence[int]) -> None:
        """Take units out."""
        for unit in units:
            for side, place, times in self._touch[unit]:
                self._left[side, place] -= times


def allocate(
    flow: Flow,
    curves: Sequence[Curve],
    *,
    share: float,
    step: int,
) -> tuple[frozenset[int], float]:
    """Return the units that leave, and the share of multiply-accumulates that stays.

    Again and again the group loses a step for which the least damage is done for each
    multiply-accumulate saved, until the budget is met or nothing may leave.

    Args:
        flow: the graph's channels.
        curves: how each group's units leave.
        share: multiply-accumulates to keep, 0..1.
        step: units that leave together.
    """
    costs = Costs(flow, curves)
    whole = costs.macs
    taken = [0] * len(curves)
    removed: set[int] = set()
    while costs.macs > share * whole:
        best, place = np.inf, -1
        for index, curve in enumerate(curves):
            begin = taken[index]
            if begin + step > len(curve.order):
                continue
            units = [int(one) for one in curve.order[begin : begin + step]]
            before = curve.errors[begin - 1] if begin else 0.0
            damage = curve.errors[begin + step - 1] - before
            price = damage / max(costs.saved(units), 1e-9)
            if price < best:
                best, place = price, index
        if place < 0:
            break
        units = [int(u) for u in curves[place].order[taken[place] : taken[place] + step]]
        costs.remove(units)
        removed.update(units)
        taken[place] += step
    left = flow.survivable(removed)
    return left, flow.macs(left) / max(1, flow.macs(()))
