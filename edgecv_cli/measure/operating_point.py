"""The score threshold at which a changed detector works as its original does at its own.

Quantization moves scores: a threshold that was chosen for the float model then lets through more
or fewer detections. What a threshold sets is the balance of precision against recall, and

    precision / recall = (hits / detections) / (hits / objects) = objects / detections

whatever the hits are. The balance is therefore kept by keeping the number of detections, on the
same images, and no labels are needed for that; they could only say it with more noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.measurement import bootstrap_interval
from edgecv_cli.core.result import Interval, Part
from edgecv_cli.detector.profiles import Profile, detection_profile
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.measure.agreement import agreement
from edgecv_cli.measure.resampling import multiplicities

REACH = 0.15  # of score: further off, it is not the threshold that is wrong
_STEP = 0.0025
_LOWEST, _HIGHEST = 0.01, 0.99
_FEWEST_IMAGES = 8  # below, resampling images says little of how they scatter
_RESAMPLES = 1000
_AGREEMENT_NOISE = 0.02


class Refit(Part):
    """A score threshold, and how it was decided."""

    threshold: float = Field(description="For `detect`; the original's unless another is shown.")
    original: float = Field(description="The threshold that the original detects with.")
    reason: str
    images: int
    wanted: int = Field(description="Detections of the original at its threshold.")
    found: int = Field(description="Detections of the candidate at that same threshold.")
    interval: Interval | None = Field(
        default=None, description="Of the threshold that gives as many, over images."
    )
    agreement_before: float | None = Field(
        default=None, description="Agreement with the original if the threshold stayed."
    )
    agreement_after: float | None = Field(
        default=None, description="Agreement of the candidate at the new threshold."
    )


def refit_profile(spec: DetectorSpec) -> Profile:
    """Return the profile that :func:`refit_threshold` wants its detections read with.

    ``detect``'s own rules (best class per box, its NMS) down to the lowest threshold that may be
    chosen. Suppression goes by falling score, so that what stands above a threshold is the same
    as if it had been read with that one.
    """
    return detection_profile(spec, conf=max(_LOWEST, spec.score_threshold - REACH))


def refit_threshold(
    original: Sequence[Detections],
    candidate: Sequence[Detections],
    threshold: float,
    *,
    seed: int = 0,
) -> Refit:
    """Find the threshold at which a candidate finds as much as its original does.

    It moves only where that is shown: the bootstrap interval over images must leave the
    original's threshold out, and agreement must not fall by more than 0.02; at most by 0.15.

    Args:
        original: its detections, one entry an image, read with :func:`refit_profile`.
        candidate: the other's on the same images, read likewise.
        threshold: the original's score threshold, 0..1.
        seed: of the bootstrap.

    Raises:
        ValueError: the two do not cover the same number of images.
    """
    if len(original) != len(candidate):
        raise ValueError(f"{len(original)} and {len(candidate)} images are no pairs")
    grid = _grid(threshold)
    wanted = np.array([np.count_nonzero(d.scores >= threshold) for d in original], np.int64)
    counts = _counts(candidate, grid)
    found = int(sum(np.count_nonzero(d.scores >= threshold) for d in candidate))
    stays = Refit(
        threshold=threshold,
        original=threshold,
        reason="",
        images=len(original),
        wanted=int(wanted.sum()),
        found=found,
    )
    if len(original) < _FEWEST_IMAGES or stays.wanted == 0:
        why = "the original finds nothing in them" if stays.wanted == 0 else "too few to tell"
        return stays.model_copy(update={"reason": f"kept: {len(original)} images, {why}"})
    point = float(_crossing(counts.sum(axis=0)[None], wanted.sum()[None], grid)[0])
    weights = multiplicities(len(original), resamples=_RESAMPLES, seed=seed)
    drawn = _crossing(weights @ counts, weights @ wanted, grid)
    tried = stays.model_copy(update={"interval": bootstrap_interval(drawn)})
    return _decide(tried, point, original, candidate)


def _decide(
    tried: Refit, point: float, original: Sequence[Detections], candidate: Sequence[Detections]
) -> Refit:
    """Take the new threshold if it is shown to be another, and to agree no worse."""
    interval, threshold = tried.interval, tried.original
    assert interval is not None
    counted = f"{tried.found} detections for {tried.wanted} in {tried.images} images"
    if interval.low <= threshold <= interval.high:
        return tried.model_copy(update={"reason": f"kept: {counted} is within their scatter"})
    chosen = round(point, 3)
    reached = int(_counts(candidate, np.array([chosen])).sum())
    if abs(reached - tried.wanted) >= abs(tried.found - tried.wanted):
        return tried.model_copy(
            update={"reason": f"kept: no threshold comes closer than {counted}"}
        )
    agreed = [
        agreement(original, _shifted(candidate, threshold - place), threshold).agreement
        for place in (threshold, chosen)
    ]
    tried = tried.model_copy(update={"agreement_before": agreed[0], "agreement_after": agreed[1]})
    if (agreed[1] or 0.0) < (agreed[0] or 0.0) - _AGREEMENT_NOISE:
        return tried.model_copy(update={"reason": "kept: at as many detections, fewer agree"})
    reason = f"moved for as many detections as the original's: {counted} before"
    if abs(chosen - threshold) > REACH - _STEP:
        reason = f"moved as far as it may ({REACH:g}): {counted} before"
    return tried.model_copy(update={"threshold": chosen, "reason": reason})


def _grid(threshold: float) -> NDArray[np.float64]:
    """The thresholds that may be chosen, rising, the original's own among them."""
    steps = np.arange(-round(REACH / _STEP), round(REACH / _STEP) + 1) * _STEP
    grid = (threshold + steps).astype(np.float64)
    inside = (grid >= min(_LOWEST, threshold)) & (grid <= max(_HIGHEST, threshold))
    return grid[inside]


def _counts(found: Sequence[Detections], grid: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many detections of each image reach each threshold: [images, thresholds]."""
    rows = np.zeros((len(found), len(grid)), np.int64)
    for row, entry in zip(rows, found, strict=True):
        scores = np.sort(entry.scores.astype(np.float64))
        row[:] = len(scores) - np.searchsorted(scores, grid, side="left")
    return rows


def _crossing(
    counts: NDArray[Any], wanted: NDArray[Any], grid: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return where each row of falling counts [n, thresholds] comes closest to what is wanted [n].

    Where several thresholds come as close, their middle. Integer arithmetic makes scores that
    are exactly equal: counts jump there, and between two thresholds lies nothing to choose.
    """
    apart = np.abs(counts - wanted[:, None])
    closest = apart == apart.min(axis=1, keepdims=True)
    left = closest.argmax(axis=1)
    right = len(grid) - 1 - closest[:, ::-1].argmax(axis=1)
    middle: NDArray[np.float64] = (grid[left] + grid[right]) / 2
    return middle


def _shifted(found: Sequence[Detections], by: float) -> list[Detections]:
    """Move all scores, so that one threshold stands for another."""
    return [Detections(d.boxes, (d.scores + np.float32(by)), d.class_ids) for d in found]
