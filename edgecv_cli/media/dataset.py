"""Annotated images, whatever layout their labels come in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import FloatArray, IntArray
from edgecv_cli.core.errors import DataError
from edgecv_cli.media import coco_folder, voc, yolo_txt
from edgecv_cli.media.headers import Header
from edgecv_cli.media.images import digest_files, read_shape, unreadable
from edgecv_cli.media.labels import Annotated, Labels, Tally, fit_boxes
from edgecv_cli.media.layouts import Found, find_layouts

_READERS: dict[str, Callable[..., Annotated]] = {
    coco_folder.LAYOUT: coco_folder.read_coco_set,
    yolo_txt.LAYOUT: yolo_txt.read_yolo,
    voc.LAYOUT: voc.read_voc_set,
}


@dataclass(frozen=True)
class DatasetItem:
    """One image and the objects in it.

    Attributes:
        image_id: COCO's id of the image; the place by name, from 1, in other layouts.
        path: the image file.
        width, height: pixels, upright as the image is read.
        boxes: float32 [n, 4], x1, y1, x2, y2 in pixels; see :mod:`edgecv_cli.media.labels` for
            those that leave the image.
        category_ids: int64 [n], keys of the dataset's categories.
        iscrowd: bool [n]; a crowd box matches any number of detections.
        areas: float64 [n], square pixels, as annotated; of the box where nothing is.
    """

    image_id: int
    path: Path
    width: int
    height: int
    boxes: FloatArray
    category_ids: IntArray
    iscrowd: np.ndarray[tuple[int], np.dtype[np.bool_]]
    areas: NDArray[np.float64]


@dataclass(frozen=True)
class Dataset:
    """Images with boxes.

    Attributes:
        root: what was named.
        items: by ascending image id.
        categories: category id to name, by ascending id.
        source: the file or folder that the labels come from.
        layout: ``COCO``, ``YOLO txt`` or ``Pascal VOC``.
        numbered: whether the ids are the data's own; Pascal VOC has names only.
        notes: how the data was read and what was changed; for the user to see.
    """

    root: Path
    items: tuple[DatasetItem, ...]
    categories: dict[int, str]
    source: Path
    layout: str = coco_folder.LAYOUT
    numbered: bool = True
    notes: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Sha256 over categories, boxes, names and contents of the images in use.

        Whether the ids are the data's own counts too: classes are mapped by it.
        """
        truths = [
            [item.boxes.tolist(), item.category_ids.tolist(), item.iscrowd.tolist()]
            for item in self.items
        ]
        seed = json.dumps([self.categories, self.numbered, truths], sort_keys=True).encode()
        return digest_files([item.path for item in self.items], seed=seed)


def open_dataset(path: Path, *, limit: int | None = None) -> Dataset:
    """Open labelled images; the layout is told from what lies on disk.

    Args:
        path: a folder in COCO's layout (``images/`` and ``instances.json``), YOLO's (``images/``,
            ``labels/`` and a YAML of names) or Pascal VOC's (``JPEGImages/`` and
            ``Annotations/``); or straight the JSON, the YAML, or a list of images. Of several
            splits ``val`` is read, else ``test``, else ``train``.
        limit: at most this many images, those with the lowest ids; None takes all.

    Raises:
        DataError: no layout fits, labels are broken or inconsistent, images that they name are
            not there, can't be read or have another size than was annotated.
    """
    try:
        found, *others = find_layouts(path)
        annotated = _READERS[found.layout](found.source, limit=limit)
    except OSError as error:
        raise unreadable(path, error) from error
    tally = Tally()
    items = tuple(_item(labels, tally) for labels in annotated.images)
    return Dataset(
        root=path,
        items=items,
        categories=annotated.categories,
        source=annotated.source,
        layout=annotated.layout,
        numbered=annotated.numbered,
        notes=(*_choice(found, others), *annotated.notes, *tally.notes()),
    )


def _choice(found: Found, others: list[Found]) -> list[str]:
    return [
        f"{found.source} is read as {found.layout}; it could be {other.layout} as well "
        f"({_direct(other)})"
        for other in others
    ]


def _direct(other: Found) -> str:
    """Return the path that is read as this layout only."""
    if other.source.is_file():
        return str(other.source)
    inner = {yolo_txt.LAYOUT: "labels", voc.LAYOUT: "Annotations"}[other.layout]
    return str(other.source / inner)


def _item(labels: Labels, tally: Tally) -> DatasetItem:
    header = read_shape(labels.path)
    width, height = header.shown
    if labels.size is not None and labels.size != (width, height):
        raise _other_size(labels, labels.size, header)
    tally.unsized += labels.size is None and not labels.relative
    boxes, kept = fit_boxes(labels, (width, height), tally)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    if labels.areas is not None:
        areas = np.array(labels.areas, np.float64)[kept]
    return DatasetItem(
        image_id=labels.image_id,
        path=labels.path,
        width=width,
        height=height,
        boxes=boxes.astype(np.float32),
        category_ids=np.array(labels.category_ids, np.int64)[kept],
        iscrowd=np.array(labels.iscrowd, np.bool_)[kept],
        areas=areas.astype(np.float64),
    )


def _other_size(labels: Labels, size: tuple[int, int], header: Header) -> DataError:
    shown = " x ".join(map(str, header.shown))
    problem = f"{labels.path} is {shown} pixels, but its labels are for {size[0]} x {size[1]}"
    if size == (header.width, header.height):
        return DataError(
            f"{problem}: they ignore its EXIF orientation ({header.orientation})",
            remedy="take the orientation out of the EXIF data, or label the upright image",
        )
    return DataError(
        problem, remedy="put the image that was labelled there, or correct the annotations"
    )
