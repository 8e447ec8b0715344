"""A picture as a network's input, one number at a time; shares no code with edgecv."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

Picture = Sequence[Sequence[Sequence[int]]]


def rounded(value: float, dtype: str) -> float:
    """The nearest number that the type can hold."""
    if dtype == "uint8":
        return float(round(value))
    code = {"float32": "<f", "float16": "<e"}[dtype]
    return float(struct.unpack(code, struct.pack(code, value))[0])


def network_input(
    content: Picture,
    offset: tuple[int, int],
    size: tuple[int, int],
    *,
    color: str,
    scale: float,
    mean: Sequence[float],
    std: Sequence[float],
    pad: int,
    dtype: str,
    layout: str,
) -> Any:
    """Nested lists: [3][h][w], or for nhwc [h][w][3]; `content` is BGR, resized already."""
    rows = []
    for y in range(size[0]):
        row = []
        for x in range(size[1]):
            inside_y, inside_x = y - offset[0], x - offset[1]
            if 0 <= inside_y < len(content) and 0 <= inside_x < len(content[0]):
                blue, green, red = content[inside_y][inside_x]
            else:
                blue = green = red = pad
            ordered = (red, green, blue) if color == "rgb" else (blue, green, red)
            row.append([
                rounded((value / scale - mean[channel]) / std[channel], dtype)
                for channel, value in enumerate(ordered)
            ])  # fmt: skip
        rows.append(row)
    if layout == "nhwc":
        return rows
    return [[[cell[channel] for cell in row] for row in rows] for channel in range(3)]
