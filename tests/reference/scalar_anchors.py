"""Anchors, priors and YuNet's cells decoded one number at a time, in Python's own floats.

Written from the families' descriptions; shares no code with edgecv.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from reference.scalar_detector import Found, cells, pick, sigmoid, softmax, to_corners

Row = Sequence[float]
Pair = tuple[float, float]


def decode_rows(
    rows: Sequence[Row],
    size: tuple[int, int],
    layout: str,
    normalized: bool,
    threshold: float,
    multi_label: bool,
) -> list[Found]:
    """YOLOv5 decoded: rows of 4 of box, objectness, scores."""
    found: list[Found] = []
    for row in rows:
        x1, y1, x2, y2 = to_corners(row[:4], layout)
        if normalized:
            x1, y1, x2, y2 = x1 * size[1], y1 * size[0], x2 * size[1], y2 * size[0]
        found += pick((x1, y1, x2, y2), [row[4] * s for s in row[5:]], threshold, multi_label)
    return found


def anchor_box(
    row: Row, cell: tuple[int, int], stride: int, anchor: Pair, *, code: str, activated: bool
) -> tuple[float, float, float, float]:
    """One box of YOLOv5's code (square) or YOLOv3's (exp), as corners."""
    x, y, w, h = row[:4]
    if not activated:
        x, y = sigmoid(x), sigmoid(y)
    if code == "anchor-exp":
        box = (x + cell[0], y + cell[1], math.exp(w) * anchor[0], math.exp(h) * anchor[1])
    else:
        if not activated:
            w, h = sigmoid(w), sigmoid(h)
        box = (
            2 * x - 0.5 + cell[0],
            2 * y - 0.5 + cell[1],
            (2 * w) ** 2 * anchor[0],
            (2 * h) ** 2 * anchor[1],
        )
    return to_corners((box[0] * stride, box[1] * stride, box[2], box[3]), "cxcywh")


def decode_anchors(
    level: Sequence[Sequence[Sequence[Row]]],
    stride: int,
    anchors: Sequence[Pair],
    *,
    code: str,
    activated: bool,
    threshold: float,
    multi_label: bool,
) -> list[Found]:
    """level[anchor][y][x] = 4 of box, objectness, scores, before or after their sigmoid."""
    found: list[Found] = []
    for maps, anchor in zip(level, anchors, strict=True):
        for y, line in enumerate(maps):
            for x, row in enumerate(line):
                box = anchor_box(row, (x, y), stride, anchor, code=code, activated=activated)
                chances = list(row[4:]) if activated else [sigmoid(value) for value in row[4:]]
                scores = [chances[0] * chance for chance in chances[1:]]
                found += pick(box, scores, threshold, multi_label)
    return found


def decode_shared(
    level: Sequence[Sequence[Row]],
    stride: int,
    anchors: Sequence[Pair],
    *,
    activated: bool,
    threshold: float,
    multi_label: bool,
) -> list[Found]:
    """Yolo-FastestV2: level[y][x] = 4 of box per anchor, an objectness per anchor, scores."""
    many = len(anchors)
    found: list[Found] = []
    for y, line in enumerate(level):
        for x, row in enumerate(line):
            shared = list(row[5 * many :]) if activated else softmax(row[5 * many :])
            for index, anchor in enumerate(anchors):
                part = row[4 * index : 4 * index + 4]
                box = anchor_box(
                    part, (x, y), stride, anchor, code="anchor-square", activated=activated
                )
                lit = row[4 * many + index]
                lit = lit if activated else sigmoid(lit)
                found += pick(box, [lit * score for score in shared], threshold, multi_label)
    return found


def priors(
    size: tuple[int, int], sides: dict[int, Sequence[int]], *, even: bool
) -> list[tuple[float, float, float, float]]:
    """cx, cy, w, h in pixels; `even` shares the input among the cells and clips at its edges."""
    rows = []
    for stride, row in sides.items():
        tall, wide = math.ceil(size[0] / stride), math.ceil(size[1] / stride)
        step_x = size[1] / wide if even else stride
        step_y = size[0] / tall if even else stride
        for y in range(tall):
            for x in range(wide):
                for side in row:
                    w = min(side, size[1]) if even else side
                    h = min(side, size[0]) if even else side
                    rows.append(((x + 0.5) * step_x, (y + 0.5) * step_y, w, h))
    return rows


def decode_priors(
    offsets: Sequence[Row],
    scores: Sequence[Row],
    prior: Sequence[Row],
    *,
    logits: bool,
    threshold: float,
) -> list[Found]:
    """Offsets in tenths of a prior and fifths of a log; the second score is a face's."""
    found: list[Found] = []
    for (x, y, w, h), pair, (cx, cy, wide, tall) in zip(offsets, scores, prior, strict=True):
        box = (
            cx + 0.1 * x * wide,
            cy + 0.1 * y * tall,
            wide * math.exp(0.2 * w),
            tall * math.exp(0.2 * h),
        )
        chance = softmax(pair)[1] if logits else pair[1]
        found += pick(to_corners(box, "cxcywh"), [-1.0, chance], threshold, False)
    return found


def decode_yunet(
    levels: dict[int, tuple[Sequence[float], Sequence[float], Sequence[Row]]],
    size: tuple[int, int],
    threshold: float,
) -> list[Found]:
    """Per stride: class chances, objectness chances and 4 of box of every cell."""
    found: list[Found] = []
    for stride, (chances, lit, boxes) in levels.items():
        places = cells(size, (stride,))
        for chance, present, row, (x, y, _) in zip(chances, lit, boxes, places, strict=True):
            box = (
                (x + row[0]) * stride,
                (y + row[1]) * stride,
                math.exp(row[2]) * stride,
                math.exp(row[3]) * stride,
            )
            score = math.sqrt(chance * present)
            found += pick(to_corners(box, "cxcywh"), [score], threshold, False)
    return found
