"""Pixels of a resized image as the network wants them: colour order, values, layout, type.

Which of 256 values a pixel becomes stands in tables of the input's own element type, one a
channel. Where a division by one number gives every value of a table to the last bit, the picture
is divided, which takes half the time of looking its pixels up. A ``uint8`` input takes the pixel
as it is, since its scaling is inside the graph.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.require import cv2
from edgecv_cli.detector.spec import InputSpec

ByteArray = NDArray[np.uint8]


def picture_shape(spec: InputSpec) -> tuple[int, int, int]:
    """Return the shape of one picture in the input: [3, h, w], or [h, w, 3] for ``nhwc``."""
    return (3, *spec.size) if spec.layout == "nchw" else (*spec.size, 3)


def pad_values(spec: InputSpec) -> NDArray[Any]:
    """Return the padding's three values, in the network's colour order and element type."""
    return _tables(spec)[:, spec.pad]


def takes_pictures(spec: InputSpec) -> bool:
    """Whether the input holds pixels as OpenCV does, so that nothing is left to be written."""
    return spec.dtype == "uint8" and spec.layout == "nhwc" and spec.color == "bgr"


def write_pixels(
    image: ByteArray, spec: InputSpec, out: NDArray[Any], planes: list[ByteArray]
) -> None:
    """Write a resized image.

    Args:
        image: uint8 BGR [h, w, 3], dense.
        spec: the input.
        out: a view of the input's element type, [3, h, w] or [h, w, 3]; each row dense.
        planes: three scratch planes uint8 [h, w].
    """
    if spec.layout == "nhwc":
        _write_interleaved(image, spec, out)
        return
    library = cv2()
    if spec.dtype == "uint8":
        library.split(image, list(out[:: -1 if spec.color == "rgb" else 1]))
        return
    ordered = library.split(image, planes)[:: -1 if spec.color == "rgb" else 1]
    ways = zip(_divisors(spec), _words(_tables(spec)), ordered, _words(out), strict=True)
    for divisor, table, plane, target in ways:
        if divisor is None:
            library.LUT(plane, table, target)
        elif divisor == 1:
            np.copyto(target, plane)
        else:
            np.divide(plane, divisor, out=target, dtype=np.float32)


def _write_interleaved(image: ByteArray, spec: InputSpec, out: NDArray[Any]) -> None:
    library = cv2()
    if spec.dtype == "uint8":
        if spec.color == "rgb":
            library.cvtColor(image, library.COLOR_BGR2RGB, out)
        else:
            out[...] = image
        return
    ordered = library.cvtColor(image, library.COLOR_BGR2RGB) if spec.color == "rgb" else image
    tables = np.ascontiguousarray(_words(_tables(spec)).T[None])
    library.LUT(ordered, tables, _words(out))


def _words(values: NDArray[Any]) -> NDArray[Any]:
    """Show float16 as 16-bit integers: OpenCV looks values up, and needs not know them."""
    return values.view(np.uint16) if values.dtype == np.float16 else values


@lru_cache(maxsize=16)
def _tables(spec: InputSpec) -> NDArray[Any]:
    """The network's value of each pixel value: [3, 256], in its own colour order and type."""
    pixels = np.arange(256, dtype=np.float64) / spec.scale
    mean, std = np.asarray(spec.mean)[:, None], np.asarray(spec.std)[:, None]
    tables: NDArray[Any] = ((pixels - mean) / std).astype(spec.dtype)
    tables.flags.writeable = False
    return tables


@lru_cache(maxsize=16)
def _divisors(spec: InputSpec) -> tuple[np.float32 | None, ...]:
    """Return what a channel's pixels are divided by; None where no division gives its table."""
    if spec.dtype != "float32":
        return (None, None, None)
    pixels = np.arange(256, dtype=np.float32)
    whole = [np.float32(spec.scale * part) for part in spec.std]
    return tuple(
        divisor if np.array_equal(pixels / divisor, table) else None
        for divisor, table in zip(whole, _tables(spec), strict=True)
    )
