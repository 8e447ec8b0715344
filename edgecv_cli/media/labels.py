"""What every layout of labels is read into, and what is done with boxes that leave the image.

A box that hangs over the border by at most a pixel is rounding: it stays as annotated, which is
what pycocotools would see. One that hangs over further is clipped. One that lies outside
altogether, or has no size, can never be found: it is left out. Both are counted and said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import DataError

ROUNDING = 1.0  # pixels

Boxes = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Labels:
    """What the annotations say of one image, not yet held against its file.

    Attributes:
        image_id: unique in the dataset.
        path: the image file.
        size: width and height in pixels that the labels were made for; None if not said.
        boxes: float64 [n, 4], x1, y1, x2, y2, finite, x1 <= x2, y1 <= y2.
        category_ids: one a box.
        iscrowd: one a box; what it covers counts neither for nor against a detector.
        areas: of the objects, square pixels; None takes the boxes'.
        relative: boxes are fractions of the image's sides, not pixels.
    """

    image_id: int
    path: Path
    size: tuple[int, int] | None
    boxes: Boxes
    category_ids: Sequence[int]
    iscrowd: Sequence[bool]
    areas: Sequence[float] | None = None
    relative: bool = False


@dataclass(frozen=True)
class Annotated:
    """A dataset as its annotations describe it.

    Attributes:
        layout: ``COCO``, ``YOLO txt`` or ``Pascal VOC``.
        source: the file or folder that the labels come from.
        images: by ascending id.
        categories: id to name.
        numbered: whether the ids are the data's own; VOC has names only.
        notes: what a reader of the figures should know.
    """

    layout: str
    source: Path
    images: Sequence[Labels]
    categories: dict[int, str]
    numbered: bool = True
    notes: tuple[str, ...] = ()


@dataclass
class Tally:
    """Counts what was changed, so that it can be said once."""

    clipped: int = 0
    dropped: int = 0
    unsized: int = 0
    first_dropped: Path | None = field(default=None)

    def notes(self) -> list[str]:
        """Return one sentence for each kind of change that happened."""
        said = []
        if self.clipped:
            said.append(f"boxes that reach beyond their image were clipped: {self.clipped}")
        if self.dropped:
            said.append(
                "boxes outside their image or without size were left out: "
                f"{self.dropped}, the first in {self.first_dropped}"
            )
        if self.unsized:
            said.append(
                "images whose annotations give no size, so that the file's was taken: "
                f"{self.unsized}"
            )
        return said


def fit_boxes(labels: Labels, size: tuple[int, int], tally: Tally) -> tuple[Boxes, Flags]:
    """Return the boxes in pixels, clipped where they must be, and which of them are kept.

    Args:
        labels: of one image.
        size: the image's width and height in pixels.
        tally: is told what was clipped and left out.
    """
    sides = np.array([*size, *size], np.float64)
    boxes = labels.boxes * sides if labels.relative else labels.boxes
    clipped = np.clip(boxes, 0, sides)
    over = np.abs(boxes - clipped).max(axis=1, initial=0) > ROUNDING
    kept: Flags = np.asarray((clipped[:, :2] < clipped[:, 2:]).all(axis=1), np.bool_)
    tally.clipped += int((over & kept).sum())
    if not kept.all():
        tally.dropped += int((~kept).sum())
        tally.first_dropped = tally.first_dropped or labels.path
    return np.where(over[:, None], clipped, boxes)[kept], kept


def refuse_missing(source: Path, missing: Sequence[str], total: int, where: str) -> NoReturn:
    """Refuse annotations whose images are not there.

    Raises:
        DataError: always.
    """
    raise DataError(
        f"{len(missing)} of {total} images that {source} names are not in {where}, "
        f"the first is {missing[0]!r}",
        remedy="put the images there, or take their annotations out",
    )
