"""What is taken for what, and precision and recall at a threshold."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from detection_sets import dataset, detections, random_set

from edgecv_cli.core.boxes import Detections
from edgecv_cli.measure.coco import coco_figures
from edgecv_cli.measure.confusion import confusions, pair_objects
from edgecv_cli.measure.detection_quality import operating_point

CLASS_MAP = {0: 1, 1: 2, 2: 3}
NAMES = {1: "cat", 2: "dog", 3: "owl"}
BOX, NEAR, FAR = (10, 10, 60, 60), (12, 10, 62, 60), (200, 200, 260, 260)


def cells(boxes, kinds, found, threshold=0.25, crowd=None):
    data = dataset([boxes], [kinds], crowd=crowd, names=NAMES)
    pairs = pair_objects(data, [detections(found)], CLASS_MAP)
    return {(c.truth, c.found): c.count for c in confusions(pairs, threshold, NAMES)}


def test_an_object_is_itself_another_missed_or_not_there():
    boxes, kinds = [BOX, FAR, (300, 10, 340, 50)], [1, 2, 3]
    found = [(*BOX, 0.9, 0), (*FAR, 0.8, 2), (400, 400, 450, 450, 0.7, 1)]

    assert cells(boxes, kinds, found) == {
        ("cat", "cat"): 1,
        ("dog", "owl"): 1,
        ("owl", None): 1,
        (None, "dog"): 1,
    }


def test_what_is_also_found_as_itself_is_not_confused():
    # The wrong class has the higher score, and lies better.
    found = [(*BOX, 0.9, 1), (*NEAR, 0.6, 0)]

    assert cells([BOX], [1], found) == {("cat", "cat"): 1, (None, "dog"): 1}


def test_only_detections_from_the_threshold_on_count():
    found = [(*BOX, 0.9, 1), (*NEAR, 0.3, 0)]

    assert cells([BOX], [1], found, threshold=0.5) == {("cat", "dog"): 1}
    assert cells([BOX], [1], found, threshold=0.3) == {("cat", "cat"): 1, (None, "dog"): 1}


def test_an_object_is_taken_once_by_the_best_score():
    found = [(*NEAR, 0.5, 0), (*BOX, 0.9, 0)]

    assert cells([BOX], [1], found) == {("cat", "cat"): 1, (None, "cat"): 1}


def test_half_of_a_box_is_no_find():
    assert cells([BOX], [1], [(35, 10, 85, 60, 0.9, 0)]) == {("cat", None): 1, (None, "cat"): 1}


def test_a_crowd_swallows_its_class_and_is_never_missed():
    inside = (10, 10, 30, 30)
    found = [(*inside, 0.9, 0), (*inside, 0.8, 0), (*inside, 0.7, 1)]

    assert cells([BOX], [1], found, crowd=[[1]]) == {(None, "dog"): 1}


def test_classes_that_the_data_does_not_have_count_nowhere():
    assert cells([BOX], [1], [(*BOX, 0.9, 7)]) == {("cat", None): 1}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("threshold", [0.05, 0.45])
def test_right_wrong_and_missed_are_those_of_pycocotools(seed, threshold):
    data, found = random_set(seed)
    pairs = pair_objects(data, found, CLASS_MAP)
    above = [image.take(image.scores >= threshold) for image in found]
    figures = coco_figures(data, above, CLASS_MAP)

    told = confusions(pairs, threshold, data.categories)

    for key, match in zip(figures.categories, figures.matches, strict=True):
        name = data.categories[key]
        right = sum(c.count for c in told if c.truth == c.found == name)
        assert right == match.right[0].sum()
        assert sum(c.count for c in told if c.found == name) == match.counted[0].sum()
        assert sum(c.count for c in told if c.truth == name) == match.truths.sum()
    point = operating_point(pairs, threshold)
    hits = sum(c.count for c in told if c.truth == c.found)
    assert point.recall == pytest.approx(hits / sum(c.count for c in told if c.truth))
    assert point.precision == pytest.approx(hits / sum(c.count for c in told if c.found))


@pytest.mark.parametrize("seed", range(3))
def test_the_best_threshold_is_the_best_of_all_that_differ(seed):
    data, found = random_set(seed)
    pairs = pair_objects(data, found, CLASS_MAP)
    tried = {
        score: operating_point(pairs, score).f1
        for score in {float(s) for image in found for s in image.scores}
    }

    point = operating_point(pairs, 0.5)

    assert point.best_f1 == pytest.approx(max(tried.values()))
    assert tried[point.best_threshold] == pytest.approx(point.best_f1)


def test_the_curves_stand_at_hundredths_of_the_score():
    data, found = random_set(7)
    pairs = pair_objects(data, found, CLASS_MAP)

    point = operating_point(pairs, 0.5)

    for place, (precision, recall) in enumerate(
        zip(point.precisions, point.recalls, strict=True), start=1
    ):
        at = operating_point(pairs, place / 100)
        assert (at.precision, at.recall) == pytest.approx((precision, recall), abs=1e-5)
    assert len(point.precisions) == round(100 * max(s for i in found for s in i.scores))


def test_where_nothing_is_found_there_is_no_precision():
    pairs = pair_objects(dataset([[BOX]], [[1]]), [Detections.empty()], CLASS_MAP)

    point = operating_point(pairs, 0.3)

    assert (point.precision, point.recall, point.f1) == (None, 0, 0)
    assert (point.best_threshold, point.precisions, point.recalls) == (None, (), ())


def test_without_objects_there_is_no_recall():
    pairs = pair_objects(dataset([[]], [[]], names=NAMES), [detections([(*BOX, 1, 0)])], CLASS_MAP)

    with pytest.raises(ValueError, match="no object"):
        operating_point(pairs, 0.3)


def test_the_most_frequent_come_first():
    data, found = random_set(8, images=30)

    told = confusions(pair_objects(data, found, CLASS_MAP), 0.1, data.categories)

    counts = [one.count for one in told]
    assert counts == sorted(counts, reverse=True)
    assert len(Counter((one.truth, one.found) for one in told)) == len(told)
    assert np.all(np.array(counts) > 0)
