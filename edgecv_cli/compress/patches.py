"""What a convolution multiplies its weights with: sampled patches of its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Window:
    """Geometry of a 2-D convolution: [vertical, horizontal] each."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    begins: tuple[int, int]
    output: tuple[int, int]
    groups: int


def window_of(
    node: onnx.NodeProto, kernel: tuple[int, int], before: tuple[int, int], after: tuple[int, int]
) -> Window:
    """Return a Conv node's geometry.

    Args:
        node: the Conv.
        kernel: height and width of its weights.
        before, after: height and width of its input and output.
    """
    values = {a.name: a for a in node.attribute}
    strides = _pair(values, "strides", 1)
    dilations = _pair(values, "dilations", 1)
    mode = values["auto_pad"].s.decode() if "auto_pad" in values else "NOTSET"
    begins = _pair(values, "pads", 0)
    if mode.startswith("SAME"):
        reach = [(after[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 for i in (0, 1)]
        spare = [max(reach[i] - before[i], 0) for i in (0, 1)]
        odd = mode == "SAME_LOWER"
        begins = (spare[0] + odd) // 2, (spare[1] + odd) // 2
    elif mode == "VALID":
        begins = (0, 0)
    groups = values["group"].i if "group" in values else 1
    return Window(kernel, strides, dilations, begins, after, groups)


def _pair(values: dict[str, onnx.AttributeProto], name: str, default: int) -> tuple[int, int]:
    if name not in values:
        return default, default
    return values[name].ints[0], values[name].ints[1]


def take_patches(data: Array, window: Window, places: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return what a convolution reads for some outputs; beyond the border are zeros.

    Args:
        data: float [1, channels, height, width].
        window: the convolution's geometry.
        places: [n], positions in the flattened output map.

    Returns:
        float32 [groups, n, channels / groups * kernel height * kernel width].
    """
    image = data[0]
    rows, inside_rows = _axis(window, 0, places // window.output[1], image.shape[1])
    columns, inside_columns = _axis(window, 1, places % window.output[1], image.shape[2])
    picked = image[:, rows[:, :, None], columns[:, None, :]]
    picked = np.where(inside_rows[:, :, None] & inside_columns[:, None, :], picked, 0)
    channels, count = picked.shape[:2]
    grouped = picked.reshape(window.groups, channels // window.groups, count, -1)
    patches = grouped.transpose(0, 2, 1, 3).reshape(window.groups, count, -1)
    return np.ascontiguousarray(patches, np.float32)


def _axis(
    window: Window, axis: int, places: NDArray[np.int64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the indices [n, kernel] that each output reads on one axis, and which exist."""
    steps = np.arange(window.kernel[axis]) * window.dilations[axis]
    index = places[:, None] * window.strides[axis] - window.begins[axis] + steps
    inside = (index >= 0) & (index < size)
    return np.clip(index, 0, size - 1), inside
