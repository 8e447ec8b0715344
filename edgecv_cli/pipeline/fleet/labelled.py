"""Labelled images as files for devices: only the pictures in use, and one list in COCO's layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgecv_cli.core.errors import DataError
from edgecv_cli.core.files import writing
from edgecv_cli.measure.coco import to_xywh
from edgecv_cli.media.dataset import Dataset, DatasetItem
from edgecv_cli.pipeline.fleet.job import MAX_FILES


def labelled_files(dataset: Dataset, scratch: Path) -> list[tuple[str, Path]]:
    """Return names and places of a dataset's files, the list of labels first.

    Whatever layout the labels came in, a device reads the same boxes, areas, crowds and
    categories. The list is written into ``scratch``.

    Raises:
        DataError: the categories have no ids of their own (Pascal VOC), by which classes could
            be mapped otherwise there than here; or there are too many images.
    """
    if not dataset.numbered:
        raise DataError(
            f"'{dataset.root}' is {dataset.layout}, whose categories have no numbers, and devices "
            "are sent labels in COCO's layout",
            remedy="convert the labels to COCO's instances.json, or leave --data out",
        )
    if len(dataset.items) >= MAX_FILES:
        raise DataError(
            f"{len(dataset.items)} images are more than devices are sent ({MAX_FILES - 1})",
            remedy=f"take fewer: --limit {min(1000, MAX_FILES - 1)}",
        )
    names = [f"images/{place:06}{item.path.suffix}" for place, item in enumerate(dataset.items)]
    target = scratch / "instances.json"
    with writing(target):
        target.write_text(json.dumps(_listed(dataset, names)), encoding="utf-8")
    pictures = [(name, item.path) for name, item in zip(names, dataset.items, strict=True)]
    return [(target.name, target), *pictures]


def _listed(dataset: Dataset, names: list[str]) -> dict[str, Any]:
    images = [
        {
            "id": item.image_id,
            "file_name": name.removeprefix("images/"),
            "width": item.width,
            "height": item.height,
        }
        for name, item in zip(names, dataset.items, strict=True)
    ]
    rows = [row for item in dataset.items for row in _rows(item)]
    return {
        "images": images,
        "categories": [{"id": key, "name": name} for key, name in dataset.categories.items()],
        "annotations": [{"id": place, **row} for place, row in enumerate(rows, 1)],
    }


def _rows(item: DatasetItem) -> list[dict[str, Any]]:
    return [
        {
            "image_id": item.image_id,
            "category_id": int(category),
            "bbox": box,
            "area": float(area),
            "iscrowd": int(crowd),
        }
        for box, category, area, crowd in zip(
            to_xywh(item.boxes), item.category_ids, item.areas, item.iscrowd, strict=True
        )
    ]
