"""Choosing candidates by score before anything else touches them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections, FloatArray, IntArray
from edgecv_cli.detector.spec import Activation, BoxLayout

IndexArray = NDArray[np.intp]

# boxes beyond this are no boxes; it also keeps areas finite
_FAR = 1e6


def choose(
    scores: FloatArray, *, threshold: float, multi_label: bool
) -> tuple[IndexArray, IntArray, FloatArray]:
    """Choose scores [n, classes] that reach the threshold.

    Returns:
        Row, class and score of each: every one with ``multi_label``, else each row's best.
    """
    if multi_label:
        rows, classes = np.nonzero(scores >= threshold)
        return rows, classes.astype(np.int64), scores[rows, classes]
    classes = scores.argmax(axis=1)
    rows = np.arange(len(scores))
    best = scores[rows, classes]
    kept = np.flatnonzero(best >= threshold)
    return kept, classes[kept].astype(np.int64), best[kept]


def best(scores: FloatArray, limit: int) -> IndexArray:
    """Return the indices of the ``limit`` best scores in their own order; the first of equals."""
    if len(scores) <= limit:
        return np.arange(len(scores))
    bar = np.partition(scores, len(scores) - limit)[len(scores) - limit]
    above = scores > bar
    equal = np.flatnonzero(scores == bar)[: limit - int(above.sum())]
    above[equal] = True
    return np.flatnonzero(above)


def corners(
    boxes: NDArray[Any], layout: BoxLayout, *, normalized: bool, size: tuple[int, int]
) -> FloatArray:
    """Turn decoded boxes [n, 4] into float32 x1, y1, x2, y2 in pixels of an input of ``size``."""
    a, b, c, d = boxes.astype(np.float32).T
    if layout == "cxcywh":
        x1, y1, x2, y2 = a - c / 2, b - d / 2, a + c / 2, b + d / 2
    elif layout == "yxyx":
        y1, x1, y2, x2 = a, b, c, d
    else:
        x1, y1, x2, y2 = a, b, c, d
    result = np.stack([x1, y1, x2, y2], axis=1)
    if normalized:
        height, width = size
        result *= np.array([width, height, width, height], np.float32)
    return result


def detections(boxes: FloatArray, scores: FloatArray, classes: IntArray) -> Detections:
    """Put candidates together without those that have no area or no finite corner."""
    found = Detections(boxes, scores.astype(np.float32, copy=False), classes)
    with np.errstate(invalid="ignore"):
        wide = boxes[:, 2:] > boxes[:, :2]
        # nearly always all are sound, which three reductions tell; NaN is not below anything
        if not boxes.size or (boxes.max() < _FAR and boxes.min() > -_FAR and wide.all()):
            return found
        inside = (np.abs(boxes) < _FAR).all(axis=1)
    return found.take(np.flatnonzero(inside & wide.all(axis=1)))


def activate(scores: NDArray[Any], activation: Activation) -> FloatArray:
    """Apply what the graph leaves to be applied to scores [n, classes]."""
    values = scores.astype(np.float32)
    if activation == "sigmoid":
        # by tanh: no overflow at either end
        values = 0.5 * (1 + np.tanh(0.5 * values))
    elif activation == "softmax":
        values = np.exp(values - values.max(axis=1, keepdims=True))
        values /= values.sum(axis=1, keepdims=True)
    return values


def raw_threshold(threshold: float, activation: Activation) -> float:
    """Return the value before ``activation`` below which no score reaches the threshold."""
    if activation == "none":
        return threshold
    if activation == "softmax" or threshold <= 0:
        return -np.inf
    return np.inf if threshold >= 1 else float(np.log(threshold / (1 - threshold)) - 1e-5)
