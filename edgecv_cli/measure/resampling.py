"""mAP of resampled image sets, from one matching: the images' multiplicities are weights.

Which detection is right does not depend on which other images are in the set, so a bootstrap
over images need not match again: an image that was drawn three times counts each of its
detections three times in the cumulative sums behind the precision-recall curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RECALL_POINTS: Floats = np.linspace(0.0, 1.0, 101)
_CELLS = 2_000_000  # weights in flight at once: 16 MB, whatever the set's size


@dataclass(frozen=True)
class ClassMatches:
    """One class's detections over all images, best score first.

    Attributes:
        image: intp [n], position of each detection's image in the set.
        score: float64 [n].
        right: bool [t, n], matched to an object, at each of t IoU thresholds.
        counted: bool [t, n], neither matched to a crowd nor outside the area range.
        truths: int64 [images], objects to be found in each image.
    """

    image: NDArray[np.intp]
    score: Floats
    right: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    truths: NDArray[np.int64]


def multiplicities(images: int, *, resamples: int, seed: int) -> Floats:
    """Draw ``images`` images with replacement, ``resamples`` times: float64 [resamples, images]."""
    counts = np.random.default_rng(seed).multinomial(
        images, np.full(images, 1 / images), size=resamples
    )
    return counts.astype(np.float64)


def mean_average_precision(classes: Sequence[ClassMatches], weights: Floats) -> Floats:
    """Return mAP (0..1) of each weighted image set.

    Args:
        classes: the matching, one entry a class.
        weights: float64 [sets, images], how often each image is in each set.

    Returns:
        float64 [sets]; NaN where a set holds no object of any class.
    """
    means: Floats = precision_by_iou(classes, weights).mean(axis=0)
    return means


def precision_by_iou(classes: Sequence[ClassMatches], weights: Floats) -> Floats:
    """As :func:`mean_average_precision`, each of the t IoU thresholds apart: [t, sets]."""
    ious = len(classes[0].right) if classes else 0
    total = np.zeros((ious, len(weights)))
    present = np.zeros(len(weights))
    for matches in classes:
        found = class_precision(matches, weights)
        there = ~np.isnan(found[0])
        present += there
        total += np.where(there, found, 0)
    means: Floats = np.full(total.shape, np.nan)
    np.divide(total, present, out=means, where=present > 0)
    return means


def class_precision(matches: ClassMatches, weights: Floats) -> Floats:
    """Return one class's AP at each IoU threshold in each weighted image set.

    Returns:
        float64 [t, sets]; NaN where a set holds no object of the class.
    """
    result = np.full((len(matches.right), len(weights)), np.nan)
    step = max(1, _CELLS // max(1, len(matches.image)))
    for start in range(0, len(weights), step):
        part = slice(start, start + step)
        truths = weights[part] @ matches.truths
        found = _some_sets(matches, weights[part], truths)
        result[:, part] = np.where(truths > 0, found, np.nan)
    return result


def _some_sets(matches: ClassMatches, weights: Floats, truths: Floats) -> Floats:
    # Most detections lie outside a range of areas at every threshold, and move nothing.
    used = matches.counted.any(axis=0)
    seen = weights[:, matches.image[used]]
    whole = np.cumsum(seen, axis=1)
    result = np.zeros((len(matches.right), len(weights)))
    verdicts = zip(matches.right[:, used], matches.counted[:, used], strict=True)
    for place, (right, counted) in enumerate(verdicts):
        hits = np.flatnonzero(right & counted)
        if hits.size:
            before = whole if counted.all() else np.cumsum(seen * counted, axis=1)
            found = np.cumsum(seen[:, hits], axis=1)
            result[place] = _interpolated(found, before[:, hits], truths)
    return result


def _interpolated(found: Floats, counted: Floats, truths: Floats) -> Floats:
    """Return the area under each curve at 101 recall points.

    Recall only moves at a right detection, so curves are sampled there alone. A recall point
    takes the best precision at its recall or beyond (the right-to-left running maximum), and
    each detection answers for the recall points that it is the first to reach.
    """
    precision = found / (counted + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = found / np.maximum(truths, 1)[:, None]
    reached = np.searchsorted(RECALL_POINTS, recall, side="right")
    first = np.diff(reached, axis=1, prepend=0)
    area: Floats = (envelope * first).sum(axis=1) / len(RECALL_POINTS)
    return area
