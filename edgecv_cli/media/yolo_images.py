"""Which images a YOLO dataset holds, and where the labels of each one are.

The labels of ``…/images/a/b.jpg`` are in ``…/labels/a/b.txt``, or beside the image.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NoReturn

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.listing import files_ending
from edgecv_cli.media.text import is_there, read_text
from edgecv_cli.media.yolo_config import NAMES_FILES

MAX_LIST_BYTES = 16 * 1024**2
SPLIT_FOLDERS = ("val", "valid", "validation", "test", "train")


def labels_of(image: Path) -> Path:
    """Return where the labels of an image are, or should be."""
    mirror, beside = mirrored(image.parent) / f"{image.stem}.txt", image.with_suffix(".txt")
    return beside if beside.is_file() and not mirror.is_file() else mirror


def mirrored(folder: Path) -> Path:
    """Return the folder of labels that belongs to a folder of images."""
    parts = list(folder.parts)
    for index in range(len(parts) - 1, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts)


def listed_images(path: Path) -> list[Path]:
    """Return the images that a text file names, one a line, sorted.

    A relative name counts from the list's folder; an absolute one must lead into it.

    Raises:
        DataError: a name leads out of the folder or stands twice, or images are missing.
    """
    root = Path(os.path.normpath(path.parent))
    found: dict[Path, int] = {}
    for line, text in enumerate(read_text(path, MAX_LIST_BYTES).splitlines(), 1):
        if not text.strip():
            continue
        image = Path(os.path.normpath(root / PurePosixPath(text.strip().replace("\\", "/"))))
        if "\0" in text or not image.is_relative_to(root):
            _fail(path, f"line {line} names {text.strip()!r}, which is not in {root}")
        if image in found:
            _fail(path, f"line {line} names {text.strip()!r}, as line {found[image]} does")
        found[image] = line
    if not found:
        _fail(path, "names no images")
    missing = [image for image in found if not is_there(image)]
    if missing:
        _fail(path, f"names {len(missing)} images that are not there, the first is {missing[0]}")
    return sorted(found)


def check_labels(images: Sequence[Path], *, whole: bool) -> list[Path]:
    """Return the label file of each image.

    Args:
        images: of the dataset.
        whole: the images are all that their folders hold, so that labels of no image are faulty.

    Raises:
        DataError: two images share their labels, none has any, or labels have no image.
    """
    labels: dict[Path, Path] = {}
    for image in images:
        other = labels.setdefault(labels_of(image), image)
        if other is not image:
            raise DataError(
                f"{other} and {image.name} share their labels, {labels_of(image)}",
                remedy="give the images names that differ in more than the suffix",
            )
    if not any(path.is_file() for path in labels):
        raise DataError(
            f"none of the {len(images)} images has labels: {next(iter(labels))} is not there",
            remedy="put the label files into labels/, mirroring images/",
        )
    if whole:
        _refuse_orphans(labels)
    return list(labels)


def _refuse_orphans(labels: dict[Path, Path]) -> None:
    there = [
        path
        for folder in sorted({path.parent for path in labels})
        if folder.is_dir()
        for path in files_ending(folder, ".txt")
        if path.name not in NAMES_FILES
    ]
    orphans = [path for path in there if path not in labels]
    if orphans:
        raise DataError(
            f"{len(orphans)} of {len(there)} label files have no image, the first is {orphans[0]}",
            remedy="put the images there, or take the label files away",
        )


def _fail(path: Path, what: str) -> NoReturn:
    raise DataError(
        f"{path} {what}", remedy="write one image a line, as a path from the list's folder"
    )
