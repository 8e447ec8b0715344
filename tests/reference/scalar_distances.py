"""Scores and distances, and FastestDet's map, decoded one number at a time.

Written from Li et al. 2020 (distributions of distances), Tian et al. 2019 (distances) and what
FastestDet's author says of his channels; shares no code with edgecv.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from reference.scalar_detector import Box, Found, cells, pick, sigmoid, softmax


def expectation(logits: Sequence[float]) -> float:
    """Mean of 0, 1, 2, ... under the softmax of logits."""
    return sum(index * chance for index, chance in enumerate(softmax(logits)))


def box_of_distances(
    channels: Sequence[float], x: int, y: int, stride: int, bins: int, offset: float
) -> Box:
    """channels: left, top, right, bottom; each one number, or the logits of its bins."""
    if bins > 1:
        parts = [channels[bins * side : bins * (side + 1)] for side in range(4)]
        left, top, right, bottom = (expectation(part) for part in parts)
    else:
        left, top, right, bottom = channels
    cx, cy = (x + offset) * stride, (y + offset) * stride
    return (cx - left * stride, cy - top * stride, cx + right * stride, cy + bottom * stride)


def decode_distances(
    scores: Sequence[Sequence[float]],
    sides: Sequence[Sequence[float]],
    size: tuple[int, int],
    strides: Sequence[int],
    *,
    bins: int,
    offset: float,
    logits: bool,
    threshold: float,
    multi_label: bool,
) -> list[Found]:
    """scores, sides: one row a cell, the cells of the first stride first."""
    found: list[Found] = []
    for row, channels, (x, y, stride) in zip(scores, sides, cells(size, strides), strict=True):
        box = box_of_distances(channels, x, y, stride, bins, offset)
        chances = [sigmoid(value) for value in row] if logits else row
        found += pick(box, chances, threshold, multi_label)
    return found


def decode_fastestdet(
    cube: Sequence[Sequence[Sequence[float]]], size: tuple[int, int], threshold: float
) -> list[Found]:
    """cube: [channels][rows][columns]: objectness, tx, ty, tw, th, class chances."""
    rows, columns = len(cube[0]), len(cube[0][0])
    found: list[Found] = []
    for y in range(rows):
        for x in range(columns):
            seen, tx, ty, tw, th, *chances = (plane[y][x] for plane in cube)
            best = max(range(len(chances)), key=lambda index: (chances[index], -index))
            score = seen**0.6 * chances[best] ** 0.4
            cx = (x + math.tanh(tx)) / columns * size[1]
            cy = (y + math.tanh(ty)) / rows * size[0]
            w, h = sigmoid(tw) * size[1], sigmoid(th) * size[0]
            if score >= threshold:
                found.append(((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), score, best))
    return found
