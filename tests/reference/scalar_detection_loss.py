"""The detection loss by its definition, one pair of detections at a time."""

from __future__ import annotations

Found = tuple[float, float, float, float, float, int]
"""x1, y1, x2, y2, score, class."""


def overlap(a: Found, b: Found) -> float:
    """Return intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (both - width * height)


def kept(one: Found, others: list[Found]) -> float:
    """Return how far the best of the other side's detections is this one."""
    best = 0.0
    for other in others:
        if other[5] == one[5] and max(one[4], other[4]) > 0:
            alike = min(one[4], other[4]) / max(one[4], other[4])
            best = max(best, overlap(one, other) * alike)
    return best


def loss(pairs: list[tuple[list[Found], list[Found]]], threshold: float) -> float:
    """Return the loss over images, each a pair of lists of detections."""
    lost = total = 0.0
    for left, right in pairs:
        for ours, theirs in ((left, right), (right, left)):
            for one in ours:
                weight = max(0.0, one[4] - threshold)
                lost += weight * (1 - kept(one, theirs))
                total += weight
    return lost / total if total else 0.0
