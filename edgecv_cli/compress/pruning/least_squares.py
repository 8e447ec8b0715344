"""Regularised least squares from second moments, for the weights of many groups at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# as shares of the mean second moment of the inputs
RIDGES = (0.001, 0.01, 0.1, 1.0)


class Moments:
    """Sums over positions of inputs x and of what they should come to, y, group by group."""

    def __init__(self) -> None:
        self.count = 0
        self._gram: Array = np.zeros((0, 0, 0))
        self._cross: Array = np.zeros((0, 0, 0))
        self._x: Array = np.zeros((0, 0))
        self._y: Array = np.zeros((0, 0))
        self._yy: Array = np.zeros((0, 0))

    @property
    def groups(self) -> int:
        """How many groups."""
        return len(self._x)

    def add(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> None:
        """Add positions.

        Args:
            x: [groups, positions, inputs].
            y: [groups, outputs, positions].
        """
        wide = y.astype(np.float64)
        across = x.transpose(0, 2, 1)
        parts = (
            (across @ x).astype(np.float64),
            (across @ y.transpose(0, 2, 1)).astype(np.float64),
            x.sum(axis=1, dtype=np.float64),
            wide.sum(axis=2),
            (wide * wide).sum(axis=2),
        )
        if self.count:
            before = (self._gram, self._cross, self._x, self._y, self._yy)
            parts = tuple(one + part for one, part in zip(before, parts, strict=True))
        self._gram, self._cross, self._x, self._y, self._yy = parts
        self.count += x.shape[1]

    @property
    def means(self) -> tuple[Array, Array]:
        """Means of x, [groups, inputs], and of y, [groups, outputs]."""
        return self._x / self.count, self._y / self.count

    def centred(self) -> tuple[Array, Array]:
        """Return the covariances of x with itself and with y."""
        x, y = self.means
        gram = self._gram / self.count - x[:, :, None] * x[:, None, :]
        return gram, self._cross / self.count - x[:, :, None] * y[:, None, :]

    def error(self, weights: Array, bias: Array) -> float:
        """Return the mean squared error of W x + b as a share of the variance of y.

        Args:
            weights: [groups, outputs, inputs].
            bias: [groups, outputs].
        """
        x, y = self.means
        spread = self._yy / self.count - y * y
        gram, cross = self.centred()
        off = np.einsum("goi,gi->go", weights, x) + bias - y
        squares = np.einsum("goi,gij,goj->go", weights, gram, weights, optimize=True)
        squares += spread - 2 * np.einsum("goi,gio->go", weights, cross) + off * off
        return float(np.maximum(squares, 0).sum() / max(float(spread.sum()), 1e-30))


@dataclass(frozen=True)
class Fitted:
    """Weights, [groups, outputs, inputs], and biases, [groups, outputs], with what they reach."""

    weights: Array
    bias: Array
    error: float
    ridge: float | None


def fitted(start: Array, bias: Array, fit: Moments, check: Moments, *, weights: bool) -> Fitted:
    """Return the weights of least squared error, drawn towards ``start``.

    The ridge that serves ``check`` best is taken; no change, and that of the bias alone, are among
    the choices.

    Args:
        start: [groups, outputs, inputs], the weights as they were.
        bias: [groups, outputs], as it was.
        fit, check: what is fitted on, and what chooses.
        weights: False fits the bias alone.
    """
    plain = Fitted(start, bias, check.error(start, bias), None)
    best = min(plain, _with_bias(start, fit, check, None), key=lambda one: one.error)
    for ridge in RIDGES if weights else ():
        gram, cross = fit.centred()
        power = np.trace(gram, axis1=1, axis2=2)[:, None, None] / gram.shape[-1]
        damping = (ridge * power + 1e-12) * np.eye(gram.shape[-1])
        wanted = cross + damping @ start.transpose(0, 2, 1)
        solved = np.linalg.solve(gram + damping, wanted).transpose(0, 2, 1)
        found = _with_bias(solved, fit, check, ridge)
        best = min(best, found, key=lambda one: one.error)
    return best


def _with_bias(weights: Array, fit: Moments, check: Moments, ridge: float | None) -> Fitted:
    x, y = fit.means
    bias = y - np.einsum("goi,gi->go", weights, x)
    return Fitted(weights, bias, check.error(weights, bias), ridge)
