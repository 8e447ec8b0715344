"""Fake quantization in float64, element by element: what a QDQ graph must compute."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def on_grid(values: Array, scale: float, zero_point: int) -> Array:
    """Round each value to scale * (q - zero_point) with q in 0..255, ties to even."""
    out = np.empty(values.shape, np.float64)
    for index, value in np.ndenumerate(values):
        # QuantizeLinear divides in float32: a tie there is a tie.
        quotient = float(np.float32(value) / np.float32(scale))
        whole = round(quotient) + zero_point
        out[index] = (min(max(whole, 0), 255) - zero_point) * float(np.float32(scale))
    return out


def stored_weight(integers: Array, scales: Array, axis: int) -> Array:
    """Integers times the scale of their output channel."""
    out = np.empty(integers.shape, np.float64)
    for index, value in np.ndenumerate(integers):
        out[index] = int(value) * float(scales[index[axis]])
    return out


def stored_bias(bias: Array, input_scale: float, scales: Array) -> Array:
    """Bias rounded to whole multiples of input scale times weight scale."""
    out = np.empty(bias.shape, np.float64)
    for index, value in enumerate(bias):
        unit = float(np.float32(input_scale * float(scales[index])))
        out[index] = round(float(value) / unit) * unit
    return out


def convolve(x: Array, weight: Array, bias: Array | None) -> Array:
    """Convolution [1, c, h, w] * [o, c, kh, kw], stride 1, no padding."""
    outputs, channels, kh, kw = weight.shape
    height, width = x.shape[2] - kh + 1, x.shape[3] - kw + 1
    out = np.zeros((1, outputs, height, width), np.float64)
    for o, i, j in itertools.product(range(outputs), range(height), range(width)):
        total = 0.0 if bias is None else float(bias[o])
        for c, u, v in itertools.product(range(channels), range(kh), range(kw)):
            total += float(x[0, c, i + u, j + v]) * float(weight[o, c, u, v])
        out[0, o, i, j] = total
    return out
