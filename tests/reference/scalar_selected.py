"""Decoding of object queries and of boxes that the graph selected, one number at a time.

From the papers (DETR: Carion et al. 2020; Deformable DETR: Zhu et al. 2021) and the exporters'
descriptions of their outputs; shares no code with edgecv.
"""

from __future__ import annotations

from collections.abc import Sequence

from reference.scalar_detector import Found, pick, sigmoid, softmax, to_corners


def decode_queries(
    boxes: Sequence[Sequence[float]],
    logits: Sequence[Sequence[float]],
    size: tuple[int, int],
    rule: str,
    threshold: float,
    multi_label: bool,
) -> list[Found]:
    """boxes cx, cy, w, h in 0..1; rule: sigmoid, or softmax whose last class is no object."""
    found: list[Found] = []
    for box, row in zip(boxes, logits, strict=True):
        scores = softmax(row)[:-1] if rule == "softmax" else [sigmoid(value) for value in row]
        x1, y1, x2, y2 = to_corners(box, "cxcywh")
        corners = (x1 * size[1], y1 * size[0], x2 * size[1], y2 * size[0])
        found += pick(corners, scores, threshold, multi_label)
    return found


def decode_rows(
    rows: Sequence[Sequence[float]],
    order: Sequence[str],
    classes: int,
    threshold: float,
    image: int = 0,
    kept: int | None = None,
) -> list[Found]:
    """rows: numbers in the order of names such as x1, y1, x2, y2, score, label, image."""
    found: list[Found] = []
    for row in rows[: len(rows) if kept is None else max(0, kept)]:
        told = dict(zip(order, row, strict=True))
        label = round(told["label"])
        if told["score"] < threshold or not 0 <= label < classes:
            continue
        if round(told.get("image", image)) != image:
            continue
        if told["x2"] > told["x1"] and told["y2"] > told["y1"]:
            box = (told["x1"], told["y1"], told["x2"], told["y2"])
            found.append((box, told["score"], label))
    return found
