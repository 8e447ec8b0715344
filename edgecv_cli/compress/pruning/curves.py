"""What it costs to take channels out of a group, from the second moments of those who read them.

Were the weights W of a layer fitted anew after some of its inputs left, the squared error of its
output would be tr(W_S (P_SS)^-1 W_S^T), P being the inverse of the inputs' covariance, S what
left (the optimal brain surgeon, Hassibi and Stork 1993, over blocks of the kernel). Channels leave
in order of that error, a few at a time; what is left of P and W is updated as they go.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.compress.pruning.flow import Group
from edgecv_cli.compress.pruning.labels import Labels

Array = NDArray[np.float64]
_RIDGE = 0.01


@dataclass(frozen=True)
class Reader:
    """A convolution that reads channels, and what its inputs are like.

    Attributes:
        layer: its name.
        weight: [outputs, channels * kernel].
        covariance: of its inputs, [channels * kernel, channels * kernel].
        mean: of its inputs, [channels * kernel].
        variance: of its output, summed over channels.
        labels: of its input channels, int64 [channels].
    """

    layer: str
    weight: Array
    covariance: Array
    mean: Array
    variance: float
    labels: Labels

    def refitted(self, removed: Collection[int]) -> tuple[Array, Array]:
        """Return the weights on the inputs that stay, and by how much the bias shifts.

        Both are those of least squared error, [outputs, inputs that stay] and [outputs].
        """
        kernel = self.weight.shape[1] // len(self.labels)
        stay = np.repeat(~np.isin(self.labels, np.asarray(sorted(removed), np.int64)), kernel)
        inner = self.covariance[np.ix_(stay, stay)]
        power = np.trace(inner) / max(1, len(inner))
        damping = (_RIDGE * power + 1e-12) * np.eye(len(inner))
        across = self.covariance[stay] @ self.weight.T + damping @ self.weight[:, stay].T
        found = np.linalg.solve(inner + damping, across).T
        return found, self.weight @ self.mean - found @ self.mean[stay]


@dataclass(frozen=True)
class Curve:
    """The order in which the units of a group leave, and what that costs.

    Attributes:
        group: whose units.
        order: int64 [units that may leave], the first leaves first.
        errors: float64 [units that may leave]: after each, the squared error over the variance,
            summed over the layers that read the group, each fitted anew.
    """

    group: Group
    order: Labels
    errors: Array


def strides(units: int, most: int, step: int) -> list[int]:
    """Return how many of a group's units leave at a time, one after the other.

    The first time it is the odd part, so that a multiple of ``step`` stays: engines compute that
    many channels at a time.

    Args:
        units: how many there are.
        most: how many may leave in all.
        step: how many leave together.
    """
    first = units % step or step
    return [first] + [step] * ((most - first) // step) if first <= most else []


def curve_of(group: Group, readers: Mapping[str, Reader], *, step: int, cap: float) -> Curve | None:
    """Return how a group's units leave; None where nothing says what that costs.

    Args:
        group: whose units.
        readers: layer to what its inputs are like.
        step: units that leave together.
        cap: largest part of the group that may leave.
    """
    if not group.consumers or any(name not in readers for name in group.consumers):
        return None
    states = [_State(readers[name], group.units) for name in group.consumers]
    left = list(range(len(group.units)))
    order: list[int] = []
    errors: list[float] = []
    total = 0.0
    for count in strides(len(left), int(cap * len(left)), step):
        costs = sum((state.costs(left) for state in states), np.zeros(len(left)))
        leaving = [left[place] for place in np.argsort(costs, kind="stable")[:count]]
        total += sum(state.remove(leaving) for state in states)
        order += leaving
        errors += [total] * len(leaving)
        left = [one for one in left if one not in set(leaving)]
    return Curve(group, group.units[order], np.asarray(errors))


class _State:
    """One reader while units leave its inputs."""

    def __init__(self, reader: Reader, units: Labels) -> None:
        kernel = reader.weight.shape[1] // len(reader.labels)
        mean = np.trace(reader.covariance) / len(reader.covariance)
        damped = reader.covariance + (_RIDGE * mean + 1e-12) * np.eye(len(reader.covariance))
        self._inverse = np.linalg.inv(damped)
        self._weight = reader.weight.copy()
        self._variance = max(reader.variance, 1e-12)
        inside = np.arange(kernel)
        self._columns = [
            (np.flatnonzero(reader.labels == unit)[:, None] * kernel + inside).ravel()
            for unit in units
        ]

    def costs(self, left: Sequence[int]) -> Array:
        """Return what each unit would cost if it left alone, as a share of the variance."""
        return np.asarray([self._cost(self._columns[unit]) for unit in left]) / self._variance

    def _cost(self, columns: NDArray[np.int64]) -> float:
        if not len(columns):
            return 0.0
        weights = self._weight[:, columns]
        solved = np.linalg.solve(self._inverse[np.ix_(columns, columns)], weights.T)
        return float((weights.T * solved).sum())

    def remove(self, units: Sequence[int]) -> float:
        """Take units out together; return what that cost as a share of the variance."""
        columns = np.concatenate([self._columns[unit] for unit in units])
        if not len(columns):
            return 0.0
        block = self._inverse[np.ix_(columns, columns)]
        rows = self._inverse[columns]
        weights = self._weight[:, columns]
        cost = float((weights.T * np.linalg.solve(block, weights.T)).sum())
        pull = np.linalg.solve(block, rows)
        self._weight = self._weight - weights @ pull
        self._inverse = self._inverse - rows.T @ pull
        self._weight[:, columns] = 0
        # what left is out of reach for good
        self._inverse[columns] = 0
        self._inverse[:, columns] = 0
        self._inverse[columns, columns] = 1
        return cost / self._variance
