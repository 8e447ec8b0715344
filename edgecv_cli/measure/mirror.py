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
        The share of all scores that was found twice (each pair of one class at IoU >= 0.5
        counts its lower score times its IoU, once on either side), times the square root of
        that amount; 0 where there is none. A network that saturates finds a hundred things, some
        of them twice by chance: what it finds must not outweigh that it does not find it again.
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
    return float(2 * twice / total * twice**0.5) if total > 0 else 0.0
