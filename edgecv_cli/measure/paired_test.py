"""Whether two detectors differ on the same images, beyond what the choice of images explains.

The test is by permutation: were the two alike, then in each image what one found might as well
have been found by the other. Images are drawn at random in which the two change places, the
difference is taken again, and the p-value is the share of such draws whose difference is at least
as large (Pitman 1937; for images as the unit of pairing see also Smucker, Allan and Carterette,
CIKM 2007). mAP is no mean over images, so each draw recomputes it whole, from one matching.
Classes are held against the largest standardised difference of any class in each draw, so that
looking at many of them does not find differences that are none (Westfall and Young 1993).

Detections change places by their rank, not by their score: AP knows nothing but each detector's own
order, while two families' scores are seldom on one scale. With scores, the one that gives the lower
ones would find nothing in a mixed list, and in simulated sets of equally good detectors, one of
which scores ten times lower, some class stood out in 96 of 100 instead of 5.

The interval is the test turned round: those true differences that it would not reject. A bootstrap
over images is not used here: an image set drawn with repeats holds nothing new of a class that
occurs in one image only, so its intervals are too narrow, and where two detectors were alike it
told them apart in 7 to 13 of 100 simulated sets instead of 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.measure.resampling import ClassMatches, Floats, class_precision

LEVEL = 0.05
_ALIKE = 1e-12  # differences closer than this are one, but for the order of their sums


@dataclass(frozen=True)
class PairedTest:
    """What the permutations say; differences are the first less the second, of mAP 0..1.

    Attributes:
        difference: in mAP.
        p_value: two-sided, that a difference at least as large comes from alike detectors.
        reach: how far from 0 a difference must be to be one: half the width of its 95 % interval.
        spread: standard deviation of the difference between alike detectors.
        permutations: draws behind all of it.
        by_class: float64 [classes], differences in AP; NaN where a class has no object.
        p_by_class: float64 [classes], two-sided, corrected for the number of classes.
    """

    difference: float
    p_value: float
    reach: float
    spread: float
    permutations: int
    by_class: Floats
    p_by_class: Floats


def paired_test(
    first: Sequence[ClassMatches],
    second: Sequence[ClassMatches],
    images: int,
    *,
    seed: int,
    permutations: int = 1000,
) -> PairedTest:
    """Test two matchings of the same images and classes against each other.

    Args:
        first, second: one entry a class, in the same order.
        images: how many images there are.
        seed: of the draws.
        permutations: how many draws.

    Raises:
        ValueError: the two are not of the same objects, no class has an object, or there are too
            few permutations for a p-value below 0.05.
    """
    if not _rejected(permutations):
        raise ValueError(f"{permutations} permutations can't give a p-value below {LEVEL}")
    kept, swapped = _changed_places(images, permutations, seed)
    differences = np.full((len(first), permutations + 1), np.nan)
    for row, a, b in zip(differences, first, second, strict=True):
        if not np.array_equal(a.truths, b.truths):
            raise ValueError("the two matchings are not of the same objects")
        if a.truths.any():
            both = _joined(a, b, images)
            row[:] = (class_precision(both, kept) - class_precision(both, swapped)).mean(axis=0)
    present = ~np.isnan(differences[:, 0])
    if not present.any():
        raise ValueError("no class has an object, so that there is nothing to compare")
    whole = differences[present].mean(axis=0)
    whole[np.abs(whole) < _ALIKE] = 0
    drawn = np.sort(np.abs(whole[1:]))[::-1]
    by_class = np.full(len(first), np.nan)
    by_class[present] = _corrected(differences[present])
    return PairedTest(
        difference=float(whole[0]),
        p_value=float(_share_beyond(drawn, np.abs(whole[:1]))[0]),
        reach=float(drawn[_rejected(permutations) - 1]),
        spread=float(np.sqrt((drawn**2).mean())),
        permutations=permutations,
        by_class=differences[:, 0],
        p_by_class=by_class,
    )


def _rejected(permutations: int) -> int:
    """Return the place, from 1, of the draw that a difference must exceed for p below 0.05."""
    return math.ceil(LEVEL * (permutations + 1)) - 1


def _changed_places(images: int, permutations: int, seed: int) -> tuple[Floats, Floats]:
    """Return weights of the first's images, then the second's, for either side of each draw.

    The first row is the two as they are.
    """
    rng = np.random.default_rng(seed)
    stays = np.ones((permutations + 1, images))
    stays[1:] = rng.integers(0, 2, (permutations, images))
    return np.hstack([stays, 1 - stays]), np.hstack([1 - stays, stays])


def _joined(a: ClassMatches, b: ClassMatches, images: int) -> ClassMatches:
    """Put both detectors' answers in one list by rank, the second's images after the first's.

    Equal ranks stay in the order of the images, whosever they are.
    """
    image = np.concatenate([a.image, b.image])
    rank = np.concatenate([np.arange(len(a.image)), np.arange(len(b.image))])
    order = np.lexsort((image, rank))
    side = np.concatenate([np.zeros(len(a.image), np.intp), np.ones(len(b.image), np.intp)])
    return ClassMatches(
        (image + side * images)[order],
        -rank[order].astype(np.float64),
        np.concatenate([a.right, b.right], axis=1)[:, order],
        np.concatenate([a.counted, b.counted], axis=1)[:, order],
        np.concatenate([a.truths, b.truths]),
    )


def _corrected(differences: Floats) -> Floats:
    """Return each class's p-value against the largest standardised difference of each draw."""
    sizes = np.abs(differences)
    spread = np.sqrt((sizes[:, 1:] ** 2).mean(axis=1, keepdims=True))
    standard = np.divide(sizes, spread, out=np.zeros_like(sizes), where=spread > _ALIKE)
    return _share_beyond(standard[:, 1:].max(axis=0), standard[:, 0])


def _share_beyond(drawn: Floats, seen: Floats) -> NDArray[np.float64]:
    """Return how often a draw reaches what was seen, itself counted as one of the draws."""
    reached = (drawn[None, :] >= seen[:, None] - _ALIKE).sum(axis=1)
    shares: NDArray[np.float64] = (1 + reached) / (1 + len(drawn))
    return shares
