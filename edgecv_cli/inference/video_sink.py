"""Annotated videos, drawn and encoded beside the detection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from edgecv_cli.core.errors import OutputError
from edgecv_cli.inference.aside import Aside
from edgecv_cli.inference.frames import Frame, FrameResult, PlainSink
from edgecv_cli.inference.naming import FileNames
from edgecv_cli.media.h264 import H264Writer, pyav
from edgecv_cli.media.images import Image
from edgecv_cli.media.video import ASSUMED_RATE, VideoWriter, holds_video

Note = Callable[[str], None]
_MOST_OPEN = 16  # videos written in turn, as of several cameras: each has an encoder
_UNEVEN = 1.5  # frames that one may stand from its place at an even rate


class VideoSink(PlainSink):
    """One annotated video for each source video; stills are ignored.

    With PyAV it is H.264: each frame at its own time, and with the source's sound. Without it,
    MPEG-4 at the source's frame rate.

    Args:
        folder: to write into.
        note: told what a reader of the log should know.
        drawn: makes the picture of a result.
        sound: whether sound may go along; where pictures are made unrecognisable, voices may not.
    """

    def __init__(
        self,
        folder: Path,
        note: Note,
        drawn: Callable[[FrameResult], Image],
        *,
        sound: bool = True,
    ) -> None:
        self._folder, self._drawn, self._sound = folder, drawn, sound
        self._names = FileNames()
        self._told = note
        self._said: set[str] = set()
        self._open: dict[str, _OneVideo] = {}  # who was written to last stands last
        self._av = pyav()

    def write(self, result: FrameResult) -> None:
        """Append one frame, as soon as the encoder has room for it.

        Raises:
            OutputError: the video can't be written.
        """
        frame = result.frame
        if frame.video is None:
            return
        video = self._open.pop(frame.source, None)
        if video is None:
            if len(self._open) == _MOST_OPEN:
                self._finish_file(next(iter(self._open)))
            video = self._start(frame)
        self._open[frame.source] = video
        video.append(result)

    def finish(self, _summary: Mapping[str, Any], /) -> None:
        """Complete all videos.

        Raises:
            OutputError: one could not be written whole.
        """
        for source in list(self._open):
            self._finish_file(source)

    def close(self) -> None:
        """Let go of videos that were not completed."""
        while self._open:
            self._open.popitem()[1].abandon()

    def _start(self, frame: Frame) -> _OneVideo:
        rate = frame.video.frame_rate if frame.video is not None else None
        stem = self._folder / self._names.pick(Path(frame.source).stem)
        height, width = frame.image.shape[:2]
        writer = self._writer(stem, frame.source, rate or ASSUMED_RATE, (width, height))
        if rate is None and isinstance(writer, VideoWriter):
            self._note(f"{frame.source} does not say its frame rate: written at {ASSUMED_RATE:g}")
        return _OneVideo(writer, self._drawn, rate or ASSUMED_RATE)

    def _writer(
        self, stem: Path, source: str, rate: float, size: tuple[int, int]
    ) -> H264Writer | VideoWriter:
        if self._av is not None:
            try:
                return self._h264(self._av, stem, source, rate, size)
            except OutputError as error:
                self._note(f"{error.problem}; MPEG-4 instead, without sound")
        else:
            self._note(
                "videos are written in MPEG-4, which browsers may not play, and without sound; "
                "for H.264: pip install edgecv[video]"
            )
        writer = VideoWriter(stem, frame_rate=rate, size=size)
        if writer.note is not None:
            self._note(writer.note)
        return writer

    def _h264(
        self, av: ModuleType, stem: Path, source: str, rate: float, size: tuple[int, int]
    ) -> H264Writer:
        path = Path(source)
        sound = path if self._sound and holds_video(path) else None
        writer = H264Writer(av, stem, frame_rate=rate, size=size, sound=sound)
        if not self._sound:
            self._note("videos are without sound: a voice tells who it is")
        elif writer.lost is not None:
            self._note(f"{writer.path.name} is without sound: {writer.lost}")
        return writer

    def _note(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._told(text)

    def _finish_file(self, source: str) -> None:
        finished = self._open.pop(source)
        try:
            finished.finish()
        finally:
            finished.abandon()
        if finished.uneven:
            self._note(
                f"{source} has frames at uneven times, which were written evenly; "
                "pip install edgecv[video] keeps their times"
            )


class _OneVideo:
    """A video being written, in a thread of its own."""

    def __init__(
        self,
        writer: H264Writer | VideoWriter,
        drawn: Callable[[FrameResult], Image],
        rate: float,
    ) -> None:
        self._writer, self._drawn, self._rate = writer, drawn, rate
        self._even = isinstance(writer, VideoWriter)
        self._first: float | None = None
        self._count = 0
        self.uneven = False
        self._aside = Aside(self._append, name="edgecv-encoder")

    def append(self, result: FrameResult) -> None:
        """Have a frame drawn and encoded."""
        self._aside.put(result)
        seconds = result.frame.timestamp
        if self._even and seconds is not None:
            self._first = seconds if self._first is None else self._first
            place = (seconds - self._first) * self._rate
            self.uneven |= abs(place - self._count) > _UNEVEN
        self._count += 1

    def finish(self) -> None:
        """Wait for the last frame, and complete the file."""
        self._aside.finish()
        self._writer.close()

    def abandon(self) -> None:
        """Let go of the file as it is; harmless when repeated."""
        self._aside.abandon()
        self._writer.abandon()

    def _append(self, result: FrameResult) -> None:
        image = self._drawn(result)
        if isinstance(self._writer, VideoWriter):
            self._writer.write(image)
        else:
            self._writer.write(image, result.frame.timestamp)
