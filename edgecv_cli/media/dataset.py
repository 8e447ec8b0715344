"""Annotated images: a folder with ``images/`` and ``instances.json`` (COCO)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from edgecv_cli.core.boxes import FloatArray, IntArray
from edgecv_cli.core.errors import DataError
from edgecv_cli.media.coco import CocoBox, CocoFile, CocoImage, read_coco
from edgecv_cli.media.images import digest_files, read_size

_COCO91 = 91  # category ids 1..90 with gaps, and the background as index 0


@dataclass(frozen=True)
class DatasetItem:
    """One image and the objects in it.

    Attributes:
        image_id: COCO's id of the image.
        path: the image file.
        width, height: pixels.
        boxes: float32 [n, 4], x1, y1, x2, y2 in pixels, as annotated (not clipped).
        category_ids: int64 [n], COCO category ids.
        iscrowd: bool [n]; a crowd box matches any number of detections.
        areas: float32 [n], square pixels, as annotated.
    """

    image_id: int
    path: Path
    width: int
    height: int
    boxes: FloatArray
    category_ids: IntArray
    iscrowd: np.ndarray[tuple[int], np.dtype[np.bool_]]
    areas: FloatArray


@dataclass(frozen=True)
class Dataset:
    """Images with boxes.

    Attributes:
        root: the folder that was named.
        items: by ascending image id.
        categories: category id to name, by ascending id.
        annotations_json: the COCO file; it may hold more images than ``items``.
    """

    root: Path
    items: tuple[DatasetItem, ...]
    categories: dict[int, str]
    annotations_json: Path

    @cached_property
    def digest(self) -> str:
        """Sha256 over the annotations and over names and contents of the images in use."""
        annotations = digest_files([self.annotations_json])
        return digest_files([item.path for item in self.items], seed=annotations.encode())


def open_dataset(path: Path, *, limit: int | None = None) -> Dataset:
    """Open a COCO folder.

    Args:
        path: holds ``images/`` and ``instances.json``.
        limit: at most this many images, those with the lowest ids; None takes all.

    Raises:
        DataError: a part is missing, the JSON is broken or inconsistent, or images that it
            names are not there.
    """
    annotations, folder = path / "instances.json", path / "images"
    if not path.is_dir() or not annotations.is_file() or not folder.is_dir():
        raise DataError(
            f"{path} is not a dataset: {_missing_part(path)}",
            remedy="name a folder that holds images/ and instances.json (COCO)",
        )
    coco = read_coco(annotations)
    chosen = sorted(coco.images, key=lambda image: image.image_id)[:limit]
    if not chosen:
        raise DataError(f"{annotations} lists no images", remedy="name a dataset with images")
    _refuse_missing(annotations, folder, chosen)
    return Dataset(path, _items(coco, chosen, folder), _by_id(coco.categories), annotations)


def _missing_part(path: Path) -> str:
    if not path.exists():
        return "it does not exist"
    if not path.is_dir():
        return "it is not a folder"
    return "it has no " + (
        "images folder" if (path / "instances.json").is_file() else "instances.json"
    )


def _refuse_missing(annotations: Path, folder: Path, images: Sequence[CocoImage]) -> None:
    missing = [image.file_name for image in images if not (folder / image.file_name).is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(images)} images that {annotations} names are not in "
            f"{folder}, the first is {missing[0]!r}",
            remedy="put the images there, or take their entries out of the JSON",
        )


def _items(coco: CocoFile, images: Sequence[CocoImage], folder: Path) -> tuple[DatasetItem, ...]:
    by_image: dict[int, list[CocoBox]] = defaultdict(list)
    for box in coco.boxes:
        by_image[box.image_id].append(box)
    return tuple(_item(image, by_image[image.image_id], folder) for image in images)


def _item(image: CocoImage, boxes: Sequence[CocoBox], folder: Path) -> DatasetItem:
    path = folder / image.file_name
    width, height = image.width, image.height
    if not (width and height):
        width, height = read_size(path)
    corners = np.array([box.box for box in boxes], np.float64).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    return DatasetItem(
        image_id=image.image_id,
        path=path,
        width=width,
        height=height,
        boxes=corners.astype(np.float32),
        category_ids=np.array([box.category_id for box in boxes], np.int64),
        iscrowd=np.array([box.iscrowd for box in boxes], np.bool_),
        areas=np.array([box.area for box in boxes], np.float32),
    )


def _by_id(categories: dict[int, str]) -> dict[int, str]:
    return dict(sorted(categories.items()))


def map_classes(
    class_names: Sequence[str], dataset: Dataset, *, background: int | None = None
) -> dict[int, int]:
    """Return the model's class index -> category id; ``background`` is no object's class.

    By name where every category, or every class, finds its partner (case and punctuation do
    not count); else, for a model of 91 classes, the index is the category id; else by count
    in the order of the ids.

    Raises:
        DataError: none of the three fits, naming what did not match.
    """
    categories = _by_id(dataset.categories)
    named = _by_name(class_names, categories)
    if named and len(named) in (len(categories), len(class_names)):
        return named
    if len(class_names) == _COCO91 and all(0 < key < _COCO91 for key in categories):
        return {key: key for key in categories}
    objects = [index for index in range(len(class_names)) if index != background]
    if len(objects) == len(categories):
        return dict(zip(objects, categories, strict=True))
    strangers = [name for key, name in categories.items() if key not in named.values()]
    raise DataError(
        f"the model's {len(class_names)} classes do not fit the {len(categories)} categories of "
        f"{dataset.annotations_json}: no class is called {', '.join(map(repr, strangers[:3]))}",
        remedy="give the model's classes with --spec, named as in the dataset's categories",
    )


def _by_name(class_names: Sequence[str], categories: dict[int, str]) -> dict[int, int]:
    """Pair equal names; a name that stands twice on either side pairs nothing."""
    ids: dict[str, list[int]] = defaultdict(list)
    classes: dict[str, list[int]] = defaultdict(list)
    for category_id, name in categories.items():
        ids[_plain(name)].append(category_id)
    for class_id, name in enumerate(class_names):
        classes[_plain(name)].append(class_id)
    return {
        found[0]: ids[name][0]
        for name, found in classes.items()
        if len(found) == 1 and len(ids.get(name, ())) == 1
    }


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name.casefold()).strip()
