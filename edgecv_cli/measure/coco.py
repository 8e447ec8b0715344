"""The COCO matching and point figures, by pycocotools, kept silent."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections
from edgecv_cli.measure.resampling import ClassMatches

if TYPE_CHECKING:
    from edgecv_cli.media.dataset import Dataset

_EVERY_AREA = [0.0, 1e10]
_MAX_DETECTIONS = 100


@dataclass(frozen=True)
class CocoFigures:
    """What pycocotools found, over all sizes of object.

    Attributes:
        precision: float64 [10 IoUs, 101 recalls, classes], -1 where a class has no object.
        categories: the category id of each class.
        matches: which detection is right, one entry a class.
    """

    precision: NDArray[np.float64]
    categories: tuple[int, ...]
    matches: tuple[ClassMatches, ...]


def coco_figures(
    dataset: Dataset, detections: Sequence[Detections], class_map: Mapping[int, int]
) -> CocoFigures:
    """Match detections (source pixels, one entry an image) against a dataset's objects.

    Crowd boxes swallow what they cover, as in the COCO protocol; at most the 100 best
    detections of a class count in each image. Classes without a category are left out.
    """
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's opinions of pycocotools' code
        run = _run(dataset, detections, class_map)
    images, categories = len(dataset.items), tuple(int(key) for key in run.params.catIds)
    cells = run.evalImgs
    matches = tuple(
        _class_matches(cells[k * images : (k + 1) * images]) for k in range(len(categories))
    )
    return CocoFigures(run.eval["precision"][:, :, :, 0, 0], categories, matches)


def _run(dataset: Dataset, detections: Sequence[Detections], class_map: Mapping[int, int]) -> Any:
    from pycocotools.cocoeval import COCOeval

    frame = {
        # Images are numbered by position: a set may name one file twice.
        "images": [{"id": index} for index in range(1, len(dataset.items) + 1)],
        "categories": [{"id": key, "name": name} for key, name in dataset.categories.items()],
    }
    run = COCOeval(
        _index({**frame, "annotations": _truths(dataset)}),
        _index({**frame, "annotations": _answers(detections, class_map)}),
        "bbox",
    )
    run.params.areaRng, run.params.areaRngLbl = [_EVERY_AREA], ["all"]
    run.params.maxDets = [_MAX_DETECTIONS]
    run.evaluate()
    run.accumulate()
    return run


def _index(dataset: dict[str, Any]) -> Any:
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


def _truths(dataset: Dataset) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for image, item in enumerate(dataset.items, 1):
        boxes = _to_xywh(item.boxes)
        for box, category, crowd in zip(boxes, item.category_ids, item.iscrowd, strict=True):
            rows.append(_annotation(len(rows) + 1, image, int(category), box, int(crowd)))
    return rows


def _answers(
    detections: Sequence[Detections], class_map: Mapping[int, int]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for image, found in enumerate(detections, 1):
        boxes = _to_xywh(found.boxes)
        for box, class_id, score in zip(
            boxes, found.class_ids.tolist(), found.scores.tolist(), strict=True
        ):
            if class_id in class_map:
                row = _annotation(len(rows) + 1, image, class_map[class_id], box, 0)
                rows.append({**row, "score": score})
    return rows


def _annotation(
    number: int, image: int, category: int, box: list[float], crowd: int
) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": crowd,
    }


def _to_xywh(boxes: NDArray[np.float32]) -> list[list[float]]:
    wide = boxes.astype(np.float64)
    rows: list[list[float]] = np.hstack([wide[:, :2], wide[:, 2:] - wide[:, :2]]).tolist()
    return rows


def _class_matches(cells: Sequence[dict[str, Any] | None]) -> ClassMatches:
    """Join one class's per-image matches in the order of pycocotools' own accumulation."""
    truths = np.zeros(len(cells), np.int64)
    images: list[NDArray[np.intp]] = []
    scores, matched, ignored = [np.zeros(0)], [np.zeros((10, 0))], [np.zeros((10, 0), bool)]
    for position, cell in enumerate(cells):
        if cell is None:
            continue
        truths[position] = np.count_nonzero(np.asarray(cell["gtIgnore"]) == 0)
        images.append(np.full(len(cell["dtScores"]), position, np.intp))
        scores.append(np.asarray(cell["dtScores"], np.float64))
        matched.append(cell["dtMatches"])
        ignored.append(cell["dtIgnore"])
    order = np.argsort(-np.concatenate(scores), kind="mergesort")
    image = np.concatenate(images) if images else np.zeros(0, np.intp)
    right = np.concatenate(matched, axis=1)[:, order] > 0
    counted = ~np.concatenate(ignored, axis=1)[:, order].astype(bool)
    return ClassMatches(image[order], right & counted, counted, truths)
