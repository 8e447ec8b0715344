"""Per-channel symmetric weights, and the bias shift that undoes their mean error."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.graph.qdq import LayerWeights

LIMITS = {8: 127, 7: 63, 4: 7}
# Two neighbours may gain less than 1 each by rounding, and 128 x 255 fits into 16 bits; a little
# less, so that a scale that float32 rounds down does not undo it.
_PAIR_LIMIT = 127 * (1 - 2.0**-20)
BLOCK = 32
"""Weights of a matrix that share a scale in 4 bits; ONNX Runtime's MatMulNBits takes 16 to 256."""
_INT32_ROOM = 2.0**30
# A dead channel's weights can be denormal; float32 would round a smaller scale, or its product
# with the input's, to zero.
_SMALLEST_SCALE = 1e-25


def quantize_weights(
    weight: NDArray[np.float32],
    bias: NDArray[np.float32] | None,
    *,
    axis: int,
    bits: int,
    input_scale: float | None,
    rounding: NDArray[np.bool_] | None = None,
    sums: Literal[16, 32] = 32,
) -> LayerWeights:
    """Round weights to symmetric integers, one scale per output channel.

    Args:
        weight: float32, any rank; ``axis`` is its output channel axis. A channel whose weights
            are all below 1e-23 is stored as zeros.
        bias: float32 [output channels], or None.
        bits: 8 for -127..127; 7 for -63..63; 4 for -7..7.
        input_scale: scale of the layer's input; a channel whose bias would leave int32 at
            input_scale x weight scale gets a coarser weight scale. None for a float bias.
        rounding: as ``weight``: whether weight / scale is rounded up rather than down; None
            rounds to nearest.
        sums: width of the sums in which the target adds the products of two neighbours. With 16
            (x86 without VNNI) a channel whose neighbours are too large together gets a coarser
            scale, so that no input of uint8 saturates (see ``pair_scales``).
    """
    limit = LIMITS[bits]
    moved = np.moveaxis(np.asarray(weight, np.float64), axis, 0)
    flat = moved.reshape(moved.shape[0], -1)
    scales = np.abs(flat).max(axis=1) / limit
    if sums == 16:
        scales = np.maximum(scales, pair_scales(moved))
    if bias is not None and input_scale is not None:
        scales = np.maximum(scales, np.abs(bias.astype(np.float64)) / input_scale / _INT32_ROOM)
    scales = np.where(scales > _SMALLEST_SCALE, scales, 1.0 / limit).astype(np.float32)
    steps = scales.astype(np.float64)[:, None]
    integers = np.rint(flat / steps)
    if rounding is not None:
        integers = np.floor(flat / steps) + np.moveaxis(rounding, axis, 0).reshape(flat.shape)
    integers = np.clip(integers, -limit, limit).astype(np.int8)
    shaped = np.moveaxis(integers.reshape(moved.shape), 0, axis)
    return LayerWeights(np.ascontiguousarray(shaped), scales, axis, bias, 4 if bits == 4 else 8)


def pair_scales(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least scale of each output channel at which no pair of products saturates.

    VPMADDUBSW adds two u8 x s8 products in 16 bits. What its pairs are follows from how kernels
    lay weights out: kernel position by kernel position, the input channels of one together
    (ONNX Runtime: MlasGemm over NHWC patches; oneDNN: OIhw..4i). Two products overflow where two
    such neighbours, each counted if it has the sign, exceed 128: 255 x 128 is 32640. Every
    neighbourhood in that order is held, whichever of the two a kernel begins its pairs with.

    Args:
        weight: [out, in / groups, *kernel], or [out, in] of a matrix.

    Returns:
        float64 [out].
    """
    rows = np.moveaxis(weight, 1, -1).reshape(weight.shape[0], -1)
    sums = [np.maximum(part[:, :-1], 0) + np.maximum(part[:, 1:], 0) for part in (rows, -rows)]
    worst: NDArray[np.float64] = np.max(np.concatenate(sums, axis=1), axis=1, initial=0.0)
    return worst / _PAIR_LIMIT


def quantize_blocks(
    weight: NDArray[np.float32], bias: NDArray[np.float32] | None, *, axis: int
) -> LayerWeights:
    """Round a matrix to symmetric 4-bit integers, one scale per ``BLOCK`` inputs of an output.

    Args:
        weight: float32, 2-D.
        bias: float32 [outputs], or None.
        axis: the axis of the inputs, which blocks run along; the last block may be shorter.
    """
    limit = LIMITS[4]
    rows = np.moveaxis(np.asarray(weight, np.float64), axis, 0)
    starts = np.arange(0, len(rows), BLOCK)
    scales = np.maximum.reduceat(np.abs(rows), starts, axis=0) / limit
    scales = np.where(scales > _SMALLEST_SCALE, scales, 1.0 / limit).astype(np.float32)
    steps = np.repeat(scales.astype(np.float64), BLOCK, axis=0)[: len(rows)]
    integers = np.clip(np.rint(rows / steps), -limit, limit).astype(np.int8)
    return LayerWeights(
        np.ascontiguousarray(np.moveaxis(integers, 0, axis)),
        np.ascontiguousarray(np.moveaxis(scales, 0, axis)),
        axis,
        bias,
        bits=4,
        block=BLOCK,
    )


def bias_shift(
    weight: NDArray[np.float32], stored: LayerWeights, input_means: NDArray[np.float64], groups: int
) -> NDArray[np.float32]:
    """Return what to add to the bias so that rounding the weights keeps each channel's mean.

    Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
    section 4.2: E[y] - E[y~] = (W - W~) E[x]. Padding is not modelled.

    Args:
        weight: float32 [out, in / groups, kh, kw].
        stored: the same weights as integers.
        input_means: float64 [in], mean of the layer's input over images and positions.
        groups: the convolution's groups.

    Returns:
        float32 [out].
    """
    steps = stored.scales.astype(np.float64)[:, None, None, None]
    error = weight.astype(np.float64) - stored.weight.astype(np.float64) * steps
    per_input = error.reshape(*error.shape[:2], -1).sum(axis=2)
    out = per_input.shape[0]
    means = input_means.reshape(groups, -1)
    rows = np.repeat(means, out // groups, axis=0)
    shift: NDArray[np.float32] = (per_input * rows).sum(axis=1).astype(np.float32)
    return shift
