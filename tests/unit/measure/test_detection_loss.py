"""The smooth loss between two detectors' answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecv_cli.core.boxes import Detections
from edgecv_cli.measure.detection_loss import THRESHOLD, detection_loss


def _drawn(seed: int, images: int = 3, most: int = 8) -> list[Detections]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(images):
        count = int(rng.integers(0, most))
        corner = rng.uniform(0, 60, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(5, 60, (count, 2))], axis=1)
        found.append(
            Detections(
                boxes.astype(np.float32),
                rng.uniform(0, 1, count).astype(np.float32),
                rng.integers(0, 2, count),
            )
        )
    return found


def _apart(count: int = 4) -> list[Detections]:
    """Boxes that do not touch, so that each has one partner."""
    x = np.arange(count, dtype=np.float32) * 100
    boxes = np.stack([x, x * 0, x + 50, x * 0 + 50], axis=1)
    scores = np.linspace(0.4, 0.9, count, dtype=np.float32)
    return [Detections(boxes, scores, np.arange(count) % 2)]


seeds = st.integers(0, 2**31)


@settings(max_examples=40, deadline=None)
@given(seeds, seeds)
def test_it_is_bounded_symmetric_and_blind_to_order(left: int, right: int) -> None:
    ours, theirs = _drawn(left), _drawn(right)
    loss = detection_loss(ours, theirs)
    assert 0 <= loss <= 1
    assert detection_loss(theirs, ours) == pytest.approx(loss)
    shuffled = [found.take(np.random.default_rng(left).permutation(len(found))) for found in theirs]
    assert detection_loss(ours, shuffled) == pytest.approx(loss)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_the_same_detections_lose_nothing(seed: int) -> None:
    assert detection_loss(_drawn(seed), _drawn(seed)) == pytest.approx(0, abs=1e-6)


def test_nothing_in_common_is_one() -> None:
    (found,) = _apart()
    elsewhere = Detections(found.boxes + 1000, found.scores, found.class_ids)
    other_class = Detections(found.boxes, found.scores, found.class_ids + 5)
    for other in (elsewhere, other_class, Detections.empty()):
        assert detection_loss([found], [other]) == 1


def test_it_grows_as_scores_shrink_and_boxes_drift() -> None:
    (found,) = _apart()
    shrunk = [
        detection_loss([found], [Detections(found.boxes, found.scores * part, found.class_ids)])
        for part in (np.float32(1), np.float32(0.9), np.float32(0.6), np.float32(0.2))
    ]
    drifted = [
        detection_loss([found], [Detections(found.boxes + by, found.scores, found.class_ids)])
        for by in (np.float32(0), np.float32(2), np.float32(10), np.float32(30))
    ]
    for losses in (shrunk, drifted):
        assert losses == sorted(losses)
        assert len(set(losses)) == len(losses)
    assert shrunk[1] == pytest.approx(0.1, abs=1e-6)


def test_what_only_the_candidate_finds_counts() -> None:
    (found,) = _apart()
    fewer = found.take(np.array([0, 1]))
    assert detection_loss([fewer], [found]) == detection_loss([found], [fewer]) > 0.1


def test_a_detection_enters_at_weight_nought() -> None:
    (found,) = _apart()
    faint = Detections(
        np.concatenate([found.boxes, found.boxes[:1] + 500]),
        np.append(found.scores, np.float32(THRESHOLD + 1e-4)),
        np.append(found.class_ids, 0),
    )
    assert detection_loss([found], [faint]) < 1e-3


def test_nothing_found_by_either_is_no_loss() -> None:
    assert detection_loss([Detections.empty()], [Detections.empty()]) == 0
    assert detection_loss([], []) == 0


def test_other_numbers_of_images_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        detection_loss(_apart(), [])
