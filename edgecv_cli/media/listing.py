"""Which files of a folder are images, by their names alone."""

from __future__ import annotations

import os
from pathlib import Path

from edgecv_cli.core.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


def list_images(folder: Path) -> list[Path]:
    """Return the image files directly in a folder by their suffix, sorted by name.

    Raises:
        DataError: the folder is missing, unreadable, or holds no image.
    """
    return _some(folder, [path for path in list_files(folder) if is_image_name(path)])


def images_below(folder: Path) -> list[Path]:
    """Return the images in a folder and its subfolders, sorted by path; hidden ones left out.

    Raises:
        DataError: there are none.
    """
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if not name.startswith(".")]
    return _some(folder, sorted(filter(is_image_name, found)))


def is_image_name(path: Path) -> bool:
    """Whether a file is called like an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


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


def files_ending(folder: Path, suffix: str) -> list[Path]:
    """Return the plain files of a folder with a suffix, hidden ones left out, sorted by name.

    Raises:
        DataError: the folder is missing or unreadable.
    """
    return [path for path in list_files(folder) if path.suffix.lower() == suffix]


def _some(folder: Path, found: list[Path]) -> list[Path]:
    if not found:
        raise DataError(
            f"{folder} holds no images",
            remedy=f"name a folder that holds {', '.join(sorted(IMAGE_SUFFIXES))} files",
        )
    return found
