"""Estimators: from what was seen of a tensor to the range that its grid should cover.

``minmax``       the extremes of all images
``mean-minmax``  the mean over images of each image's extremes
``percentile``   all but the outermost elements, as many on either side
``mse``          the range of least expected squared error, rounding and clipping together
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.compress.quantization.statistics import Histogram, TensorStats
from edgecv_cli.graph.grid import UNSIGNED, GridKind

ESTIMATORS = ("mean-minmax", "minmax", "percentile", "mse")
PERCENTILE = 99.99
# Candidate bounds on either side of zero, evenly from zero to the extreme.
_CANDIDATES = 128
Floats = NDArray[np.float64]


def estimate(
    stats: TensorStats,
    estimator: str,
    percentile: float = PERCENTILE,
    kind: GridKind = UNSIGNED,
) -> tuple[float, float]:
    """Return the range (low, high) of a tensor.

    Args:
        stats: what was seen of it.
        estimator: one of ``ESTIMATORS``.
        percentile: for ``percentile``, in percent: above 50, at most 100.
        kind: of the grid; only ``mse`` depends on it. Of a symmetric one low is -high then.
    """
    if estimator == "minmax":
        return stats.low, stats.high
    if estimator == "mean-minmax":
        return stats.mean_low, stats.mean_high
    if estimator == "percentile":
        rest = 1.0 - percentile / 100.0
        return stats.quantile(rest), stats.quantile(1.0 - rest)
    low, high = min(stats.low, 0.0), max(stats.high, 0.0)
    if low == high:
        return low, high
    if kind.symmetric:
        return _least_symmetric(stats.histogram, max(-low, high), 2 ** (kind.bits - 1) - 1)
    return _least(stats.histogram, low, high, 2**kind.bits - 1)


def _least(histogram: Histogram, low: float, high: float, steps: int) -> tuple[float, float]:
    """Return the range of least expected squared error of an asymmetric grid that holds 0.

    Nagel et al. 2021, "A White Paper on Neural Network Quantization", section 3.1 (MSE range
    setting); the rounding error of a value inside is taken as step^2 / 12, as in Banner et al.
    2019, "Post training 4-bit quantization of convolutional networks for rapid-deployment". Values
    in the bin of zero have none: zero is on every grid.
    """
    lows = np.linspace(0.0, low, _CANDIDATES + 1) if low < 0 else np.zeros(1)
    highs = np.linspace(0.0, high, _CANDIDATES + 1) if high > 0 else np.zeros(1)
    below, under = _clipped(histogram, lows)
    over, above = _clipped_above(histogram, highs)
    inside = _rounded(histogram) - under[:, None] - above[None, :]
    step = (highs[None, :] - lows[:, None]) / steps
    error = below[:, None] + over[None, :] + inside * step**2 / 12
    error[(step <= 0)] = np.inf
    row, column = np.unravel_index(int(np.argmin(error)), error.shape)
    return float(lows[row]), float(highs[column])


def _least_symmetric(histogram: Histogram, widest: float, steps: int) -> tuple[float, float]:
    bounds = np.linspace(0.0, widest, _CANDIDATES + 1)[1:]
    below, under = _clipped(histogram, -bounds)
    over, above = _clipped_above(histogram, bounds)
    inside = _rounded(histogram) - under - above
    best = float(bounds[int(np.argmin(below + over + inside * (bounds / steps) ** 2 / 12))])
    return -best, best


def _rounded(histogram: Histogram) -> float:
    """Return how many values rounding changes: all but those in the bin of zero."""
    zero = int(np.floor(-histogram.low / histogram.width)) if histogram.width else 0
    total = int(histogram.counts.sum())
    return float(total - (histogram.counts[zero] if 0 <= zero < len(histogram.counts) else 0))


def _clipped(histogram: Histogram, bounds: Floats) -> tuple[Floats, Floats]:
    """Return the squared error of clipping at each lower bound, and how many values it clips."""
    return _below(histogram.centres, histogram.counts, bounds)


def _clipped_above(histogram: Histogram, bounds: Floats) -> tuple[Floats, Floats]:
    return _below(-histogram.centres[::-1], histogram.counts[::-1], -bounds)


def _below(centres: Floats, counts: NDArray[np.int64], bounds: Floats) -> tuple[Floats, Floats]:
    """Return sum of count (centre - bound)^2, and of count, over the centres below each bound."""
    weights = counts.astype(np.float64)
    sums = [
        np.concatenate([np.zeros(1), np.cumsum(weights * centres**power)]) for power in (0, 1, 2)
    ]
    zeroth, first, second = (part[np.searchsorted(centres, bounds)] for part in sums)
    return np.maximum(second - 2 * bounds * first + bounds**2 * zeroth, 0.0), zeroth
