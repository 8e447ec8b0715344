"""Accuracy by size of object, against plain pycocotools on the same annotations."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest
from detection_sets import dataset, detections, random_set

from edgecv_cli.measure.coco import SIZES
from edgecv_cli.measure.detailed_accuracy import detailed_accuracy, objects_by_size

CLASS_MAP = {0: 1, 1: 2, 2: 3}


def with_areas(data, seed):
    """Give objects areas that are not their boxes', as outlines have; some on a limit."""
    rng = np.random.default_rng(seed)
    drawn = (
        rng.choice([20.0, 500.5, 1024.0, 5000.25, 9216.0, 2e4], len(i.boxes)) for i in data.items
    )
    items = zip(data.items, drawn, strict=True)
    return replace(data, items=tuple(replace(item, areas=areas) for item, areas in items))


def plain_pycocotools(data, found):
    """Return the twelve figures that pycocotools prints."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": item.image_id} for item in data.items],
        "categories": [{"id": key, "name": name} for key, name in data.categories.items()],
        "annotations": [
            {
                "id": 1000 * item.image_id + place,
                "image_id": item.image_id,
                "category_id": int(item.category_ids[place]),
                "bbox": xywh(item.boxes[place]),
                "area": float(item.areas[place]),
                "iscrowd": int(item.iscrowd[place]),
            }
            for item in data.items
            for place in range(len(item.boxes))
        ],
    }
    rows = [
        {
            "image_id": item.image_id,
            "category_id": CLASS_MAP[kind],
            "bbox": xywh(np.array(box, np.float64)),
            "score": score,
        }
        for item, image in zip(data.items, found, strict=True)
        for *box, score, kind in image
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(rows), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats


def xywh(box):
    x1, y1, x2, y2 = (float(value) for value in box)
    return [x1, y1, x2 - x1, y2 - y1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("seed", range(4))
def test_every_figure_is_that_of_pycocotools(seed):
    data, found = random_set(seed, images=20)
    data = with_areas(data, seed)
    stats = plain_pycocotools(data, found)

    result = detailed_accuracy(data, found, CLASS_MAP)

    whole = result.accuracy
    ours = [whole.map, whole.map50, whole.map75, *(result.sizes[name].map for name in SIZES)]
    assert ours == pytest.approx(stats[:6].tolist(), abs=1e-12)
    assert result.ar100 == pytest.approx(stats[8], abs=1e-12)


def test_objects_are_counted_by_their_annotated_area():
    data, found = random_set(1, images=20)
    data = with_areas(data, 1)

    counted = objects_by_size(data)

    sizes = detailed_accuracy(data, found, CLASS_MAP).sizes
    assert {name: size.objects for name, size in sizes.items()} == counted
    assert min(counted.values()) > 0


def test_a_size_without_objects_is_absent():
    data = dataset([[(0, 0, 20, 20)], [(5, 5, 25, 25)]], [[1], [1]])
    found = [detections([(0, 0, 20, 20, 0.9, 0)])] * 2

    result = detailed_accuracy(data, found, CLASS_MAP)

    assert result.sizes.keys() == {"small"}
    assert result.sizes["small"].objects == 2
    assert objects_by_size(data) == {"small": 2, "medium": 0, "large": 0}


def test_every_figure_has_an_interval_that_holds_it():
    data, found = random_set(3, images=30)

    result = detailed_accuracy(data, found, CLASS_MAP)

    whole = result.accuracy
    figures = {"map": whole.map, "map50": whole.map50, "map75": whole.map75}
    figures |= {f"map_{name}": size.map for name, size in result.sizes.items()}
    intervals = result.intervals()
    assert intervals.keys() == figures.keys()
    for name, value in figures.items():
        assert intervals[name].low <= value <= intervals[name].high


def test_curves_have_ap_as_their_mean():
    data, found = random_set(4, images=20)

    result = detailed_accuracy(data, found, CLASS_MAP)

    curves = result.curves
    for curve, value in (
        (curves.mean, result.accuracy.map),
        (curves.iou50, result.accuracy.map50),
        (curves.iou75, result.accuracy.map75),
        *((curve, result.per_class50[name]) for name, curve in curves.by_class.items()),
    ):
        assert len(curve) == 101
        assert sum(curve) / 101 == pytest.approx(value, abs=1e-4)
    objects = result.accuracy.objects
    assert list(curves.by_class) == sorted(objects, key=lambda name: -objects[name])


def test_classes_without_objects_draw_no_curve():
    data = dataset([[(0, 0, 50, 50)]], [[1]], names={1: "cat", 2: "dog"})

    result = detailed_accuracy(data, [detections([(0, 0, 50, 50, 0.9, 0)])], CLASS_MAP)

    assert list(result.curves.by_class) == ["cat"]
    assert result.per_class50 == {"cat": pytest.approx(1)}
    assert result.intervals() == {}
