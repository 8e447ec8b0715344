"""How far two tensors are apart, over many images: signal to noise, in decibels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class Apart:
    """Sums over images of a reference and of what another has in its place.

    Attributes:
        signal: sum of the reference's squares.
        noise: sum of the squared differences; infinite where one of the two is not finite.
        largest: the largest difference.
        same: whether every element of every image is equal.
    """

    signal: float = 0.0
    noise: float = 0.0
    largest: float = 0.0
    same: bool = True

    def add(self, reference: NDArray[Any], other: NDArray[Any]) -> None:
        """Count one image.

        Raises:
            ValueError: the two have different shapes.
        """
        if reference.shape != other.shape:
            raise ValueError(f"shapes {reference.shape} and {other.shape} can't be compared")
        if np.array_equal(reference, other, equal_nan=reference.dtype.kind == "f"):
            self.signal += float(np.square(reference.astype(np.float64)).sum())
            return
        self.same = False
        a, b = reference.astype(np.float64), other.astype(np.float64)
        apart = a - b
        self.signal += float(np.square(a).sum())
        if not np.isfinite(apart).all():
            self.noise = self.largest = math.inf
            return
        self.noise += float(np.square(apart).sum())
        self.largest = max(self.largest, float(np.abs(apart).max(initial=0.0)))

    @property
    def decibels(self) -> float | None:
        """10 log10(signal / noise); None where there is no noise, or nothing finite to say."""
        if self.noise == 0 or not math.isfinite(self.noise):
            return None
        return 10 * math.log10(max(self.signal, 1e-300) / self.noise)
