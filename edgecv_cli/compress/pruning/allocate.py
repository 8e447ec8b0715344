"""Share a budget out over the groups: of multiply-accumulates, of parameters or of time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.compress.pruning.curves import Curve, strides
from edgecv_cli.compress.pruning.flow import Flow

Array = NDArray[np.float64]


class Price(Protocol):
    """What layers cost."""

    def __call__(self, left: Array) -> Array:
        """Return the cost of each layer, float64 [layers], in the graph's order.

        Args:
            left: float64 [2, layers], 0..1: of the channels that each makes, and of those that
                it reads, the part that stays. What a depthwise layer reads counts as what it makes.
        """
        ...


def by_macs(flow: Flow) -> Price:
    """Return what prices layers by their multiply-accumulates."""
    macs = np.asarray([layer.macs for layer in flow.topology.layers.values()], np.float64)
    return lambda left: macs * left.prod(axis=0)


def by_parameters(flow: Flow) -> Price:
    """Return what prices layers by their weights; biases are left out."""
    topology = flow.topology
    names = [layer.weight for layer in topology.layers.values()]
    sizes = np.asarray([topology.elements(name) or 0 for name in names], np.float64)
    return lambda left: sizes * left.prod(axis=0)


def part_of(flow: Flow, price: Price, removed: Collection[int]) -> float:
    """Return the part of the cost that stays once ``removed`` has left, 0..1."""
    left = np.ones((2, len(flow.topology.layers)))
    for place, (name, layer) in enumerate(flow.topology.layers.items()):
        for side, tensor in enumerate((name,) if layer.depthwise else (name, layer.data)):
            keep = flow.keep(tensor, removed)
            left[side, place] = 1.0 if keep is None else float(keep.mean())
    whole = float(price(np.ones_like(left)).sum())
    return float(price(left).sum()) / max(whole, 1e-30)


class Costs:
    """What a graph costs as units leave it, layer by layer."""

    def __init__(self, flow: Flow, curves: Sequence[Curve], price: Price | None = None) -> None:
        self._price = price or by_macs(flow)
        units = {int(unit) for curve in curves for unit in curve.order}
        self._left = np.ones((2, len(flow.topology.layers)))
        self._total = np.ones_like(self._left)
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
    def total(self) -> float:
        """What it costs with what has left so far."""
        return float(self._price(self._left / self._total).sum())

    def saved(self, units: Sequence[int]) -> float:
        """Return how much less it were if these units left as well."""
        before = self.total
        self.remove(units)
        after = self.total
        for unit in units:
            for side, place, times in self._touch[unit]:
                self._left[side, place] += times
        return before - after

    def remove(self, units: Sequence[int]) -> None:
        """Take units out."""
        for unit in units:
            for side, place, times in self._touch[unit]:
                self._left[side, place] -= times


@dataclass(frozen=True)
class Way:
    """Steps in which channels leave, one after the other; a budget is met by the first of them.

    Attributes:
        steps: units that leave together.
        left: after each step, the part of the cost that stays.
        damage: after each step, the sum of what every group's curve says.
    """

    steps: tuple[tuple[int, ...], ...]
    left: tuple[float, ...]
    damage: tuple[float, ...]

    def reaching(self, share: float) -> int:
        """Return how many steps leave at most ``share`` of the cost; all, where none does."""
        return next(
            (place for place, left in enumerate(self.left, 1) if left <= share), len(self.steps)
        )

    def removed(self, count: int) -> frozenset[int]:
        """Return the units of the first ``count`` steps."""
        return frozenset(unit for step in self.steps[:count] for unit in step)


def way_of(
    flow: Flow,
    curves: Sequence[Curve],
    *,
    step: int,
    price: Price | None = None,
    until: float = 0.0,
) -> Way:
    """Return the steps in which channels leave.

    Again and again the group loses a step for which the least damage is done for what it saves;
    what a step saves beyond the budget counts for nothing.

    Args:
        flow: the graph's channels.
        curves: how each group's units leave.
        step: units that leave together; what stays of a group is a multiple of it.
        price: what is to be saved; None is multiply-accumulates.
        until: the part of the cost at which it ends.
    """
    costs = Costs(flow, curves, price)
    whole = max(costs.total, 1e-30)
    ends = [np.cumsum([0, *strides(len(c.group.units), len(c.order), step)]) for c in curves]
    taken = [0] * len(curves)
    steps: list[tuple[int, ...]] = []
    left: list[float] = []
    damage: list[float] = []
    while not left or left[-1] > until:
        need = costs.total - until * whole
        offers = [
            _offer(curve, costs, end[at : at + 2], place, need)
            for place, (curve, end, at) in enumerate(zip(curves, ends, taken, strict=True))
            if at + 1 < len(end)
        ]
        if not offers:
            break
        _, place, harm, units = min(offers)
        costs.remove(units)
        taken[place] += 1
        steps.append(units)
        left.append(costs.total / whole)
        damage.append((damage[-1] if damage else 0.0) + harm)
    return Way(tuple(steps), tuple(left), tuple(damage))


def _offer(
    curve: Curve, costs: Costs, span: NDArray[np.int64], place: int, need: float
) -> tuple[float, int, float, tuple[int, ...]]:
    begin, end = int(span[0]), int(span[1])
    units = tuple(int(one) for one in curve.order[begin:end])
    harm = float(curve.errors[end - 1] - (curve.errors[begin - 1] if begin else 0.0))
    saved = min(costs.saved(units), need)
    return harm / max(saved, 1e-9), place, harm, units


def allocate(
    flow: Flow,
    curves: Sequence[Curve],
    *,
    share: float,
    step: int,
    price: Price | None = None,
) -> tuple[frozenset[int], float]:
    """Return the units that leave, and the part of the cost that stays.

    Args:
        flow, curves, step, price: as of :func:`way_of`.
        share: the part of the cost to keep, 0..1; more stays where no more may leave.
    """
    way = way_of(flow, curves, step=step, price=price, until=share)
    left = flow.survivable(way.removed(way.reaching(share)))
    return left, part_of(flow, price or by_macs(flow), left)
