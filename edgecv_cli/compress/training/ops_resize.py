"""Resize, axis by axis, at the coordinates that ONNX states and torch's own does not cover."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.compress.training.values import Attributes, Op, Operands, integers, operand


def coordinates(size: int, made: int, scale: float, mode: str) -> NDArray[np.float64]:
    """Return where in an axis of ``size`` each of ``made`` positions lies, in elements.

    Source: Resize in https://onnx.ai/onnx/operators/onnx__Resize.html, with its names of modes.
    """
    at = np.arange(made, dtype=np.float64)
    if mode == "asymmetric":
        return at / scale
    if mode == "align_corners":
        return at * ((size - 1) / (made - 1)) if made > 1 else at * 0
    if mode == "pytorch_half_pixel" and made == 1:
        return at * 0
    return np.asarray((at + 0.5) / scale - 0.5)


def nearest(at: NDArray[np.float64], size: int, mode: str) -> NDArray[np.int64]:
    """Return which elements are taken at these coordinates."""
    upward, half = {
        "floor": (False, 0.0),
        "ceil": (True, 0.0),
        "round_prefer_ceil": (False, 0.5),
        "round_prefer_floor": (True, -0.5),
    }[mode]
    rounded: NDArray[np.float64] = np.ceil(at + half) if upward else np.floor(at + half)
    return np.clip(rounded, 0, size - 1).astype(np.int64)


def _along(torch: ModuleType, data: Any, axis: int, index: NDArray[np.int64]) -> Any:
    return torch.index_select(data, axis, torch.as_tensor(index, device=data.device))


def _blended(torch: ModuleType, data: Any, axis: int, at: NDArray[np.float64]) -> Any:
    at = np.clip(at, 0, data.shape[axis] - 1)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, data.shape[axis] - 1)
    shape = [1] * data.dim()
    shape[axis] = len(at)
    part = torch.as_tensor((at - low).astype(np.float32), device=data.device).reshape(shape)
    return _along(torch, data, axis, low) * (1 - part) + _along(torch, data, axis, high) * part


def _resize(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    data = x[0]
    axes = [int(one) % data.dim() for one in a.get("axes", range(data.dim()))]
    sizes = integers(x, 3)
    scales = None if sizes else [float(one) for one in operand(x, 2).reshape(-1).tolist()]
    where = a.get("coordinate_transformation_mode", "half_pixel")
    for place, axis in enumerate(axes):
        size = data.shape[axis]
        scale = sizes[place] / size if sizes else (scales or [])[place]
        made = sizes[place] if sizes else int(size * scale)
        if made == size:
            continue
        at = coordinates(size, made, scale, where)
        if a.get("mode", "nearest") == "nearest":
            index = nearest(at, size, a.get("nearest_mode", "round_prefer_floor"))
            data = _along(torch, data, axis, index)
        else:
            data = _blended(torch, data, axis, at)
    return data


RESIZING: Mapping[str, Op] = {"Resize": _resize}
