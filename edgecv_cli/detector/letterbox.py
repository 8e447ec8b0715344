"""From an image to the network's input, and from boxes there back to the image.

Sizes and pads are rounded as the reference implementations round them, because half a pixel
costs mAP: Ultralytics' ``LetterBox`` for ``letterbox``, YOLOX's ``preproc`` for
``letterbox-topleft``.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import FloatArray
from edgecv_cli.core.require import cv2
from edgecv_cli.detector.pixels import (
    ByteArray,
    pad_values,
    picture_shape,
    takes_pictures,
    write_pixels,
)
from edgecv_cli.detector.spec import InputSpec


@dataclass(frozen=True)
class Letterbox:
    """Where an image of one size lies in the network's input.

    Attributes:
        source: (height, width) of the image in pixels.
        content: (height, width) of the resized image inside the input.
        offset: (top, left) of that content, in input pixels.
        input: the input it was fitted to.
    """

    source: tuple[int, int]
    content: tuple[int, int]
    offset: tuple[int, int]
    input: InputSpec

    @classmethod
    def fit(cls, image_hw: tuple[int, int], spec: InputSpec) -> Letterbox:
        """Fit an image of (height, width) into ``spec.size`` by ``spec.resize``.

        Raises:
            ValueError: the image has no pixels.
        """
        height, width = image_hw
        if height < 1 or width < 1:
            raise ValueError(f"an image of {height}x{width} pixels can't be fitted")
        if spec.resize == "stretch":
            return cls(image_hw, spec.size, (0, 0), spec)
        ratio = min(spec.size[0] / height, spec.size[1] / width)
        if spec.resize == "letterbox-topleft":
            content = (max(1, int(height * ratio)), max(1, int(width * ratio)))
            return cls(image_hw, content, (0, 0), spec)
        content = (max(1, round(height * ratio)), max(1, round(width * ratio)))
        # an odd pad leaves its extra pixel at the bottom and right
        top, left = (
            round((side - part) / 2 - 0.1) for side, part in zip(spec.size, content, strict=True)
        )
        return cls(image_hw, content, (max(0, top), max(0, left)), spec)

    def apply(self, image: ByteArray, out: NDArray[Any], *, bordered: bool = False) -> None:
        """Write the network's input.

        Args:
            image: BGR uint8 [H, W, 3]; any strides.
            out: of the input's element type, [3, h, w] or for layout ``nhwc`` [h, w, 3],
                C-contiguous, overwritten whole: colour order, scale, mean, std and padding as
                the spec says.
            bordered: whether the padding is there already, from an image of this size.

        Raises:
            ValueError: shapes or types differ from what this letterbox was fitted to.
            MissingDependencyError: OpenCV is not there.
        """
        shape = picture_shape(self.input)
        if image.shape != (*self.source, 3) or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 {(*self.source, 3)}, got {image.dtype} {image.shape}")
        if out.shape != shape or out.dtype != self.input.dtype:
            raise ValueError(f"expected {self.input.dtype} {shape}, got {out.dtype} {out.shape}")
        if not bordered:
            self._fill_borders(out, pad_values(self.input))
        (top, left), (height, width) = self.offset, self.content
        rows, columns = slice(top, top + height), slice(left, left + width)
        inside = out[:, rows, columns] if self.input.layout == "nchw" else out[rows, columns]
        if takes_pictures(self.input) and self.content != self.source:
            self._resized(cv2(), image, inside)
            return
        resized = self._resized(cv2(), image, _SCRATCH.image(self.content))
        write_pixels(resized, self.input, inside, _SCRATCH.planes(self.content))

    def to_source(self, boxes: FloatArray) -> FloatArray:
        """Map boxes [n, 4] (x1, y1, x2, y2) from input to source pixels, clipped to the image."""
        (top, left), (height, width) = self.offset, self.source
        origin = np.array([left, top, left, top], np.float32)
        scale_x, scale_y = width / self.content[1], height / self.content[0]
        scale = np.array([scale_x, scale_y, scale_x, scale_y], np.float32)
        limit = np.array([width, height, width, height], np.float32)
        mapped: FloatArray = np.clip((boxes - origin) * scale, 0, limit)
        return mapped

    def to_input(self, boxes: FloatArray) -> FloatArray:
        """Map boxes [n, 4] (x1, y1, x2, y2) from source to input pixels."""
        (top, left), (height, width) = self.offset, self.source
        scale_x, scale_y = self.content[1] / width, self.content[0] / height
        scale = np.array([scale_x, scale_y, scale_x, scale_y], np.float32)
        return (boxes * scale + np.array([left, top, left, top], np.float32)).astype(np.float32)

    def _resized(self, library: Any, image: ByteArray, into: NDArray[Any]) -> ByteArray:
        if self.content == self.source:
            return image if _rows_are_dense(image) else np.ascontiguousarray(image)
        height, width = self.content
        resized: ByteArray = library.resize(
            image if _rows_are_dense(image) else np.ascontiguousarray(image),
            (width, height),
            into,
            interpolation=library.INTER_NEAREST_EXACT if self._picks() else library.INTER_LINEAR,
        )
        return resized

    def _picks(self) -> bool:
        """Whether linear interpolation takes single pixels, which are found faster as nearest.

        The middle of every output pixel is the middle of a source pixel where both sides shrink
        by odd whole numbers, as 1920 x 1080 does to 640 x 360.
        """
        return all(
            side % part == 0 and side // part % 2
            for side, part in zip(self.source, self.content, strict=True)
        )

    def _fill_borders(self, out: NDArray[Any], value: NDArray[Any]) -> None:
        (top, left), (height, width) = self.offset, self.content
        rows = out if self.input.layout == "nhwc" else out.transpose(1, 2, 0)
        rows[:top] = value
        rows[top + height :] = value
        rows[top : top + height, :left] = value
        rows[top : top + height, left + width :] = value


def _rows_are_dense(image: ByteArray) -> bool:
    return image.strides[1:] == (3, 1) and image.strides[0] > 0


class _Scratch(threading.local):
    """Buffers of the last size used by this thread; fresh pages cost more than the copying."""

    def __init__(self) -> None:
        self._size: tuple[int, int] = (0, 0)
        self._image = np.empty((0, 0, 3), np.uint8)
        self._planes: list[ByteArray] = []

    def image(self, size: tuple[int, int]) -> ByteArray:
        self._resize(size)
        return self._image

    def planes(self, size: tuple[int, int]) -> list[ByteArray]:
        self._resize(size)
        return self._planes

    def _resize(self, size: tuple[int, int]) -> None:
        if size != self._size:
            self._image = np.empty((*size, 3), np.uint8)
            self._planes = [np.empty(size, np.uint8) for _ in range(3)]
            self._size = size


_SCRATCH = _Scratch()
