"""Small pictures and videos on disk, drawn by formula."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def picture(height: int = 30, width: int = 40, shade: int = 0) -> NDArray[np.uint8]:
    """A BGR picture whose left half is blue, right half red; green is `shade`."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2, 0] = 255
    image[:, width // 2 :, 2] = 255
    image[..., 1] = shade
    return image


def write_picture(path: Path, image: NDArray[np.generic] | None = None) -> Path:
    """Write a picture in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded, data = cv2.imencode(path.suffix, picture() if image is None else image)
    assert encoded
    path.write_bytes(data.tobytes())
    return path


def write_video(
    path: Path, frames: int = 6, rate: float = 12.5, size: tuple[int, int] = (64, 48)
) -> Path:
    """Write a video (.mp4: MPEG-4, .avi: Motion JPEG) whose frames get greener."""
    code = {".mp4": "mp4v", ".avi": "MJPG"}[path.suffix]
    fourcc = cv2.VideoWriter.fourcc(*code)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, rate, size)
    assert writer.isOpened()
    for index in range(frames):
        writer.write(picture(size[1], size[0], index * 255 // frames))
    writer.release()
    return path


def turned_video(path: Path) -> Path:
    """An MP4 of 64 x 48 whose track header asks for a quarter turn (ISO 14496-12, 8.3.2)."""
    write_video(path)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    one = 0x10000
    struct.pack_into(">9i", data, matrix, 0, one, 0, -one, 0, 0, 48 * one, 0, 0x40000000)
    path.write_bytes(data)
    return path


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Insert an EXIF block with the given orientation (1..8) into a JPEG."""
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]
