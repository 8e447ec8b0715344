"""How far a detector believes itself: what it finds again in the mirrored picture.

A detector that is fed wrongly either finds little, or much that is not there; the first shows in
how much it finds, the second in that the mirror image gives something else. No labels are
needed. Objects do not care about left and right, and detectors are trained on both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections, iou_matrix

MATCH_IOU = 0.5


def mirrored(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture [H, W, 3] with left and right exchanged."""
    return np.ascontiguousarray(picture[:, ::-1])


def found_again(plain: Detections, mirror: Detections, width: int) -> float:
    """Score one picture.

    Args:
        plain: what was found in it, in its pixels.
        mirror: what was found in its mirror image, in that one's pixels.
        width: of the picture, in pixels.

    Returns:
        The geometric mean of how much was found twice (each pair of one class at IoU >= 0.5
        counts its lower score times its IoU) and of the share of all scores that this is. 0
        where nothing was.
    """
    boxes = mirror.boxes.copy()
    boxes[:, [0, 2]] = width - mirror.boxes[:, [2, 0]]
    overlap = iou_matrix(plain.boxes, boxes).astype(np.float64)
    overlap[plain.class_ids[:, None] != mirror.class_ids[None, :]] = 0
    twice = 0.0
    for row, score in enumerate(plain.scores):
        best = int(overlap[row].argmax()) if len(mirror) else 0
        if len(mirror) and overlap[row, best] >= MATCH_IOU:
            twice += float(min(score, mirror.scores[best]) * overlap[row, best])
            overlap[:, best] = 0
    total = float(plain.scores.sum() + mirror.scores.sum())
    return float(np.sqrt(twice * 2 * twice / total)) if total > 0 else 0.0
