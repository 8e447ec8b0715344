"""Adaptive rounding: whether each weight goes up or down, by what it does to the layer's output.

Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization": rounding to
nearest minimises the error of the weights, not of what the layer makes of its inputs. With the
second moments G = E[x x^T] of those inputs the error of one output channel is (w - q)^T G (w - q),
a quadratic over one bit a weight. Few weights (a depthwise kernel) are tried out in full; more
are rounded one after the other with the error of each passed on to the rest (Frantar et al. 2022,
"GPTQ"), and then flipped one by one for as long as that helps.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import ConfigError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
_EXHAUSTIVE = 10
_BLOCK = 64
_SWEEPS = 8
# Share of the mean second moment that keeps the matrix invertible (GPTQ's own choice).
_DAMPING = 0.01


def encode_mask(up: Mask) -> str:
    """Return a mask in storage order as base64 of one bit a weight, most significant bit first."""
    return base64.b64encode(np.packbits(up.ravel()).tobytes()).decode("ascii")


def decode_mask(text: str, shape: Sequence[int]) -> Mask:
    """Return the mask that :func:`encode_mask` wrote, as bool of ``shape``.

    Raises:
        ConfigError: it is not base64, or not of this many weights.
    """
    count = int(np.prod(shape, dtype=np.int64))
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != -(-count // 8):
        raise ConfigError(
            f"the plan does not say how {count} weights are rounded",
            remedy="quantize anew with this version of edgecv",
        )
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=count)
    return bits.astype(np.bool_).reshape(tuple(shape))


def nearest(ratios: Array) -> Mask:
    """Return the mask that rounds to nearest, ties to even."""
    up: Mask = np.rint(ratios) > np.floor(ratios)
    return up


def rounding_error(
    ratios: Array, up: Mask, gram: Array, *, limit: int, pull: Array | None = None
) -> Array:
    """Return each row's error e^T G e + 2 e^T p, e = ratios - integers; float64 [rows].

    Args:
        ratios: [rows, inputs], weight / scale.
        up: as ``ratios``: the rounding.
        gram: [inputs, inputs], second moments of the inputs.
        limit: largest integer; integers are clipped to -limit..limit.
        pull: as ``ratios``: p; None is 0.
    """
    error = ratios - np.clip(np.floor(ratios) + up, -limit, limit)
    total = ((error @ gram) * error).sum(axis=1)
    if pull is not None:
        total = total + 2 * (error * pull).sum(axis=1)
    result: Array = total
    return result


def choose_rounding(ratios: Array, gram: Array, *, limit: int, pull: Array | None = None) -> Mask:
    """Return the rounding of a dense layer; never worse than to nearest by ``rounding_error``.

    Args:
        ratios: [rows, inputs], weight / scale, one row an output channel.
        gram: [inputs, inputs], second moments of the inputs, positive semi-definite.
        limit: largest integer.
        pull: as ``ratios``, in steps: E[x~ (w^T x - w^T x~)] where the inputs that the integers
            meet, x~, differ from the float layer's, x; None where they do not.
    """
    if ratios.shape[1] <= _EXHAUSTIVE:
        return _try_all(ratios, gram, limit, pull)
    best = nearest(ratios)
    passed_on = _pass_on(ratios, gram, limit, pull)
    errors = [rounding_error(ratios, up, gram, limit=limit, pull=pull) for up in (best, passed_on)]
    better = errors[1] < errors[0]
    best[better] = passed_on[better]
    return _descend(ratios, best, gram, limit, pull)


def _try_all(ratios: Array, gram: Array, limit: int, pull: Array | None) -> Mask:
    """Try every rounding of a row; the nearest wins a tie."""
    inputs = ratios.shape[1]
    codes = np.arange(2**inputs)
    masks = (codes[:, None] >> np.arange(inputs) & 1).astype(np.bool_)
    best = nearest(ratios)
    least = rounding_error(ratios, best, gram, limit=limit, pull=pull)
    for row, ratio in enumerate(ratios):
        tried = np.broadcast_to(ratio, masks.shape)
        pulls = None if pull is None else np.broadcast_to(pull[row], masks.shape)
        errors = rounding_error(tried, masks, gram, limit=limit, pull=pulls)
        index = int(np.argmin(errors))
        if errors[index] < least[row]:
            best[row] = masks[index]
    return best


def _pass_on(ratios: Array, gram: Array, limit: int, pull: Array | None) -> Mask:
    """Round the inputs in order of their power, each row's error passed on to those that follow."""
    inputs = ratios.shape[1]
    order = np.argsort(-np.diag(gram), kind="stable")
    damped = gram[np.ix_(order, order)].copy()
    damped[np.diag_indices(inputs)] += _DAMPING * float(np.mean(np.diag(gram))) + 1e-30
    inverse = np.linalg.inv(damped)
    upper = np.linalg.cholesky((inverse + inverse.T) / 2).T
    wanted = ratios[:, order].copy()
    floors = np.floor(wanted)
    if pull is not None:
        wanted += pull[:, order] @ inverse
    up = np.zeros(ratios.shape, np.bool_)
    for start in range(0, inputs, _BLOCK):
        stop = min(start + _BLOCK, inputs)
        errors = np.empty((len(ratios), stop - start))
        for k in range(start, stop):
            up[:, k] = np.rint(wanted[:, k]) > floors[:, k]
            stored = np.clip(floors[:, k] + up[:, k], -limit, limit)
            errors[:, k - start] = (wanted[:, k] - stored) / upper[k, k]
            wanted[:, k:stop] -= np.outer(errors[:, k - start], upper[k, k:stop])
        wanted[:, stop:] -= errors @ upper[start:stop, stop:]
    result = np.empty_like(up)
    result[:, order] = up
    return result


def _descend(ratios: Array, start: Mask, gram: Array, limit: int, pull: Array | None) -> Mask:
    """Flip single weights for as long as that lowers a row's error."""
    low = np.clip(np.floor(ratios), -limit, limit)
    step = np.clip(np.floor(ratios) + 1, -limit, limit) - low
    up = start.copy()
    error = ratios - low - up * step
    slope = error @ gram + (0.0 if pull is None else pull)
    for _ in range(_SWEEPS):
        flipped = False
        for first in range(0, ratios.shape[1], _BLOCK):
            block = slice(first, min(first + _BLOCK, ratios.shape[1]))
            moves = _flip_block(up[:, block], step[:, block], slope[:, block], gram[block, block])
            if not moves.any():
                continue
            flipped = True
            # slope inside the block was kept current by the moves; the rest follows here
            kept = slope[:, block].copy()
            slope += moves @ gram[block]
            slope[:, block] = kept
        if not flipped:
            break
    return up


def _flip_block(up: Mask, step: Array, slope: Array, gram: Array) -> Array:
    """Flip within a block of columns, in place; returns by how much each error moved."""
    moves = np.zeros(up.shape)
    for k in range(up.shape[1]):
        move = np.where(up[:, k], step[:, k], -step[:, k])
        gain = 2 * move * slope[:, k] + move * move * gram[k, k]
        rows = np.flatnonzero(gain < -1e-12 * gram[k, k])
        if rows.size:
            up[rows, k] = ~up[rows, k]
            moves[rows, k] += move[rows]
            slope[rows] += np.outer(move[rows], gram[k])
    return moves
