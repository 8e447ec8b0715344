"""Reading one image, or the images of a folder; both are hostile input."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.headers import Header, read_header
from edgecv_cli.media.opencv import opencv

Image = NDArray[np.uint8]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
MAX_PIXELS = 200_000_000  # 600 MB once decoded to BGR
MAX_BYTES = 512 * 1024**2


def read_image(path: Path) -> Image:
    """Return the image as BGR uint8 [H, W, 3], turned the way its EXIF orientation says.

    Grey becomes three equal channels, alpha is dropped, 16 bits per channel become 8.

    Raises:
        DataError: not a file, not an image, broken, or more than 200 megapixels.
    """
    data = _read_bytes(path)
    check_header(path, read_header(data))
    return _decode(path, data)


def read_size(path: Path) -> tuple[int, int]:
    """Return (width, height) in pixels as stored, without decoding.

    Raises:
        DataError: as for :func:`read_image`.
    """
    header = check_header(path, read_header(_read_bytes(path)))
    return header.width, header.height


def list_images(folder: Path) -> list[Path]:
    """Return the image files directly in a folder by their suffix, sorted by name.

    Raises:
        DataError: the folder is missing, unreadable, or holds no image.
    """
    found = [path for path in list_files(folder) if path.suffix.lower() in IMAGE_SUFFIXES]
    if not found:
        raise DataError(
            f"{folder} holds no images",
            remedy=f"name a folder that holds {', '.join(sorted(IMAGE_SUFFIXES))} files",
        )
    return found


def list_files(folder: Path) -> list[Path]:
    """Return the plain files of a folder, hidden ones left out, sorted by name.

    Raises:
        DataError: the folder is missing or unreadable.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(
            f"folder {folder} can't be read: {error.strerror}",
            remedy="name a folder that exists and that you may read",
        ) from error
    return [path for path in entries if not path.name.startswith(".") and path.is_file()]


@dataclass(frozen=True)
class ImageFolder:
    """Images without annotations, as calibration takes them.

    Attributes:
        root: the folder that was named.
        paths: the image files, sorted by name.
    """

    root: Path
    paths: tuple[Path, ...]

    @cached_property
    def digest(self) -> str:
        """Sha256 over the names and contents of the images, in order."""
        return digest_files(self.paths)


def open_images(path: Path, limit: int | None = None) -> ImageFolder:
    """Open a folder of images, or a dataset folder whose ``images/`` holds them.

    Args:
        path: the folder.
        limit: at most this many images, the first by name; None takes all.

    Raises:
        DataError: no folder, or no images in it.
    """
    inner = path / "images"
    paths = list_images(inner if inner.is_dir() else path)
    return ImageFolder(path, tuple(paths[:limit]))


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
        raise _undecodable(path, "it is not a JPEG, PNG, BMP, WebP or TIFF image")
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


def _decode(path: Path, data: bytes) -> Image:
    cv2 = opencv()
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except (cv2.error, MemoryError) as error:
        raise _undecodable(path, "the decoder refused it") from error
    if image is None:
        raise _undecodable(path, "its pixel data is broken")
    decoded: Image = image
    return decoded


def _undecodable(path: Path, why: str) -> DataError:
    return DataError(
        f"image {path} can't be decoded: {why}",
        remedy="remove the file or save it again as JPEG or PNG",
    )
