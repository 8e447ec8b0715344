"""Reading one image, or the images of a folder; both are hostile input."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import DataError
from edgecv_cli.media import tiff
from edgecv_cli.media.headers import Header, read_header
from edgecv_cli.media.opencv import opencv
from edgecv_cli.media.unlabelled import find_images

Image = NDArray[np.uint8]

MAX_PIXELS = 200_000_000  # 600 MB once decoded to BGR
MAX_BYTES = 512 * 1024**2
_JPEG_HEAD = 256 * 1024  # holds a JPEG's frame header, unless there are several large profiles


def read_image(path: Path) -> Image:
    """Return the image as BGR uint8 [H, W, 3], turned the way its EXIF orientation says.

    Grey and 1-bit become three equal channels, palettes their colours; alpha is dropped, so
    that colours are as stored; 16 bits per channel are scaled to 8. CMYK becomes RGB without a
    colour profile; in a JPEG it is taken as inverted, as Adobe's programs write it and others
    read it. Of several pages or frames the first is read.

    Raises:
        DataError: not a file, not an image, broken, or more than 200 megapixels.
    """
    data = _read_bytes(path)
    header = check_header(path, read_header(data))
    image = _decode(path, data)
    if header.format != "TIFF":  # OpenCV's TIFF reader turns the pixels whatever it is asked
        image = _turn(image, header)
    if image.shape[1::-1] != header.shown:  # boxes would be measured against another picture
        raise _undecodable(path, "its header contradicts its pixels")
    return image


@dataclass(frozen=True)
class Reduced:
    """An image in small, for looking at many of them.

    Attributes:
        image: BGR uint8 [h, w, 3], upright.
        width, height: of the whole image in pixels, as :func:`read_image` gives it.
        sha256: of the file's bytes.
    """

    image: Image
    width: int
    height: int
    sha256: str


def read_reduced(path: Path, side: int) -> Reduced:
    """Return an image at 1/2, 1/4 or 1/8 of its size, but no side below ``side`` pixels.

    A JPEG is decoded at that size, which takes a fraction of the time.

    Raises:
        DataError: as for :func:`read_image`.
    """
    data = _read_bytes(path)
    header = check_header(path, read_header(data))
    most = min(header.width, header.height) // max(side, 1)
    factor = max((factor for factor in (1, 2, 4, 8) if factor <= most), default=1)
    image = _decode(path, data, factor)
    if header.format != "TIFF":
        image = _turn(image, header)
    return Reduced(image, *header.shown, hashlib.sha256(data).hexdigest())


def read_size(path: Path) -> tuple[int, int]:
    """Return (width, height) in pixels of what :func:`read_image` gives, without decoding.

    Raises:
        DataError: as for :func:`read_image`, but a JPEG that ends early goes unnoticed.
    """
    return read_shape(path).shown


def read_shape(path: Path) -> Header:
    """Return an image's size and orientation from its header; as :func:`read_size`."""
    header = read_header(_head(path))
    if header is not None and header.format == "JPEG":
        return check_header(path, replace(header, flaw=None))
    return check_header(path, read_header(_read_bytes(path)))


def _head(path: Path) -> bytes:
    with suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                return file.read(_JPEG_HEAD)
    return b""


@dataclass(frozen=True)
class ImageFolder:
    """Images without annotations, as calibration takes them.

    Attributes:
        root: what was named.
        paths: the image files, sorted by name.
        notes: how they were chosen, for the user to see.
    """

    root: Path
    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Sha256 over the names and contents of the images, in order."""
        return digest_files(self.paths)


def open_images(path: Path, limit: int | None = None) -> ImageFolder:
    """Open a folder of images, or a dataset of any layout for its images alone.

    Args:
        path: a folder of images, or whatever :func:`edgecv_cli.media.dataset.open_dataset` takes;
            of several splits ``train`` is taken.
        limit: at most this many images, the first by name; None takes all.

    Raises:
        DataError: no folder, or no images in it.
    """
    try:
        paths, notes = find_images(path)
    except OSError as error:
        raise unreadable(path, error) from error
    return ImageFolder(path, tuple(paths[:limit]), notes)


def unreadable(path: Path, error: OSError) -> DataError:
    """Return the error to raise where a folder or file of a dataset can't be looked into."""
    return DataError(
        f"{error.filename or path} can't be read: {error.strerror}",
        remedy="name images that exist and that you may read",
    )


def digest_files(paths: Sequence[Path], *, seed: bytes = b"") -> str:
    """Return one sha256 over names and contents, each framed by its length.

    Raises:
        DataError: a file can't be read.
    """
    total = hashlib.sha256(seed)
    for path in paths:
        name = path.name.encode("utf-8", "surrogateescape")
        content = hashlib.sha256(_read_bytes(path)).digest()
        total.update(len(name).to_bytes(8, "big") + name + content)
    return total.hexdigest()


def check_header(path: Path, header: Header | None) -> Header:
    """Return the header if an image of this kind and size may be decoded.

    Raises:
        DataError: it may not; the message says why.
    """
    if header is None:
        raise _undecodable(
            path, "it is not a JPEG, PNG, BMP, WebP or TIFF image, or its head is damaged"
        )
    if header.flaw is not None:
        raise _undecodable(path, f"{header.flaw} ({header.format})")
    if header.width <= 0 or header.height <= 0:
        raise _undecodable(path, f"its header says {header.width} x {header.height} pixels")
    if header.width * header.height > MAX_PIXELS:
        raise DataError(
            f"image {path} is {header.width} x {header.height} pixels; "
            f"the limit is {MAX_PIXELS // 1_000_000} megapixels",
            remedy="scale it down or cut it into tiles first",
        )
    return header


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():  # a pipe or a device would block or never end
            raise DataError(
                f"image {path} is not there"
                if not path.exists()
                else f"image {path} is not a plain file",
                remedy="name an image file",
            )
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(
                f"image {path} has {size} bytes; the limit is {MAX_BYTES}",
                remedy="scale it down or save it compressed",
            )
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"image {path} can't be read: {error.strerror}",
            remedy="check that the file exists and that you may read it",
        ) from error


def _decode(path: Path, data: bytes, factor: int = 1) -> Image:
    cv2 = opencv()
    if data[:2] in (b"II", b"MM"):
        data = tiff.keep_colours(data)
    colour = cv2.IMREAD_COLOR if factor == 1 else getattr(cv2, f"IMREAD_REDUCED_COLOR_{factor}")
    flags = colour | cv2.IMREAD_IGNORE_ORIENTATION  # WebP's it would not see
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except (cv2.error, MemoryError) as error:
        raise _undecodable(path, "the decoder refused it") from error
    if image is None:
        raise _undecodable(path, "its pixel data is broken")
    decoded: Image = image
    return decoded


def _turn(image: Image, header: Header) -> Image:
    """Turn stored pixels upright; the orientations are those of EXIF (CIPA DC-008, 4.6.4)."""
    if header.orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if header.orientation in (3, 4, 7, 8):
        image = image[::-1]
    if header.orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _undecodable(path: Path, why: str) -> DataError:
    return DataError(
        f"image {path} can't be decoded: {why}",
        remedy="remove the file or save it again as JPEG or PNG",
    )
