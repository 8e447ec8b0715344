"""Put integers of any kind on symmetric int8 grids, exactly where that can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TOP = 127
_EIGHT_BITS = np.iinfo(np.int8)


@dataclass(frozen=True)
class Refitted:
    """Scales of symmetric int8, and stored integers where there were any.

    Attributes:
        scales: float32, in the shape that they had.
        integers: int8, or None for an activation.
        exact: whether the grid stands for the same numbers as before.
    """

    scales: NDArray[np.float32]
    integers: NDArray[np.int8] | None
    exact: bool


def refit_range(
    scales: NDArray[Any], points: NDArray[Any], first: int, last: int
) -> Refitted | None:
    """Return symmetric scales that cover the ranges of other grids.

    Where the shifted integers fit into int8 the scale stays, and no number changes.

    Args:
        scales: of any shape.
        points: zero points, one or as many.
        first: the smallest integer of the grid.
        last: the largest.

    Returns:
        None where a scale is not above 0: the range is unknown.
    """
    steps = scales.astype(np.float64)
    if not np.all(np.isfinite(steps) & (steps > 0)):
        return None
    zero = points.astype(np.int64).reshape(steps.shape if points.size == steps.size else ())
    low, high = first - zero, last - zero
    exact = bool(np.all((low >= _EIGHT_BITS.min) & (high <= _EIGHT_BITS.max)))
    if exact:
        return Refitted(scales.astype(np.float32), None, exact=True)
    wide = np.maximum(np.abs(low), np.abs(high)) * steps / _TOP
    return Refitted(wide.astype(np.float32), None, exact=False)


def refit_integers(
    integers: NDArray[Any], scales: NDArray[Any], points: NDArray[Any], axis: int
) -> Refitted | None:
    """Return symmetric int8 within -127..127 for stored integers.

    Args:
        integers: of any integer type.
        scales: one, or one for each element of ``axis``.
        points: zero points, one or as many.
        axis: the axis that scales belong to.

    Returns:
        None where a scale is no number.
    """
    steps = scales.astype(np.float64).ravel()
    if not np.all(np.isfinite(steps)):
        return None
    shape = [1] * integers.ndim
    if steps.size > 1:
        shape[axis] = steps.size
    zero = points.astype(np.int64)
    shifted = integers.astype(np.int64) - zero.reshape(shape if zero.size == steps.size else ())
    others = tuple(place for place in range(integers.ndim) if shape[place] == 1)
    most = np.abs(shifted).max(axis=others, keepdims=True, initial=0).reshape(-1)
    fits = (most <= _TOP) & (steps > 0)
    wide = np.where(fits, steps, np.abs(steps) * most / _TOP)
    wide = np.where(wide > 0, wide, 1.0)  # channels of zeros: any scale does
    ratio = np.where(fits, 1.0, steps / wide).reshape(shape)
    rounded = np.rint(shifted * ratio).astype(np.int8)
    return Refitted(wide.astype(np.float32).reshape(scales.shape), rounded, exact=bool(fits.all()))
