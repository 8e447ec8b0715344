"""Reading and writing video files through OpenCV's FFmpeg."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

from edgecv_cli.core.errors import DataError, OutputError
from edgecv_cli.media.images import MAX_PIXELS, Image
from edgecv_cli.media.opencv import opencv

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".flv"}
)
_ATOMS = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"})  # MP4, MOV
_MAGIC = (
    b"\x1a\x45\xdf\xa3",  # EBML: MKV, WebM
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"FLV\x01",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF: WMV
)
ASSUMED_RATE = 30.0
"""Frames per second written where a source does not say its own."""


@dataclass(frozen=True)
class VideoInfo:
    """What a container says of its video.

    Attributes:
        frame_rate: frames per second, or None where it is absent or absurd.
        frames: how many there should be, or None; containers often only estimate it.
    """

    frame_rate: float | None
    frames: int | None


def is_video(head: bytes) -> bool:
    """Whether a file's first 400 bytes are those of a video container.

    Asked before FFmpeg sees the file: FFmpeg also opens playlists, which name further files
    and addresses.
    """
    return (
        head.startswith(_MAGIC)
        or head[4:8] in _ATOMS
        or (head.startswith(b"RIFF") and head[8:12] == b"AVI ")
        or (len(head) >= 377 and head[0] == head[188] == head[376] == 0x47)  # MPEG-TS packets
    )


def holds_video(path: Path) -> bool:
    """Whether a path is a plain file that begins as a video container does."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        with path.open("rb") as file:
            return is_video(file.read(400))
    except OSError:
        return False


class VideoReader:
    """The frames of one video file, turned as its metadata says.

    Args:
        path: a local file.

    Raises:
        DataError: unreadable, no video container, no decodable stream, or larger than
            200 megapixels a frame.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _refuse_other_files(path)
        self._cv2 = opencv()
        # FFmpeg by name, and an absolute path: OpenCV would otherwise take names with % for
        # image sequences, and FFmpeg names with a colon for protocols.
        self._capture = self._cv2.VideoCapture(str(path.absolute()), self._cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise _undecodable(path, "no video stream in it can be read")
        self._refuse_huge()
        rate = self._property(self._cv2.CAP_PROP_FPS)
        frames = self._property(self._cv2.CAP_PROP_FRAME_COUNT)
        self.info = VideoInfo(
            frame_rate=rate if 0 < rate <= 1000 else None,
            frames=int(frames) if 0 < frames < 2**40 else None,
        )

    def __iter__(self) -> Iterator[tuple[float, Image]]:
        """Yield (seconds from the start, BGR uint8 [H, W, 3]).

        Raises:
            DataError: not one frame can be decoded.
        """
        index = 0
        while True:
            read, image = self._capture.read()
            if not read or image is None:
                break
            yield self._seconds(index), image
            index += 1
        if index == 0:
            raise _undecodable(self.path, "it opens, but not one frame can be decoded")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the file."""
        self.close()

    def close(self) -> None:
        """Release the file; harmless when repeated."""
        self._capture.release()

    def _property(self, key: int) -> float:
        value = float(self._capture.get(key))
        return value if math.isfinite(value) else 0.0

    def _seconds(self, index: int) -> float:
        """The frame's own timestamp, or its place at the stated rate where it has none."""
        seconds = self._property(self._cv2.CAP_PROP_POS_MSEC) / 1000
        if seconds > 0 or index == 0:
            return max(seconds, 0.0)
        return index / (self.info.frame_rate or ASSUMED_RATE)

    def _refuse_huge(self) -> None:
        width = self._property(self._cv2.CAP_PROP_FRAME_WIDTH)
        height = self._property(self._cv2.CAP_PROP_FRAME_HEIGHT)
        if width * height > MAX_PIXELS:
            self.close()
            raise DataError(
                f"video {self.path} has frames of {width:.0f} x {height:.0f} pixels; the limit "
                f"is {MAX_PIXELS // 1_000_000} megapixels",
                remedy="scale it down first",
            )


class VideoWriter:
    """An annotated video: MPEG-4 in MP4, or Motion JPEG in AVI where that encoder is missing.

    OpenCV reports no failed write, so :meth:`close` opens the file again and looks.

    Args:
        stem: path without suffix; :attr:`path` has the one that was used.
        frame_rate: frames per second.
        size: (width, height) in pixels; every frame is brought to it.

    Raises:
        OutputError: no encoder works, or the folder can't be written to.
    """

    def __init__(self, stem: Path, *, frame_rate: float, size: tuple[int, int]) -> None:
        self._cv2 = opencv()
        self._size = size
        self._written = 0
        self.note: str | None = None
        self.path, self._writer = self._open(stem, frame_rate)

    def _open(self, stem: Path, frame_rate: float) -> tuple[Path, Any]:
        for suffix, code in ((".mp4", "mp4v"), (".avi", "MJPG")):
            path = stem.with_name(stem.name + suffix)
            fourcc = self._cv2.VideoWriter.fourcc(*code)
            writer = self._cv2.VideoWriter(
                str(path.absolute()), self._cv2.CAP_FFMPEG, fourcc, frame_rate, self._size
            )
            if writer.isOpened():
                if code == "MJPG":
                    self.note = f"{path.name}: no MPEG-4 encoder here, written as Motion JPEG"
                return path, writer
        raise OutputError(
            f"video {stem.name} can't be written: no encoder opened ({_space(stem.parent)})",
            remedy="check the output folder, or leave video out of --save",
        )

    def write(self, image: Image) -> None:
        """Append one BGR uint8 [H, W, 3] frame."""
        if (image.shape[1], image.shape[0]) != self._size:
            image = self._cv2.resize(image, self._size, interpolation=self._cv2.INTER_AREA)
        self._writer.write(image)
        self._written += 1

    def close(self) -> None:
        """Finish the file and check that it is whole.

        Raises:
            OutputError: frames are missing in what was written, as on a full disk.
        """
        self._writer.release()
        if self._written and not self._is_whole(self._cv2):
            raise OutputError(
                f"video {self.path.name} could not be written whole ({_space(self.path.parent)})",
                remedy="free some space, or name an output on another disk",
            )

    def abandon(self) -> None:
        """Let go of the file without looking at it; harmless when repeated."""
        self._writer.release()

    def _is_whole(self, cv2: ModuleType) -> bool:
        capture = cv2.VideoCapture(str(self.path.absolute()), cv2.CAP_FFMPEG)
        try:
            return bool(
                capture.isOpened() and capture.get(cv2.CAP_PROP_FRAME_COUNT) >= self._written
            )
        finally:
            capture.release()


def _refuse_other_files(path: Path) -> None:
    try:
        if not path.is_file():
            raise DataError(f"video {path} is not a plain file", remedy="name a video file")
        with path.open("rb") as file:
            head = file.read(400)
    except OSError as error:
        raise DataError(
            f"video {path} can't be read: {error.strerror}",
            remedy="check that the file exists and that you may read it",
        ) from error
    if not is_video(head):
        raise _undecodable(path, "its first bytes are not those of a video container")


def _undecodable(path: Path, why: str) -> DataError:
    return DataError(
        f"video {path} can't be decoded: {why}",
        remedy="convert it first: ffmpeg -i VIDEO -c:v libx264 -pix_fmt yuv420p out.mp4",
    )


def _space(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free // 1024**2} MiB free there"
    except OSError as error:
        return error.strerror or "the folder is gone"
