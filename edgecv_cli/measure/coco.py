"""The COCO matching and point figures, by pycocotools, kept silent."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections
from edgecv_cli.measure.resampling import ClassMatches

if TYPE_CHECKING:
    from edgecv_cli.media.dataset import Dataset

_ALL = "all"
_AREAS = {
    _ALL: [0.0, 1e10],
    "small": [0.0, 32.0**2],
    "medium": [32.0**2, 96.0**2],
    "large": [96.0**2, 1e10],
}
_MAX_DETECTIONS = 100

SIZES = ("small", "medium", "large")
"""COCO's sizes of objects, by their annotated area: up to 32 x 32, up to 96 x 96, above."""


@dataclass(frozen=True)
class AreaFigures:
    """What pycocotools found for objects of one range of areas.

    Attributes:
        precision: float64 [10 IoUs, 101 recalls, classes], -1 where a class has no object.
        recall: float64 [10 IoUs, classes], the highest that is reached; -1 likewise.
        matches: which detection is right, one entry a class.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    matches: tuple[ClassMatches, ...]


@dataclass(frozen=True)
class CocoFigures:
    """What pycocotools found.

    Attributes:
        every: over all sizes of object.
        categories: the category id of each class.
        sizes: for each of ``SIZES``, if they were asked for.
    """

    every: AreaFigures
    categories: tuple[int, ...]
    sizes: Mapping[str, AreaFigures] = field(default_factory=dict)

    @property
    def precision(self) -> NDArray[np.float64]:
        """Of all sizes of object."""
        return self.every.precision

    @property
    def matches(self) -> tuple[ClassMatches, ...]:
        """Of all sizes of object."""
        return self.every.matches


def coco_figures(
    dataset: Dataset,
    detections: Sequence[Detections],
    class_map: Mapping[int, int],
    *,
    sizes: bool = False,
) -> CocoFigures:
    """Match detections (source pixels, one entry an image) against a dataset's objects.

    Crowd boxes swallow what they cover, as in the COCO protocol; at most the 100 best
    detections of a class count in each image. Classes without a category are left out.
    ``sizes`` asks for small, medium and large objects as well.
    """
    areas = [_ALL, *SIZES] if sizes else [_ALL]
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's opinions of pycocotools' code
        run = _run(dataset, detections, class_map, areas)
    categories = tuple(int(key) for key in run.params.catIds)
    images = len(dataset.items)
    found = {
        name: _of_area(run, place, images, len(categories)) for place, name in enumerate(areas)
    }
    return CocoFigures(found.pop(_ALL), categories, found)


def _of_area(run: Any, place: int, images: int, classes: int) -> AreaFigures:
    """Take out one range of areas; ``evalImgs`` goes by class, then area, then image."""
    starts = [(k * len(run.params.areaRng) + place) * images for k in range(classes)]
    return AreaFigures(
        run.eval["precision"][:, :, :, place, 0],
        run.eval["recall"][:, :, place, 0],
        tuple(_class_matches(run.evalImgs[start : start + images]) for start in starts),
    )


def _run(
    dataset: Dataset,
    detections: Sequence[Detections],
    class_map: Mapping[int, int],
    areas: Sequence[str],
) -> Any:
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
    run.params.areaRng, run.params.areaRngLbl = [_AREAS[name] for name in areas], list(areas)
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
        boxes, areas = to_xywh(item.boxes), item.areas.tolist()
        for box, area, category, crowd in zip(
            boxes, areas, item.category_ids, item.iscrowd, strict=True
        ):
            row = _annotation(len(rows) + 1, image, int(category), box, int(crowd))
            rows.append({**row, "area": area})
    return rows


def _answers(
    detections: Sequence[Detections], class_map: Mapping[int, int]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for image, found in enumerate(detections, 1):
        boxes = to_xywh(found.boxes)
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


def to_xywh(boxes: NDArray[np.float32]) -> list[list[float]]:
    """Return boxes [n, 4] of x1, y1, x2, y2 as x, y, width, height in double precision."""
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
    score = np.concatenate(scores)
    order = np.argsort(-score, kind="mergesort")
    image = np.concatenate(images) if images else np.zeros(0, np.intp)
    right = np.concatenate(matched, axis=1)[:, order] > 0
    counted = ~np.concatenate(ignored, axis=1)[:, order].astype(bool)
    return ClassMatches(image[order], score[order], right & counted, counted, truths)
