"""Anchor sizes that detectors were published with, and how a spec file writes anchors.

A raw anchor head says everything relative to sizes that are not in its graph. The numbers are
those of the models' own configuration files: YOLOv3 and YOLOv4 (Redmon and Farhadi 2018,
Bochkovskiy et al. 2020), YOLOv5 and YOLOv7 (``models/*.yaml``, ``cfg/deploy/*.yaml``).
"""

from __future__ import annotations

from typing import Any

Anchors = tuple[tuple[tuple[float, float], ...], ...]

_MOST = 64

_SMALL: Anchors = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
_LARGE: Anchors = (
    ((12, 16), (19, 36), (40, 28)),
    ((36, 75), (76, 55), (72, 146)),
    ((142, 110), (192, 243), (459, 401)),
)
_FOUR: Anchors = (
    ((19, 27), (44, 40), (38, 94)),
    ((96, 68), (86, 152), (180, 137)),
    ((140, 301), (303, 264), (238, 542)),
    ((436, 615), (739, 380), (925, 792)),
)
_TWO: Anchors = (
    ((10, 14), (23, 27), (37, 58)),
    ((81, 82), (135, 169), (344, 319)),
)
_FASTEST: Anchors = (
    ((12.64, 19.39), (37.88, 51.48), (55.71, 138.31)),
    ((126.91, 78.23), (131.57, 214.55), (279.92, 258.87)),
)

ANCHOR_PRESETS: dict[str, Anchors] = {
    "yolov5": _SMALL,
    "yolov7": _LARGE,
    "yolov3": _SMALL,
    "yolov4": _LARGE,
    "yolov5-p6": _FOUR,
    "yolov7-w6": _FOUR,
    "yolov3-tiny": _TWO,
    "yolov4-tiny": _TWO,
    "yolo-fastestv2": _FASTEST,
}
"""Per stride, rising, each anchor's width and height in input pixels."""


def read_anchors(value: Any, strides: int) -> Anchors:
    """Return what a spec's ``anchors`` says as rows of [width, height] pairs.

    Args:
        value: a preset's name; or one row per stride, of pairs or of numbers that follow each
            other (w, h, w, h, ...); or the pairs of all strides in one list.
        strides: how many there are.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(value, str):
        if value not in ANCHOR_PRESETS:
            raise ValueError(f"no anchors are known as '{value}', but {', '.join(ANCHOR_PRESETS)}")
        return ANCHOR_PRESETS[value]
    if not isinstance(value, list | tuple) or len(value) > _MOST:
        raise ValueError("neither a name nor rows of [width, height] pairs")
    rows = tuple(_pairs(row) for row in value)
    together = all(len(row) == 1 for row in rows)
    if together and strides and len(rows) > strides and len(rows) % strides == 0:
        many = len(rows) // strides
        pairs = [row[0] for row in rows]
        return tuple(tuple(pairs[start : start + many]) for start in range(0, len(pairs), many))
    return rows


def anchor_words(rows: Anchors) -> str:
    """Write anchors as people do: 10,13 16,30 / 30,61 62,45."""
    return " / ".join(" ".join(f"{wide:.5g},{tall:.5g}" for wide, tall in row) for row in rows)


def _pairs(row: Any) -> tuple[tuple[float, float], ...]:
    """Return a row, of pairs or of numbers, as pairs."""
    if not isinstance(row, list | tuple) or len(row) > _MOST:
        raise ValueError(f"'{row}' is no row of [width, height] pairs")
    numbers = [
        part for pair in row for part in (pair if isinstance(pair, list | tuple) else [pair])
    ]
    sound = all(isinstance(part, int | float) and 0 < part < 1e6 for part in numbers)
    if not sound or not numbers or len(numbers) % 2:
        raise ValueError(f"'{row}' is no row of widths and heights above 0")
    return tuple(zip(map(float, numbers[::2]), map(float, numbers[1::2]), strict=True))
