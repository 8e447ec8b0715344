"""Datasets in COCO's layout: one JSON of annotations, and its images in a folder nearby."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.coco import CocoBox, CocoImage, read_coco
from edgecv_cli.media.labels import Annotated, Labels, refuse_missing
from edgecv_cli.media.text import is_there

LAYOUT = "COCO"


def read_coco_set(source: Path, *, limit: int | None = None) -> Annotated:
    """Read a dataset in COCO's layout.

    Args:
        source: the JSON.
        limit: at most this many images, those with the lowest ids; None takes all.

    Raises:
        DataError: the JSON is broken or inconsistent, or images that it names are not there.
    """
    coco = read_coco(source)
    chosen = sorted(coco.images, key=lambda image: image.image_id)[:limit]
    if not chosen:
        raise DataError(f"{source} lists no images", remedy="name a dataset with images")
    folder = images_of(source, chosen)
    by_image: dict[int, list[CocoBox]] = defaultdict(list)
    for box in coco.boxes:
        by_image[box.image_id].append(box)
    labels = [_labels(image, by_image[image.image_id], folder) for image in chosen]
    return Annotated(LAYOUT, source, labels, dict(sorted(coco.categories.items())))


def images_of(source: Path, images: Sequence[CocoImage]) -> Path:
    """Return the folder that holds the images a JSON names.

    That is ``images/`` beside the JSON or above it, the folder itself, or one called as the
    split: ``annotations/instances_val2017.json`` goes with ``val2017/``.

    Raises:
        DataError: no folder holds them all, with the one that holds most.
    """
    folders = [folder for folder in _candidates(source) if folder.is_dir()]
    absent = {folder: _absent(folder, images) for folder in folders}
    best = min(folders, key=lambda folder: len(absent[folder]))
    if absent[best]:
        refuse_missing(source, absent[best], len(images), str(best))
    return best


def _candidates(source: Path) -> list[Path]:
    folder = source.parent
    split = source.stem.removeprefix("instances_")
    above = [folder.parent] if folder.name == "annotations" else []
    near = [folder, *above]
    return [
        *(place / "images" for place in near),
        *near,
        *(place / middle / split for place in near for middle in ("", "images")),
    ]


def _absent(folder: Path, images: Sequence[CocoImage]) -> list[str]:
    return [image.file_name for image in images if not is_there(folder / image.file_name)]


def _labels(image: CocoImage, boxes: Sequence[CocoBox], folder: Path) -> Labels:
    corners = np.array([box.box for box in boxes], np.float64).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    return Labels(
        image_id=image.image_id,
        path=folder / image.file_name,
        size=(image.width, image.height) if image.width and image.height else None,
        boxes=corners,
        category_ids=[box.category_id for box in boxes],
        iscrowd=[box.iscrowd for box in boxes],
        areas=[box.area for box in boxes],
    )
