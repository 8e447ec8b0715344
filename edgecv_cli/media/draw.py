"""Boxes and labels drawn so that they can be read on any image."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from edgecv_cli.core.boxes import Detections
from edgecv_cli.media.images import Image
from edgecv_cli.media.opencv import opencv

Colour = tuple[int, int, int]
"""Blue, green, red."""
Corners = tuple[int, int, int, int]
"""x1, y1, x2, y2 in whole pixels inside the image."""

_GOLDEN = 0.618033988749895  # successive multiples, modulo 1, keep neighbours far apart
_MAX_LABEL = 40


@dataclass(frozen=True)
class _Style:
    """Sizes in pixels that follow from the image's size."""

    line: int
    font_scale: float
    font_line: int
    margin: int

    @classmethod
    def of(cls, height: int, width: int) -> _Style:
        side = (height * width) ** 0.5
        scale = min(max(side / 1400, 0.35), 4.0)
        return cls(
            line=max(1, round(side / 320)),
            font_scale=scale,
            font_line=max(1, round(scale * 1.6)),
            margin=max(2, round(scale * 5)),
        )


def draw(
    image: Image,
    detections: Detections,
    class_names: Sequence[str],
    *,
    scores: bool = True,
    tracks: Sequence[int | None] | None = None,
) -> Image:
    """Return a copy of the image with every detection's box, class name and score.

    Args:
        image: BGR uint8 [H, W, 3].
        detections: boxes in pixels of this image; parts outside it are cut off.
        class_names: by class index; a missing name is shown as its index.
        scores: whether to write each score; a labelled object has none.
        tracks: the number of each detection's track, which stands before its score; a track keeps
            its colour.
    """
    canvas = np.ascontiguousarray(image).copy()
    height, width = canvas.shape[:2]
    pen = _Pen(opencv(), canvas, _Style.of(height, width))
    followed = tracks or [None] * len(detections)
    # the surest ends up on top
    rows = sorted(zip(detections, followed, strict=True), key=lambda entry: entry[0][4])
    boxes = [_corners(row[:4], height, width) for row, _ in rows]
    colours = [class_colour(row[5] if track is None else track) for row, track in rows]
    for corners, colour in zip(boxes, colours, strict=True):
        pen.box(corners, colour)
    for corners, colour, (row, track) in zip(boxes, colours, rows, strict=True):
        text = _class_name(int(row[5]), class_names)
        text += "" if track is None else f" #{track}"
        pen.label(corners, f"{text} {row[4]:.2f}" if scores else text, colour)
    return canvas


def class_colour(class_id: int) -> Colour:
    """Return a colour that is always the same for a class and differs from its neighbours'."""
    hue = class_id * _GOLDEN % 1.0
    # Three rounds of brightness tell apart classes whose hues come close again.
    value = (1.0, 0.8, 0.62)[class_id // 21 % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, value)
    return round(blue * 255), round(green * 255), round(red * 255)


def _corners(box: Sequence[float], height: int, width: int) -> Corners:
    """Whole pixels inside the image; boxes from broken models may hold NaN or infinity."""
    x1, y1, x2, y2 = np.nan_to_num(np.array(box), nan=0.0, posinf=1e9, neginf=-1e9)
    xs = np.clip(np.round([x1, x2]), 0, width - 1).astype(int).tolist()
    ys = np.clip(np.round([y1, y2]), 0, height - 1).astype(int).tolist()
    return xs[0], ys[0], xs[1], ys[1]


def _class_name(class_id: int, class_names: Sequence[str]) -> str:
    name = class_names[class_id] if 0 <= class_id < len(class_names) else f"class {class_id}"
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    return shown if len(shown) <= _MAX_LABEL else shown[: _MAX_LABEL - 1] + "…"


class _Pen:
    """Draws on one canvas."""

    def __init__(self, cv2: ModuleType, canvas: Image, style: _Style) -> None:
        self._cv2 = cv2
        self._canvas = canvas
        self._style = style
        self._height, self._width = canvas.shape[:2]

    def box(self, corners: Corners, colour: Colour) -> None:
        """Outline a box."""
        self._cv2.rectangle(self._canvas, corners[:2], corners[2:], colour, self._style.line)

    def label(self, corners: Corners, text: str, colour: Colour) -> None:
        """Write above the box where there is room, else inside it; shrunk to fit, never cut."""
        fitted = self._fit(text)
        if fitted is None:
            return
        scale, text_width, text_height, baseline = fitted
        margin, line = self._style.margin, self._style.line
        plate_width = text_width + 2 * margin
        plate_height = text_height + baseline + margin
        left = max(0, min(corners[0] - line // 2, self._width - plate_width))
        top = corners[1] - line // 2 - plate_height
        if top < 0:
            top = min(corners[1], self._height - plate_height)
        self._canvas[top : top + plate_height, left : left + plate_width] = colour
        self._cv2.putText(
            self._canvas,
            text,
            (left + margin, top + margin // 2 + text_height),
            self._cv2.FONT_HERSHEY_SIMPLEX,
            scale,
            _ink(colour),
            self._style.font_line,
            self._cv2.LINE_AA,
        )

    def _fit(self, text: str) -> tuple[float, int, int, int] | None:
        """Return font scale, text width, text height and baseline that fit, or None."""
        margin, scale = self._style.margin, self._style.font_scale
        while scale >= 0.2:
            (width, height), baseline = self._cv2.getTextSize(
                text, self._cv2.FONT_HERSHEY_SIMPLEX, scale, self._style.font_line
            )
            fits_across = width + 2 * margin <= self._width
            if fits_across and height + baseline + margin <= self._height:
                return scale, width, height, baseline
            scale *= 0.8
        return None


def _ink(colour: Colour) -> Colour:
    """Black or white, whichever reads better (relative luminance, ITU-R BT.709)."""
    blue, green, red = colour
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return (0, 0, 0) if luminance > 110 else (255, 255, 255)
