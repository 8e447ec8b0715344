"""Datasets in YOLO's layout: a text file of boxes for each image, and a YAML of class names.

Format: https://docs.ultralytics.com/datasets/detect/.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.labels import Annotated, Labels
from edgecv_cli.media.listing import images_below
from edgecv_cli.media.yolo_config import (
    NAMES_FILES,
    SPLITS,
    is_config,
    read_config,
    read_names,
)
from edgecv_cli.media.yolo_images import (
    SPLIT_FOLDERS,
    check_labels,
    listed_images,
)
from edgecv_cli.media.yolo_rows import Rows, read_rows

LAYOUT = "YOLO txt"
_CONFIGS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")


class YoloImages(NamedTuple):
    """The images of one split.

    ``source`` names them in messages, ``whole`` says that they are all their folders hold, and
    ``root`` is where the names of the classes are looked for.
    """

    paths: list[Path]
    source: Path
    whole: bool
    root: Path
    split: str = ""


def find_config(folder: Path) -> Path | None:
    """Return the YAML in a folder that describes a dataset: data.yaml, or the only one."""
    for name in _CONFIGS:
        if (folder / name).is_file():
            return folder / name
    others = [path for path in sorted(folder.glob("*.y*ml")) if is_config(path)]
    return others[0] if len(others) == 1 else None


def yolo_images(source: Path, *, prefer: Sequence[str] = SPLITS) -> YoloImages:
    """Return the images of a YAML, a list, or a folder that holds (or is inside) ``images/``.

    Of several splits the first of ``prefer`` that is there is taken.

    Raises:
        DataError: no images, or paths that lead out of the dataset.
    """
    if source.suffix.lower() in {".yaml", ".yml"}:
        return _configured(source, prefer)
    if source.is_file():
        return YoloImages(listed_images(source), source, False, source.parent)
    inner = source / "images"
    if not inner.is_dir():
        root = next((path.parent for path in source.parents if path.name == "images"), source)
        root = source.parent if source.name == "images" else root
        return YoloImages(images_below(source), source, True, root)
    ordered = sorted(SPLIT_FOLDERS, key=lambda name: _rank(name, prefer))
    split = next((name for name in ordered if (inner / name).is_dir()), "")
    return YoloImages(images_below(inner / split), source, True, source, split)


def _rank(folder: str, prefer: Sequence[str]) -> int:
    return next((at for at, split in enumerate(prefer) if folder.startswith(split)), len(prefer))


def _configured(source: Path, prefer: Sequence[str]) -> YoloImages:
    config = read_config(source)
    split = next((name for name in prefer if name in config.splits), None)
    if split is None:
        if (source.parent / "images").is_dir():
            return yolo_images(source.parent, prefer=prefer)
        raise DataError(
            f"{source} names neither {' nor '.join(prefer)} images",
            remedy="add `val: images/val`, a path from the YAML's folder",
        )
    places = config.places(split)
    paths = [
        image
        for place in places
        for image in (images_below(place) if place.is_dir() else listed_images(place))
    ]
    whole = all(place.is_dir() for place in places)
    return YoloImages(sorted(set(paths)), source, whole, source.parent, split)


def read_yolo(source: Path, *, limit: int | None = None) -> Annotated:
    """Read a dataset in YOLO's layout.

    Args:
        source: its YAML, a list of images, or a folder of (or with) images.
        limit: read the labels of at most this many images; None takes all.

    Raises:
        DataError: images, labels or names are missing, broken or contradict each other.
    """
    images = yolo_images(source)
    label_files = check_labels(images.paths, whole=images.whole)
    names = _names(images)
    # Where nothing says how many classes there are, all labels are read to see: the limit must
    # not change what the classes are.
    rows = [_rows(path) for path in label_files[: limit if names.categories else None]]
    categories = names.categories or _occurring(rows, source)
    _check_classes(label_files, rows, categories, names.file or source)
    read = list(zip(images.paths, rows, strict=False))[:limit]
    labels = [_labels(number, *parts) for number, parts in enumerate(read, 1)]
    unlabelled = sum(not path.is_file() for path in label_files[: len(read)])
    outlines = sum(entry.outlines for _, entry in read)
    notes = _notes(images, names, outlines=outlines, unlabelled=unlabelled)
    return Annotated(LAYOUT, source, labels, categories, notes=notes)


def _rows(path: Path) -> Rows:
    return read_rows(path) if path.is_file() else Rows(np.zeros((0, 4)), [], [], 0)


class _Names(NamedTuple):
    """The classes, and the file that lists them; ``given`` if it does so by name."""

    categories: dict[int, str]
    file: Path | None = None
    given: bool = False


def _names(images: YoloImages) -> _Names:
    """Return the classes from the YAML, or from the dataset's folder or the one around it."""
    if images.source.suffix.lower() in {".yaml", ".yml"}:
        return _configured_names(images.source)
    for folder in (images.root, images.root / "labels", images.root.parent):
        config = find_config(folder)
        if config is not None:
            return _configured_names(config)
        for name in NAMES_FILES:
            if (folder / name).is_file():
                return _Names(read_names(folder / name), folder / name, given=True)
    return _Names({})


def _configured_names(path: Path) -> _Names:
    config = read_config(path)
    return _Names(config.names or _placeholders(config.count), path, given=bool(config.names))


def _occurring(rows: Iterable[Rows], source: Path) -> dict[int, str]:
    highest = max((index for entry in rows for index in entry.class_ids), default=-1)
    if highest < 0:
        raise DataError(
            f"{source} labels no object and names no classes",
            remedy="add a classes.txt (one name a line) or a data.yaml with names",
        )
    return _placeholders(highest + 1)


def _placeholders(count: int) -> dict[int, str]:
    return {index: f"class_{index}" for index in range(count)}


def _check_classes(
    paths: Sequence[Path], rows: Sequence[Rows], categories: dict[int, str], named_by: Path
) -> None:
    for path, entry in zip(paths, rows, strict=False):
        for index, line in zip(entry.class_ids, entry.lines, strict=True):
            if index not in categories:
                raise DataError(
                    f"{path}, line {line} has the class {index}, but {named_by} names "
                    f"{len(categories)}, {min(categories)} to {max(categories)}",
                    remedy="correct the class index, or add the class's name",
                )


def _labels(number: int, image: Path, rows: Rows) -> Labels:
    return Labels(
        image_id=number,
        path=image,
        size=None,
        boxes=rows.boxes,
        category_ids=rows.class_ids,
        iscrowd=[False] * len(rows.class_ids),
        relative=True,
    )


def _notes(images: YoloImages, names: _Names, *, outlines: int, unlabelled: int) -> tuple[str, ...]:
    split = f", split {images.split}" if images.split else ""
    classes = f"class names from {names.file}" if names.given else "classes without names"
    notes = [f"{images.source} is read as {LAYOUT}{split}, {classes}"]
    if outlines:
        notes.append(f"outlines taken as their bounding boxes: {outlines}")
    if unlabelled:
        notes.append(f"images without a label file, taken as showing no object: {unlabelled}")
    return tuple(notes)
