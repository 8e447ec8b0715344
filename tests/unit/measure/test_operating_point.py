"""The threshold of a changed detector: moved where its scores moved, and only then."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecv_cli.core.boxes import Detections
from edgecv_cli.measure.operating_point import REACH, refit_threshold

THRESHOLD = 0.4


def detections(scores):
    scores = np.sort(np.asarray(scores, np.float32))[::-1]
    left = 20.0 * np.arange(len(scores), dtype=np.float32)
    boxes = np.stack([left, 0 * left, left + 10, 0 * left + 10], axis=1)
    return Detections(boxes, scores, np.zeros(len(scores), np.int64))


def finds(images=40, seed=0):
    rng = np.random.default_rng(seed)
    return [detections(rng.uniform(0.2, 0.95, rng.integers(3, 9))) for _ in range(images)]


def moved(found, by, noise=0.0, seed=1):
    rng = np.random.default_rng(seed)
    return [
        Detections(
            d.boxes, (d.scores + by + rng.normal(0, noise, len(d))).astype(np.float32), d.class_ids
        )
        for d in found
    ]


@settings(max_examples=30, deadline=None)
@given(st.floats(-0.13, 0.13), st.integers(0, 100))
def test_it_follows_scores_that_all_moved_alike(by, seed):
    original = finds(seed=seed)
    refit = refit_threshold(original, moved(original, by), THRESHOLD)

    found = sum(int((d.scores >= refit.threshold).sum()) for d in moved(original, by))
    if refit.threshold != THRESHOLD:
        assert refit.threshold == pytest.approx(THRESHOLD + by, abs=0.03)
        assert abs(found - refit.wanted) < abs(refit.found - refit.wanted)
    else:
        assert abs(by) < 0.03


def test_noise_alone_moves_nothing():
    original = finds()
    for seed in range(5):
        refit = refit_threshold(original, moved(original, 0, 0.03, seed), THRESHOLD)
        assert refit.threshold == THRESHOLD
        assert refit.reason.startswith("kept")


def test_the_same_detector_keeps_its_threshold():
    refit = refit_threshold(finds(), finds(), THRESHOLD)
    assert (refit.threshold, refit.wanted) == (THRESHOLD, refit.found)


@pytest.mark.parametrize("by", [-0.3, 0.3])
def test_it_never_moves_further_than_it_may(by):
    original = finds()
    refit = refit_threshold(original, moved(original, by), THRESHOLD)
    assert abs(refit.threshold - THRESHOLD) <= REACH + 1e-9
    assert "as far as it may" in refit.reason


@pytest.mark.parametrize(
    ("original", "why"),
    [
        (finds(5), "too few"),
        ([], "finds nothing"),
        ([Detections.empty()] * 20, "finds nothing"),
    ],
)
def test_where_nothing_can_be_told_it_stays(original, why):
    refit = refit_threshold(original, moved(original, -0.1), THRESHOLD)
    assert refit.threshold == THRESHOLD
    assert why in refit.reason


def test_equal_scores_are_not_torn_apart():
    """All scores of the candidate are one of two values: no threshold between helps."""
    original = [detections([0.9, 0.5, 0.3])] * 20
    candidate = [detections([0.9, 0.4, 0.4])] * 20
    refit = refit_threshold(original, candidate, THRESHOLD)
    assert refit.threshold == THRESHOLD


def test_a_count_is_not_bought_with_other_objects():
    original = [detections([0.9, 0.8, 0.7, 0.6])] * 20
    elsewhere = [
        Detections(d.boxes + np.float32(500), d.scores - np.float32(0.55), d.class_ids)
        for d in original
    ]
    both = [
        Detections(
            np.concatenate([a.boxes[:2], b.boxes]),
            np.concatenate([a.scores[:2], b.scores]),
            np.concatenate([a.class_ids[:2], b.class_ids]),
        )
        for a, b in zip(original, elsewhere, strict=True)
    ]
    refit = refit_threshold(original, both, THRESHOLD)
    assert refit.threshold == THRESHOLD
    assert "fewer agree" in refit.reason
    assert refit.agreement_after < refit.agreement_before


def test_unpaired_images_are_a_mistake():
    with pytest.raises(ValueError, match="no pairs"):
        refit_threshold(finds(3), finds(4), THRESHOLD)
