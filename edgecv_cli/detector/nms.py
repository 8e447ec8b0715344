"""Greedy non-maximum suppression, exact, without a loop over all pairs of boxes.

Candidates are taken in blocks, best scores first. A block drops what an already kept box
covers, and settles the rest: pair by pair where few overlap, else by iterating *kept = not covered
by a better kept one* to its fixed point, which is the greedy answer. Within a block each pair is
looked at once. Work stops once enough are kept, so thousands of candidates cost little more than
the best few hundred.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections

BLOCK = 128

BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.intp]

FEW = 256  # pairs that a plain loop goes through sooner than numpy does

# Every pair of a block, the worse box first: those of its first n boxes stand first.
_WORSE, _BETTER = np.tril_indices(BLOCK, -1)


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
    kept = np.flatnonzero(_settle(boxes[:BLOCK], classes[:BLOCK], iou))
    for start in range(BLOCK, len(order), BLOCK):
        if len(kept) >= limit:
            break
        block = np.arange(start, min(start + BLOCK, len(order)))
        block = block[~_covers(boxes, classes, kept, block, iou).any(axis=0)]
        kept = np.concatenate([kept, block[_settle(boxes[block], classes[block], iou)]])
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


def _settle(boxes: NDArray[np.float64], classes: NDArray[np.int64], iou: float) -> BoolArray:
    """Which of n boxes [n, 4] in score order greedy suppression keeps."""
    count = len(boxes)
    kept: BoolArray = np.ones(count, np.bool_)
    pairs = count * (count - 1) // 2
    worse, better = _WORSE[:pairs], _BETTER[:pairs]
    covered = np.flatnonzero(_overlap(boxes, worse, better, iou))
    worse, better = worse[covered], better[covered]
    same = classes[worse] == classes[better]
    worse, better = worse[same], better[same]
    if len(worse) <= FEW:
        # a box's pairs come after those of all better boxes: what is said of these is final
        for index, other in zip(worse.tolist(), better.tolist(), strict=True):
            if kept[other]:
                kept[index] = False
        return kept
    while True:
        settled: BoolArray = np.ones(count, np.bool_)
        settled[worse[kept[better]]] = False
        if np.array_equal(settled, kept):
            return kept
        kept = settled


def _overlap(boxes: NDArray[np.float64], a: IndexArray, b: IndexArray, iou: float) -> BoolArray:
    """Whether box a[i] and box b[i] overlap by more than iou."""
    left, top, right, bottom = np.ascontiguousarray(boxes.T)
    inter = np.minimum(right[a], right[b])
    inter -= np.maximum(left[a], left[b])
    tall = np.minimum(bottom[a], bottom[b])
    tall -= np.maximum(top[a], top[b])
    np.maximum(inter, 0, out=inter)
    inter *= np.maximum(tall, 0, out=tall)
    areas = (right - left) * (bottom - top)
    union = areas[b] + areas[a]
    union -= inter
    over: BoolArray = inter > iou * union
    return over
