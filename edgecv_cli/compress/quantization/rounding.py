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
    """Return each row's error e^T G e + 2 e^T p, e = ratios - integers; float64 [groups, rows].

    Args:
        ratios: [groups, rows, inputs], weight / scale.
        up: as ``ratios``: the rounding.
        gram: [groups, inputs, inputs], second moments of the inputs.
        limit: largest integer; integers are clipped to -limit..limit.
        pull: as ``ratios``: p; None is 0.
    """
    error = ratios - np.clip(np.floor(ratios) + up, -limit, limit)
    slope = error @ gram + (0.0 if pull is None else 2 * pull)
    total: Array = (slope * error).sum(axis=-1)
    return total


def choose_rounding(ratios: Array, gram: Array, *, limit: int, pull: Array | None = None) -> Mask:
    """Return the rounding of a layer; never worse than to nearest by ``rounding_error``.

    Args:
        ratios: [groups, rows, inputs], weight / scale, one row an output channel.
        gram: [groups, inputs, inputs], second moments of the inputs, positive semi-definite.
        limit: largest integer.
        pull: as ``ratios``, in steps: E[x~ (w^T x - w^T x~)] where the inputs that the integers
            meet, x~, differ from the float layer's, x; None where they do not.
    """
    pulls = np.zeros_like(ratios) if pull is None else pull
    if ratios.shape[-1] <= _EXHAUSTIVE:
        parts = [
            _try_all(ratios[i : i + 1], gram[i : i + 1], limit, pulls[i : i + 1])
            for i in range(len(ratios))
        ]
        return np.concatenate(parts)
    plain, passed_on = nearest(ratios), _pass_on(ratios, gram, limit, pulls)
    errors = [
        rounding_error(ratios, up, gram, limit=limit, pull=pulls) for up in (plain, passed_on)
    ]
    start = np.where((errors[1] < errors[0])[..., None], passed_on, plain)
    return _descend(ratios, start, gram, limit, pulls)


def _try_all(ratios: Array, gram: Array, limit: int, pull: Array) -> Mask:
    """Try every rounding of each row of one group; the nearest wins a tie."""
    inputs = ratios.shape[-1]
    masks = (np.arange(2**inputs)[:, None] >> np.arange(inputs) & 1).astype(np.bool_)
    up = nearest(ratios)
    least = rounding_error(ratios, up, gram, limit=limit, pull=pull)
    for row in range(ratios.shape[1]):
        one = (slice(None), slice(row, row + 1))
        errors = rounding_error(ratios[one], masks[None], gram, limit=limit, pull=pull[one])[0]
        index = int(np.argmin(errors))
        if errors[index] < least[0, row]:
            up[0, row] = masks[index]
    return up


def _pass_on(ratios: Array, gram: Array, limit: int, pull: Array) -> Mask:
    """Round the inputs in order of their power, each row's error passed on to those that follow."""
    inputs = ratios.shape[-1]
    power = np.diagonal(gram, axis1=-2, axis2=-1)
    order = np.argsort(-power, axis=-1, kind="stable")[:, None, :]
    damping = _DAMPING * power.mean(axis=-1)[:, None, None] + 1e-30
    damped = gram + damping * np.eye(inputs)
    damped = np.take_along_axis(damped, order, axis=2)
    damped = np.take_along_axis(damped, order.transpose(0, 2, 1), axis=1)
    inverse = np.linalg.inv(damped)
    upper = np.linalg.cholesky((inverse + inverse.transpose(0, 2, 1)) / 2).transpose(0, 2, 1)
    wanted = np.take_along_axis(ratios, order, axis=2)
    floors = np.floor(wanted)
    wanted = wanted + np.take_along_axis(pull, order, axis=2) @ inverse
    up = np.zeros(ratios.shape, np.bool_)
    for start in range(0, inputs, _BLOCK):
        stop = min(start + _BLOCK, inputs)
        errors = np.empty((*ratios.shape[:2], stop - start))
        for k in range(start, stop):
            up[..., k] = np.rint(wanted[..., k]) > floors[..., k]
            stored = np.clip(floors[..., k] + up[..., k], -limit, limit)
            errors[..., k - start] = (wanted[..., k] - stored) / upper[:, k, k, None]
            step = errors[..., k - start, None] * upper[:, None, k, k:stop]
            wanted[..., k:stop] -= step
        wanted[..., stop:] -= errors @ upper[:, start:stop, stop:]
    result = np.empty_like(up)
    np.put_along_axis(result, np.broadcast_to(order, up.shape), up, axis=2)
    return result


def _descend(ratios: Array, start: Mask, gram: Array, limit: int, pull: Array) -> Mask:
    """Flip single weights for as long as that lowers a row's error."""
    low = np.clip(np.floor(ratios), -limit, limit)
    step = np.clip(np.floor(ratios) + 1, -limit, limit) - low
    up = start.copy()
    slope = (ratios - low - up * step) @ gram + pull
    for _ in range(_SWEEPS):
        flipped = False
        for first in range(0, ratios.shape[-1], _BLOCK):
            block = slice(first, min(first + _BLOCK, ratios.shape[-1]))
            inside = slope[..., block].copy()
            moves = _flip_block(up[..., block], step[..., block], inside, gram[:, block, block])
            if moves.any():
                flipped = True
                slope += moves @ gram[:, block]
        if not flipped:
            break
    return up


def _flip_block(up: Mask, step: Array, slope: Array, gram: Array) -> Array:
    """Flip within a block of columns, in place; returns by how much each error moved."""
    moves = np.zeros(up.shape)
    for k in range(up.shape[-1]):
        power = gram[:, k, k, None]
        move = np.where(up[..., k], step[..., k], -step[..., k])
        move[2 * move * slope[..., k] + move * move * power >= -1e-12 * power] = 0
        if move.any():
            up[..., k] ^= move != 0
            moves[..., k] = move
            slope += move[..., None] * gram[:, None, k]
    return moves
