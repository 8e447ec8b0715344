"""The rows of one YOLO label file: ``class cx cy w h`` in fractions of the image's sides.

Format: https://docs.ultralytics.com/datasets/detect/. A row of class and at least three
points outlines an object (https://docs.ultralytics.com/datasets/segment/); its bounding box is
what a detector is measured against.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.labels import Boxes
from edgecv_cli.media.text import read_text

MAX_LABEL_BYTES = 8 * 1024**2
_FARTHEST = 2.0  # images' sides: a box may hang over the border, but not by a whole image
_MAX_CLASS = 1_000_000


class Rows(NamedTuple):
    """What one label file says.

    ``boxes`` is float64 [n, 4], x1, y1, x2, y2 in fractions; ``class_ids`` and ``lines`` have one
    entry each; ``outlines`` counts the rows that were polygons.
    """

    boxes: Boxes
    class_ids: list[int]
    lines: list[int]
    outlines: int


def read_rows(path: Path) -> Rows:
    """Read one label file; an empty one says that the image shows nothing.

    Raises:
        DataError: unreadable, or a row that is not a box or an outline, with its line.
    """
    boxes: list[tuple[float, float, float, float]] = []
    class_ids: list[int] = []
    lines: list[int] = []
    outlines = 0
    for line, text in enumerate(read_text(path, MAX_LABEL_BYTES).splitlines(), 1):
        values = text.split()
        if not values:
            continue
        numbers = _numbers(path, line, values)
        class_ids.append(_class_id(path, line, numbers[0]))
        boxes.append(_box(path, line, numbers[1:]))
        lines.append(line)
        outlines += len(numbers) > 5
    return Rows(np.array(boxes, np.float64).reshape(-1, 4), class_ids, lines, outlines)


def _numbers(path: Path, line: int, values: list[str]) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        _fail(path, line, f"is not a row of numbers: {' '.join(values)[:60]!r}")
    if not all(map(math.isfinite, numbers)):
        _fail(path, line, "holds a value that is not finite")
    if len(numbers) == 6:
        _fail(path, line, "has 6 values: a confidence belongs to detections, not to labels")
    if len(numbers) != 5 and (len(numbers) < 7 or len(numbers) % 2 == 0):
        _fail(path, line, f"has {len(numbers)} values, neither class cx cy w h nor an outline")
    return numbers


def _class_id(path: Path, line: int, value: float) -> int:
    if value != int(value) or not 0 <= value < _MAX_CLASS:
        _fail(path, line, f"has the class {value:g}, which is not an index")
    return int(value)


def _box(path: Path, line: int, numbers: list[float]) -> tuple[float, float, float, float]:
    if max(map(abs, numbers)) > _FARTHEST:
        _fail(path, line, f"holds {max(numbers, key=abs):g}: not a fraction of the image's sides")
    if len(numbers) > 4:
        return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])
    x, y, width, height = numbers
    if width < 0 or height < 0:
        _fail(path, line, f"has a box of negative size: {width:g} x {height:g}")
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _fail(path: Path, line: int, what: str) -> NoReturn:
    raise DataError(
        f"{path}, line {line} {what}",
        remedy="correct the row: class cx cy w h, in fractions (0..1) of the image's sides",
    )
