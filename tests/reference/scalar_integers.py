"""Integers one at a time: grids of any kind, saturating 16-bit sums, nibbles, dynamic grids."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def bounds_of(bits: int, signed: bool) -> tuple[int, int]:
    """Smallest and largest integer of that many bits."""
    if signed:
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


def rounded(values: Array, scale: float, zero_point: int, bits: int, signed: bool) -> Array:
    """Each value on the grid, as QuantizeLinear and DequantizeLinear leave it."""
    first, last = bounds_of(bits, signed)
    out = np.empty(values.shape, np.float64)
    for index, value in np.ndenumerate(values):
        whole = round(float(np.float32(value) / np.float32(scale))) + zero_point
        out[index] = (min(max(whole, first), last) - zero_point) * float(np.float32(scale))
    return out


def saturating_pair(a: tuple[int, int], w: tuple[int, int]) -> tuple[int, bool]:
    """VPMADDUBSW on one pair: u8 x s8 + u8 x s8 in 16 bits, and whether it saturated.

    Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, PMADDUBSW.
    """
    total = a[0] * w[0] + a[1] * w[1]
    kept = min(max(total, -32768), 32767)
    return kept, kept != total


def saturating_dot(a: Array, w: Array) -> tuple[int, bool]:
    """A dot product as kernels without VNNI sum it: pairs in 16 bits, then 32 bits."""
    total, saturated = 0, False
    for start in range(0, len(a), 2):
        pair_a = int(a[start]), int(a[start + 1]) if start + 1 < len(a) else 0
        pair_w = int(w[start]), int(w[start + 1]) if start + 1 < len(w) else 0
        part, lost = saturating_pair(pair_a, pair_w)
        total += part
        saturated = saturated or lost
    return total, saturated


def worst_pair(w: tuple[int, int]) -> bool:
    """Whether any u8 input makes a pair of weights saturate: the sum is linear in each input."""
    corners = [(0, 0), (0, 255), (255, 0), (255, 255)]
    return any(saturating_pair(corner, w)[1] for corner in corners)


def nibbles(data: bytes, count: int) -> list[int]:
    """Unpack signed 4-bit integers, the first in the low half of a byte (ONNX, INT4)."""
    out = []
    for index in range(count):
        half = data[index // 2] >> (4 * (index % 2)) & 0xF
        out.append(half - 16 if half >= 8 else half)
    return out


def dynamic_grid(values: Array) -> tuple[float, int]:
    """Scale and zero point of DynamicQuantizeLinear (ONNX operator specification)."""
    low = min(0.0, *(float(value) for value in values.ravel()))
    high = max(0.0, *(float(value) for value in values.ravel()))
    scale = float(np.float32(np.float32(high - low) / np.float32(255)))
    return scale, min(max(round(-low / scale), 0), 255)
