"""Do two artifacts find the same things: agreement without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgecv_cli.core.boxes import Detections, iou_matrix
from edgecv_cli.core.result import Part

MATCH_IOU = 0.5
BAND = 0.05
_SLACK = 1e-6  # scores are float32: 0.30 - 0.25 must count as within 0.05


class AgreementResult(Part):
    """Class-aware micro-F1 of matched detections.

    A detection within 0.05 of the threshold that finds no partner counts for neither side: a
    score that moved by a hair is not a disagreement.
    """

    agreement: float | None = Field(
        description="2 matched / (2 matched + missed + extra); absent if there is none of them."
    )
    matched: int = Field(description="Pairs of one class at IoU >= 0.5.")
    missed: int = Field(description="Detections of the reference alone.")
    extra: int = Field(description="Detections of the candidate alone.")
    mean_iou: float | None = Field(default=None, description="Mean IoU of the matched pairs.")
    score_shift: float | None = Field(
        default=None, description="Mean score of the candidate less the reference's, of pairs."
    )
    images: int
    threshold: float = Field(description="Score from which a detection counts, on both sides.")


@dataclass(frozen=True)
class _Tally:
    ious: tuple[float, ...]
    shifts: tuple[float, ...]
    missed: int
    extra: int


def agreement(
    reference: Sequence[Detections], candidate: Sequence[Detections], threshold: float
) -> AgreementResult:
    """Compare what two artifacts find in the same images.

    Args:
        reference: the original's detections, one entry an image, best class per box; those
            above the threshold are taken as the truth.
        candidate: the other's, in the same coordinates.
        threshold: the original's score threshold; lower scores are left out on both sides.

    Raises:
        ValueError: the two do not cover the same number of images.
    """
    tallies = [
        _compare(_above(a, threshold), _above(b, threshold), threshold)
        for a, b in zip(reference, candidate, strict=True)
    ]
    ious = [iou for tally in tallies for iou in tally.ious]
    shifts = [shift for tally in tallies for shift in tally.shifts]
    missed, extra = sum(t.missed for t in tallies), sum(t.extra for t in tallies)
    weight = 2 * len(ious) + missed + extra
    return AgreementResult(
        agreement=2 * len(ious) / weight if weight else None,
        matched=len(ious),
        missed=missed,
        extra=extra,
        mean_iou=float(np.mean(ious)) if ious else None,
        score_shift=float(np.mean(shifts)) if shifts else None,
        images=len(tallies),
        threshold=threshold,
    )


def _above(found: Detections, threshold: float) -> Detections:
    kept = found.take(found.scores >= threshold)
    return kept.take(np.argsort(-kept.scores, kind="stable"))


def _compare(truth: Detections, found: Detections, threshold: float) -> _Tally:
    """Match one image: the best-scored detection chooses first, among what is left."""
    free = iou_matrix(found.boxes, truth.boxes).astype(np.float64)
    free[found.class_ids[:, None] != truth.class_ids[None, :]] = -1
    lonely = np.ones(len(found), bool)
    waiting = np.ones(len(truth), bool)
    ious, shifts = [], []
    for row in range(len(found)):
        if not waiting.any():
            break
        best = int(free[row].argmax())
        if free[row, best] >= MATCH_IOU:
            ious.append(float(free[row, best]))
            shifts.append(float(found.scores[row]) - float(truth.scores[best]))
            lonely[row], waiting[best] = False, False
            free[:, best] = -1
    return _Tally(
        tuple(ious),
        tuple(shifts),
        missed=_certain(truth.scores[waiting], threshold),
        extra=_certain(found.scores[lonely], threshold),
    )


def _certain(scores: NDArray[np.float32], threshold: float) -> int:
    return int(np.count_nonzero(np.abs(scores - threshold) > BAND + _SLACK))
