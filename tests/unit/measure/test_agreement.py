"""Agreement between two artifacts."""

from __future__ import annotations

import pytest
from detection_sets import detections, random_set

from edgecv_cli.core.boxes import Detections
from edgecv_cli.measure.agreement import agreement

BOX = (10, 10, 60, 60)
FAR = (200, 200, 260, 260)


def test_an_artifact_agrees_with_itself():
    _, found = random_set(0)

    result = agreement(found, found, 0.25)

    assert result.agreement == 1
    assert (result.missed, result.extra) == (0, 0)
    assert result.mean_iou == pytest.approx(1)
    assert result.images == len(found)


def test_nothing_on_either_side_is_not_a_measurement():
    result = agreement([Detections.empty()], [Detections.empty()], 0.25)

    assert result.agreement is None
    assert result.mean_iou is None


def test_missed_and_extra_detections_weigh_alike():
    both = (*BOX, 0.9, 0)
    one = [detections([both, (*FAR, 0.9, 0)])]
    other = [detections([both])]

    assert agreement(one, other, 0.25).agreement == pytest.approx(2 / 3)
    assert agreement(other, one, 0.25).agreement == pytest.approx(2 / 3)


def test_another_class_is_no_partner():
    result = agreement([detections([(*BOX, 0.9, 0)])], [detections([(*BOX, 0.9, 1)])], 0.25)

    assert (result.matched, result.missed, result.extra) == (0, 1, 1)


@pytest.mark.parametrize(("score", "extra"), [(0.3, 0), (0.25, 0), (0.31, 1), (0.2, 0)])
def test_a_lonely_detection_near_the_threshold_counts_for_neither(score, extra):
    both = (*BOX, 0.9, 0)
    lonely = detections([both, (*FAR, score, 0)])

    assert agreement([detections([both])], [lonely], 0.25).extra == extra
    assert agreement([lonely], [detections([both])], 0.25).missed == extra


def test_a_detection_near_the_threshold_that_finds_its_partner_counts():
    result = agreement([detections([(*BOX, 0.26, 0)])], [detections([(*BOX, 0.27, 0)])], 0.25)

    assert (result.matched, result.agreement) == (1, 1)


def test_the_better_scored_detection_chooses_first():
    truth = [detections([(0, 0, 100, 100, 0.9, 0)])]
    loose, tight = (0, 0, 100, 60, 0.8, 0), (0, 0, 100, 95, 0.5, 0)

    result = agreement(truth, [detections([tight, loose])], 0.25)

    assert (result.matched, result.extra) == (1, 1)
    assert result.mean_iou == pytest.approx(0.6)


def test_one_detection_has_one_partner():
    truth = [detections([(*BOX, 0.9, 0)])]

    result = agreement(truth, [detections([(*BOX, 0.9, 0), (*BOX, 0.8, 0)])], 0.25)

    assert (result.matched, result.extra) == (1, 1)


def test_both_sides_must_cover_the_same_images():
    with pytest.raises(ValueError, match="shorter"):
        agreement([Detections.empty()], [], 0.25)
