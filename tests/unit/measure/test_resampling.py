"""mAP of weighted image sets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from detection_sets import dataset, detections, random_set

from edgecv_cli.measure.coco import coco_figures
from edgecv_cli.measure.resampling import mean_average_precision, multiplicities

CLASS_MAP = {0: 1, 1: 2, 2: 3}


def pycocotools_map(data, found):
    precision = coco_figures(data, found, CLASS_MAP).precision
    return precision[precision > -1].mean()


@pytest.mark.parametrize("seed", range(5))
def test_unit_weights_give_what_pycocotools_accumulates(seed):
    data, found = random_set(seed, images=25)
    figures = coco_figures(data, found, CLASS_MAP)

    value = mean_average_precision(figures.matches, np.ones((1, 25)))[0]

    assert value == pytest.approx(pycocotools_map(data, found), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_weights_are_images_that_stand_in_the_set_several_times(seed):
    data, found = random_set(seed, images=15)
    weights = multiplicities(15, resamples=4, seed=seed)
    values = mean_average_precision(coco_figures(data, found, CLASS_MAP).matches, weights)

    for row, value in zip(weights.astype(int), values, strict=True):
        drawn = [index for index, times in enumerate(row) for _ in range(times)]
        copied = replace(data, items=tuple(data.items[index] for index in drawn))
        assert value == pytest.approx(
            pycocotools_map(copied, [found[index] for index in drawn]), abs=1e-9
        )


def test_every_resample_draws_as_many_images_as_there_are():
    weights = multiplicities(30, resamples=50, seed=3)

    assert (weights.sum(axis=1) == 30).all()
    assert weights.std() > 0.5
    assert np.array_equal(weights, multiplicities(30, resamples=50, seed=3))


def test_a_set_without_objects_has_no_map():
    data = dataset([[(0, 0, 10, 10)], []], [[1], []])
    found = [detections([(0, 0, 10, 10, 0.9, 0)]), detections([(0, 0, 5, 5, 0.9, 0)])]
    matches = coco_figures(data, found, CLASS_MAP).matches

    values = mean_average_precision(matches, np.array([[0.0, 2.0], [1.0, 1.0]]))

    assert np.isnan(values[0])
    assert values[1] == pytest.approx(1.0)
