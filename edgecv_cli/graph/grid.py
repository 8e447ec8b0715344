"""Integer grids of activations, and stored integers of weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DTYPES: dict[tuple[int, bool], type[np.generic]] = {
    (8, False): np.uint8,
    (8, True): np.int8,
    (16, False): np.uint16,
    (16, True): np.int16,
}


@dataclass(frozen=True)
class Grid:
    """A per-tensor grid: real = scale * (q - zero_point).

    Attributes:
        scale: float32 value, above 0.
        zero_point: the integer that stands for 0.
        bits: 8 or 16.
        signed: int8 or int16 rather than uint8 or uint16.
    """

    scale: float
    zero_point: int
    bits: int = 8
    signed: bool = False

    @property
    def dtype(self) -> type[np.generic]:
        """Type of the integers."""
        return _DTYPES[self.bits, self.signed]

    @property
    def first(self) -> int:
        """Smallest integer."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def last(self) -> int:
        """Largest integer."""
        return self.first + (1 << self.bits) - 1

    @property
    def low(self) -> float:
        """Smallest value on the grid."""
        return self.scale * (self.first - self.zero_point)

    @property
    def high(self) -> float:
        """Largest value on the grid."""
        return self.scale * (self.last - self.zero_point)


@dataclass(frozen=True)
class GridKind:
    """What the grids of a model have in common.

    Attributes:
        bits: 8 or 16.
        signed: int8 or int16 rather than uint8 or uint16.
        symmetric: the zero point is 0 everywhere; such grids are signed.
    """

    bits: int = 8
    signed: bool = False
    symmetric: bool = False


UNSIGNED = GridKind()


@dataclass(frozen=True)
class LayerWeights:
    """A layer's stored integers.

    Attributes:
        weight: int8, in the layer's own layout.
        scales: float32 [output channels]; with ``block``, the weight's shape, but along ``axis``
            one scale for each ``block`` elements, the last block may be shorter.
        axis: the weight's output channel axis; with ``block``, the axis that blocks run along.
        bias: float32 [output channels], or None. In an integer layer it is stored as int32 at
            scale input scale x weight scale, as integer kernels add it.
        bits: 8, or 4 for integers that are stored two to a byte (within -8..7).
        block: elements that share a scale along ``axis``; None is one scale per channel.
    """

    weight: NDArray[np.int8]
    scales: NDArray[np.float32]
    axis: int
    bias: NDArray[np.float32] | None
    bits: int = 8
    block: int | None = None


def grid_of(low: float, high: float, kind: GridKind = UNSIGNED) -> Grid:
    """Return the grid that covers [low, high] and holds 0 exactly.

    Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference": zero must be representable, for padding. A symmetric grid
    covers the range without its lowest integer.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    signed = kind.signed or kind.symmetric
    if kind.symmetric:
        wide = max(-low, high) / ((1 << (kind.bits - 1)) - 1)
    else:
        wide = (high - low) / ((1 << kind.bits) - 1)
    scale = float(np.float32(max(wide, 1e-9)))
    first = -(1 << (kind.bits - 1)) if signed else 0
    steps = int(np.clip(np.rint(-low / scale), 0, (1 << kind.bits) - 1))
    return Grid(scale, 0 if kind.symmetric else first + steps, kind.bits, signed)
