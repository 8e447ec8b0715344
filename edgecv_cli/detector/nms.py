"""Greedy non-maximum suppression, exact, without a loop over boxes.

Candidates are taken in blocks, best scores first. A block drops what an already kept box
covers, and settles the rest by iterating *kept = not covered by a better kept one* to its fixed
point, which is the greedy answer. Work stops once enough are kept, so thousands of candidates
cost little more than the best few hundred.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections

BLOCK = 128

BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.intp]

_ABOVE = np.triu(np.ones((BLOCK, BLOCK), np.bool_), 1)


def suppress(
    detections: Detections, *, iou: float, limit: int, class_wise: bool = True
) -> Detections:
    """Keep the best of every heap of overlapping boxes.

    Args:
        detections: boxes x1, y1, x2, y2 in any order.
        iou: a box goes if its IoU with a better kept one is above this.
        limit: how many to keep at most; those of the best scores.
        class_wise: whether only boxes of the same class suppress each other.

    Returns:
        What was kept, by falling score; equal scores stay in the order they came in.
    """
    order = np.argsort(-detections.scores, kind="stable")
    boxes = detections.boxes[order].astype(np.float64)
    classes = detections.class_ids[order] if class_wise else np.zeros(len(order), np.int64)
    kept = np.zeros(0, np.intp)
    for start in range(0, len(order), BLOCK):
        if len(kept) >= limit:
            break
        block = np.arange(start, min(start + BLOCK, len(order)))
        if len(kept):
            covered = _covers(boxes, classes, kept, block, iou).any(axis=0)
            block = block[~covered]
        kept = np.concatenate([kept, block[_settle(_covers(boxes, classes, block, block, iou))]])
    return detections.take(order[kept[:limit]])


def _covers(
    boxes: NDArray[np.float64], classes: NDArray[np.int64], a: IndexArray, b: IndexArray, iou: float
) -> BoolArray:
    """Whether box a[i] and box b[j] are of one class and overlap by more than iou: [a, b]."""
    left, top, right, bottom = boxes[a].T[:, :, None]
    left_b, top_b, right_b, bottom_b = boxes[b].T[:, None, :]
    wide = np.minimum(right, right_b)
    wide -= np.maximum(left, left_b)
    tall = np.minimum(bottom, bottom_b)
    tall -= np.maximum(top, top_b)
    inter = np.maximum(wide, 0, out=wide)
    inter *= np.maximum(tall, 0, out=tall)
    union = (right - left) * (bottom - top) + (right_b - left_b) * (bottom_b - top_b) - inter
    over: BoolArray = inter > iou * union
    over &= classes[a][:, None] == classes[b][None, :]
    return over


def _settle(covers: BoolArray) -> BoolArray:
    """Which of n boxes in score order greedy suppression keeps; covers is [n, n]."""
    better = covers & _ABOVE[: len(covers), : len(covers)]
    kept: BoolArray = np.ones(len(covers), np.bool_)
    while True:
        settled: BoolArray = np.logical_not(better[kept].any(axis=0))
        if (settled == kept).all():
            return kept
        kept = settled
