"""Pre- and post-processing of detectors one number at a time, in Python's own floats.

Written from the families' descriptions; shares no code with edgecv.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Box = tuple[float, float, float, float]
Found = tuple[Box, float, int]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def softmax(row: Sequence[float]) -> list[float]:
    top = max(row)
    parts = [math.exp(value - top) for value in row]
    return [part / sum(parts) for part in parts]


def cells(size: tuple[int, int], strides: Sequence[int]) -> list[tuple[int, int, int]]:
    """(x, y, stride) of every cell."""
    return [
        (x, y, stride)
        for stride in strides
        for y in range(math.ceil(size[0] / stride))
        for x in range(math.ceil(size[1] / stride))
    ]


def to_corners(box: Sequence[float], layout: str) -> Box:
    a, b, c, d = box
    if layout == "cxcywh":
        return (a - c / 2, b - d / 2, a + c / 2, b + d / 2)
    return (b, a, d, c) if layout == "yxyx" else (a, b, c, d)


def pick(box: Box, scores: Sequence[float], threshold: float, multi_label: bool) -> list[Found]:
    x1, y1, x2, y2 = box
    if not (x2 > x1 and y2 > y1):
        return []
    found = [(box, score, index) for index, score in enumerate(scores) if score >= threshold]
    if multi_label or not found:
        return found
    return [max(found, key=lambda entry: (entry[1], -entry[2]))]


def decode_yolov8(
    rows: Sequence[Sequence[float]], threshold: float, multi_label: bool, layout: str = "cxcywh"
) -> list[Found]:
    """rows: one candidate each, 4 of box then scores."""
    found: list[Found] = []
    for row in rows:
        found += pick(to_corners(row[:4], layout), row[4:], threshold, multi_label)
    return found


def decode_yolox(
    rows: Sequence[Sequence[float]],
    size: tuple[int, int],
    strides: Sequence[int],
    threshold: float,
    multi_label: bool,
) -> list[Found]:
    """rows: one candidate each, 4 raw, objectness, scores."""
    found: list[Found] = []
    for row, (x, y, stride) in zip(rows, cells(size, strides), strict=True):
        box = (
            (row[0] + x) * stride,
            (row[1] + y) * stride,
            math.exp(row[2]) * stride,
            math.exp(row[3]) * stride,
        )
        scores = [row[4] * score for score in row[5:]]
        found += pick(to_corners(box, "cxcywh"), scores, threshold, multi_label)
    return found


def decode_ssd(
    boxes: Sequence[Sequence[float]],
    scores: Sequence[Sequence[float]],
    size: tuple[int, int],
    layout: str,
    normalized: bool,
    background: int | None,
    threshold: float,
    multi_label: bool,
) -> list[Found]:
    found: list[Found] = []
    for row, chances in zip(boxes, scores, strict=True):
        x1, y1, x2, y2 = to_corners(row, layout)
        if normalized:
            x1, y1, x2, y2 = x1 * size[1], y1 * size[0], x2 * size[1], y2 * size[0]
        quiet = [-1.0 if index == background else chance for index, chance in enumerate(chances)]
        found += pick((x1, y1, x2, y2), quiet, threshold, multi_label)
    return found


def overlap(a: Box, b: Box) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    tall = min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or tall <= 0:
        return 0.0
    inter = wide * tall
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union


def suppress(found: Sequence[Found], iou: float, limit: int, class_wise: bool) -> list[int]:
    """Indices of what greedy NMS keeps, best first; of equals the first."""
    order = sorted(range(len(found)), key=lambda index: (-found[index][1], index))
    kept: list[int] = []
    for index in order:
        box, _, label = found[index]
        rivals = [other for other in kept if not class_wise or found[other][2] == label]
        if all(overlap(box, found[other][0]) <= iou for other in rivals):
            kept.append(index)
    return kept[:limit]


def letterbox_plan(
    image: tuple[int, int], size: tuple[int, int], resize: str
) -> tuple[int, int, int, int]:
    """(content height, content width, top, left)."""
    if resize == "stretch":
        return (*size, 0, 0)
    ratio = min(size[0] / image[0], size[1] / image[1])
    if resize == "letterbox-topleft":
        return (max(1, int(image[0] * ratio)), max(1, int(image[1] * ratio)), 0, 0)
    height, width = max(1, round(image[0] * ratio)), max(1, round(image[1] * ratio))
    top = round((size[0] - height) / 2 - 0.1)
    left = round((size[1] - width) / 2 - 0.1)
    return height, width, top, left
