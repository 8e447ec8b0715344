"""Precision and recall at a score threshold: what `detect` finds, and what it would at others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgecv_cli.core.boxes import FloatArray
from edgecv_cli.core.result import Part
from edgecv_cli.measure.confusion import IOU, ImagePairs

_STEPS = 100
_DIGITS = 5


class OperatingPoint(Part):
    """Right and wrong detections of all classes together, read as `detect` reads them."""

    threshold: float = Field(description="Score that `detect` starts at.")
    iou: float = Field(default=IOU, description="Overlap from which a detection is right.")
    precision: float | None = Field(
        default=None, description="Right of all detections; absent where there are none."
    )
    recall: float = Field(description="Found of all objects.")
    f1: float = Field(description="Twice the right, of detections and objects together.")
    best_threshold: float | None = Field(
        default=None, description="The score from which F1 is highest on these images."
    )
    best_f1: float | None = None
    precisions: tuple[float, ...] = Field(
        description="At the thresholds 0.01, 0.02, ... as far as there are detections."
    )
    recalls: tuple[float, ...] = Field(description="At the same thresholds.")


def operating_point(pairs: Sequence[ImagePairs], threshold: float) -> OperatingPoint:
    """Return precision, recall and F1 at a threshold and at all others.

    Args:
        pairs: of each image, from a score on that is lower than the thresholds of interest;
            together they have an object.
        threshold: what `detect` uses, 0..1.

    Raises:
        ValueError: there is no object to be found.
    """
    objects = int(sum(np.count_nonzero(~image.crowd) for image in pairs))
    if not objects:
        raise ValueError("no object is to be found")
    scores, right = _answers(pairs)
    found = np.cumsum(right)
    total = np.arange(1, len(scores) + 1)

    def at(score: float) -> tuple[int, int]:
        shown = int(np.searchsorted(-scores, -np.float32(score), side="right"))
        return (int(found[shown - 1]), shown) if shown else (0, 0)

    hits, shown = at(threshold)
    best = _best(scores, 2 * found / (total + objects))
    grid = [at(step / _STEPS) for step in range(1, _STEPS + 1)]
    told = [one for one in grid if one[1]]
    return OperatingPoint(
        threshold=threshold,
        precision=hits / shown if shown else None,
        recall=hits / objects,
        f1=2 * hits / (shown + objects),
        best_threshold=None if best is None else best[0],
        best_f1=None if best is None else best[1],
        precisions=tuple(round(one / of, _DIGITS) for one, of in told),
        recalls=tuple(round(one / objects, _DIGITS) for one, _ in told),
    )


def _answers(pairs: Sequence[ImagePairs]) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return scores and verdicts of all that counts, best first."""
    scores = np.concatenate([image.scores[image.counted] for image in pairs])
    right = np.concatenate([image.right[image.counted] for image in pairs])
    order = np.argsort(-scores, kind="stable")
    return scores[order], right[order]


def _best(scores: FloatArray, f1: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the threshold of the highest F1 and that F1; equal scores pass or fail together."""
    if not len(scores):
        return None
    last = np.flatnonzero(np.append(np.diff(scores) < 0, True))
    place = last[int(np.argmax(f1[last]))]
    return float(scores[place]), float(f1[place])
