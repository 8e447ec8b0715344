"""H.264 in MP4 through PyAV, with each frame's own time and the source's sound.

OpenCV's wheels leave the encoder out, for its licence; PyAV's have it.
"""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edgecv_cli.core import require
from edgecv_cli.core.errors import MissingDependencyError, OutputError
from edgecv_cli.core.files import writing
from edgecv_cli.media.images import Image
from edgecv_cli.media.opencv import opencv
from edgecv_cli.media.sound import Sound

_TICKS = 90_000  # a second, as MPEG has them: every usual frame rate is a whole number of them
_BACK_S = 1.0  # a stream whose times fall back by more has begun anew
_OPTIONS = {"preset": "superfast", "crf": "23", "bf": "0"}
"""Half the bytes of MPEG-4 at little more time. No B frames: a frame's time is where it stands."""
_BT601, _LIMITED = 6, 1  # what cvtColor makes (ITU-T H.273, matrix coefficients; AVCOL_RANGE_MPEG)


def pyav() -> ModuleType | None:
    """Return PyAV, kept quiet; None where it is not installed or has no encoder for H.264."""
    try:
        av = require.require("av", pip="edgecv[video]", why="video in H.264")
        av.codec.Codec("libx264", "w")
    except (MissingDependencyError, ValueError, AttributeError):  # its own error is a ValueError
        return None
    av.logging.set_level(None)
    return av


class H264Writer:
    """An annotated video in H.264.

    Args:
        av: from :func:`pyav`.
        stem: path without suffix; :attr:`path` has ``.mp4``.
        frame_rate: frames per second, for frames that come without a time.
        size: (width, height) in pixels; every frame is brought to it.
        sound: a local video file whose sound goes along, untouched.

    Raises:
        OutputError: the encoder does not take frames of this size.

    Attributes:
        lost: why the source's sound is left out; None where it is not, or there is none.
    """

    note: str | None = None

    def __init__(
        self,
        av: ModuleType,
        stem: Path,
        *,
        frame_rate: float,
        size: tuple[int, int],
        sound: Path | None = None,
    ) -> None:
        self._av, self._size, self._rate = av, size, frame_rate
        self._first: float | None = None
        self._count, self._last = 0, -1
        self.path = stem.with_name(stem.name + ".mp4")
        self.lost: str | None = None
        self._sound: Sound | None = None if sound is None else self._heard(sound)
        try:
            self._start()
        except (av.FFmpegError, OSError) as error:
            self.abandon()
            raise _refused(self.path, error) from error

    def write(self, image: Image, seconds: float | None = None) -> None:
        """Append one BGR uint8 [H, W, 3] frame, shown at its time in the source.

        Raises:
            OutputError: it can't be written.
        """
        at = self._time(seconds)
        frame = self._av.VideoFrame.from_ndarray(self._planes(image), format="yuv420p")
        frame.pts, frame.time_base = round(at * _TICKS), Fraction(1, _TICKS)
        frame.pts = self._last = max(frame.pts, self._last + 1)
        self._count += 1
        with writing(Path(self.path.name)):
            self._output.mux(self._stream.encode(frame))
            if self._sound is not None:
                self._sound.copy(self._output, frame.pts / _TICKS)

    def close(self) -> None:
        """Finish the file.

        Raises:
            OutputError: it can't be written whole, as on a full disk.
        """
        try:
            with writing(Path(self.path.name)):
                self._output.mux(self._stream.encode())
                self._output.close()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of the file; harmless when repeated."""
        with suppress(self._av.FFmpegError, OSError):
            self._output.close()
        if self._sound is not None:
            self._sound.close()

    def _heard(self, path: Path) -> Sound | None:
        try:
            return Sound.of(self._av, path)
        except OutputError as error:
            self.lost = error.problem
            return None

    def _start(self) -> None:
        """Write the header; without the sound, where MP4 does not take that."""
        try:
            self._open()
        except (self._av.FFmpegError, ValueError, OSError) as error:
            if self._sound is None:
                raise
            self.abandon()
            self._sound, self.lost = None, str(error)
            self._open()

    def _open(self) -> None:
        self._output: Any = self._av.open(f"file:{self.path.absolute()}", "w", format="mp4")
        rate = Fraction(self._rate).limit_denominator(_TICKS)
        self._stream: Any = self._output.add_stream("libx264", rate=rate, options=_OPTIONS)
        self._stream.width, self._stream.height = (side + side % 2 for side in self._size)
        self._stream.pix_fmt = "yuv420p"
        codec = self._stream.codec_context
        codec.time_base = Fraction(1, _TICKS)
        codec.colorspace, codec.color_range = _BT601, _LIMITED
        codec.open()
        if self._sound is not None:
            self._sound.announce(self._output)
        self._output.start_encoding()

    def _time(self, seconds: float | None) -> float:
        if seconds is None:
            return self._count / self._rate
        if self._first is None:
            self._first = seconds
            if self._sound is not None:
                self._sound.begin(seconds)
        if seconds - self._first < self._last / _TICKS - _BACK_S:
            self._first = seconds - self._last / _TICKS - 1 / self._rate
        return seconds - self._first

    def _planes(self, image: Image) -> Image:
        """Return Y, U and V below each other, [H * 3 / 2, W]; sides are made even at the edge."""
        cv2 = opencv()
        if (image.shape[1], image.shape[0]) != self._size:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        height, width = image.shape[:2]
        if height % 2 or width % 2:
            image = cv2.copyMakeBorder(
                image, 0, height % 2, 0, width % 2, borderType=cv2.BORDER_REPLICATE
            )
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8)


def _refused(path: Path, error: Exception) -> OutputError:
    why = getattr(error, "strerror", None) or str(error)
    return OutputError(
        f"video {path.name} can't be written in H.264: {why}",
        remedy="check the output folder, or leave video out of --save",
    )
