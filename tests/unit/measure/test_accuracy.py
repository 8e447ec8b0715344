"""COCO accuracy, its interval and paired drops."""

from __future__ import annotations

import numpy as np
import pytest
from detection_sets import dataset, detections, random_set

from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.errors import DataError
from edgecv_cli.measure.accuracy import evaluate_detections, paired_drop

CLASS_MAP = {0: 1, 1: 2, 2: 3}
BOX = (10, 10, 60, 60)


def test_perfect_detections_score_one():
    data = dataset([[BOX], [BOX]], [[1], [2]])
    found = [detections([(*BOX, 0.9, 0)]), detections([(*BOX, 0.8, 1)])]

    result = evaluate_detections(data, found, CLASS_MAP)

    assert (result.map, result.map50, result.map75) == pytest.approx((1, 1, 1))
    assert result.per_class == pytest.approx({"class-1": 1, "class-2": 1})
    assert result.images == 2
    assert result.interval.low == pytest.approx(1)


def test_looser_boxes_count_up_to_their_overlap():
    data = dataset([[(0, 0, 100, 100)]], [[1]])
    found = [detections([(0, 0, 100, 62, 0.9, 0)])]  # IoU 0.62: right at 0.50, 0.55, 0.60

    result = evaluate_detections(data, found, CLASS_MAP)

    assert result.map == pytest.approx(0.3)
    assert (result.map50, result.map75) == pytest.approx((1, 0))


def test_categories_without_an_object_are_absent_from_per_class():
    data = dataset([[BOX]], [[1]], names={1: "cat", 2: "dog"})

    result = evaluate_detections(data, [detections([(*BOX, 0.9, 1)])], CLASS_MAP)

    assert result.per_class == {"cat": 0.0}
    assert result.objects.keys() == {"cat"}


def test_nothing_found_scores_zero():
    data = dataset([[BOX]], [[1]])

    assert evaluate_detections(data, [Detections.empty()], CLASS_MAP).map == 0


def test_detections_on_a_crowd_do_not_count():
    data = dataset([[BOX, (100, 100, 200, 200)]], [[1, 1]], crowd=[[0, 1]])
    good = (*BOX, 0.5, 0)
    on_crowd = [(100, 100, 150, 150, 0.9, 0), (150, 150, 200, 200, 0.8, 0)]

    assert evaluate_detections(
        data, [detections([good, *on_crowd])], CLASS_MAP
    ).map == pytest.approx(1)


def test_classes_without_a_category_are_dropped_and_counted():
    data = dataset([[BOX]], [[1]])
    found = [detections([(*BOX, 0.9, 7), (*BOX, 0.8, 0), (*BOX, 0.7, 8)])]

    result = evaluate_detections(data, found, {0: 1})

    assert result.map == pytest.approx(1)
    assert result.unmapped == 2


def test_images_without_objects_are_no_basis():
    with pytest.raises(DataError, match="labelled object"):
        evaluate_detections(dataset([[]], [[]], names={1: "cat"}), [Detections.empty()], CLASS_MAP)


def test_detections_must_cover_the_images():
    with pytest.raises(ValueError, match="1 detections for 2 images"):
        evaluate_detections(dataset([[BOX], []], [[1], []]), [Detections.empty()], CLASS_MAP)


def test_a_single_image_has_no_interval():
    result = evaluate_detections(dataset([[BOX]], [[1]]), [Detections.empty()], CLASS_MAP)

    assert result.interval is None


def test_no_resamples_are_no_interval():
    data, found = random_set(1)

    result = evaluate_detections(data, found, CLASS_MAP, resamples=0)

    assert result.interval is None
    assert paired_drop(result, result).relative is None


def test_the_interval_holds_the_point_and_depends_on_the_seed_alone():
    data, found = random_set(1, images=40)
    first, again, other = (
        evaluate_detections(data, found, CLASS_MAP, seed=seed) for seed in (5, 5, 6)
    )

    assert first.interval == again.interval
    assert first.interval != other.interval
    assert 0 < first.interval.low < first.map < first.interval.high < 1
    assert first.interval.resamples == 1000


def test_pycocotools_stays_silent(capfd):
    data, found = random_set(2)

    evaluate_detections(data, found, CLASS_MAP, resamples=2)

    assert capfd.readouterr() == ("", "")


def test_the_same_detections_have_no_drop():
    data, found = random_set(3)
    result = evaluate_detections(data, found, CLASS_MAP)

    drop = paired_drop(result, result)

    assert (drop.drop.points, drop.drop.relative) == (0, 0)
    assert (drop.points.low, drop.points.high) == (0, 0)


def test_a_drop_is_the_difference_of_maps_with_an_interval_narrower_than_theirs():
    data, found = random_set(4, images=60)
    worse = [image.take(np.arange(len(image)) % 5 > 0) for image in found]
    baseline = evaluate_detections(data, found, CLASS_MAP)
    candidate = evaluate_detections(data, worse, CLASS_MAP)

    paired = paired_drop(baseline, candidate)

    lost = baseline.map - candidate.map
    assert lost > 0
    assert paired.drop.points == pytest.approx(100 * lost)
    assert paired.drop.relative == pytest.approx(lost / baseline.map)
    assert paired.points.low < paired.drop.points < paired.points.high
    assert paired.relative.low < paired.drop.relative < paired.relative.high
    alone = baseline.interval.high - baseline.interval.low
    assert paired.points.high - paired.points.low < 100 * alone


def test_drops_need_the_same_images_and_seed():
    data, found = random_set(5)
    other, others = random_set(6)
    baseline = evaluate_detections(data, found, CLASS_MAP)

    for stranger in (
        evaluate_detections(other, others, CLASS_MAP),
        evaluate_detections(data, found, CLASS_MAP, seed=1),
    ):
        with pytest.raises(ValueError, match="not paired"):
            paired_drop(baseline, stranger)


def test_nothing_can_be_lost_by_a_baseline_that_finds_nothing():
    data = dataset([[BOX]], [[1]])
    blind = evaluate_detections(data, [Detections.empty()], CLASS_MAP)

    with pytest.raises(DataError, match="finds nothing"):
        paired_drop(blind, blind)


def test_a_drop_on_a_single_image_has_no_interval():
    result = evaluate_detections(dataset([[BOX]], [[1]]), [detections([(*BOX, 0.9, 0)])], CLASS_MAP)

    assert paired_drop(result, result).points is None


def test_an_interval_of_map_stays_within_zero_and_one():
    spot = [[BOX]] * 5
    found = [detections([(*BOX, 0.9, 0)])] * 4 + [Detections.empty()]

    interval = evaluate_detections(dataset(spot, [[1]] * 5), found, CLASS_MAP).interval

    assert 0 <= interval.low < interval.high <= 1
