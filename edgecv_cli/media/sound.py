"""Sound that goes along with an annotated video, packet by packet, never decoded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from edgecv_cli.core.errors import OutputError

_IN_MP4 = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"})


class Sound:
    """The first sound track of a local file."""

    def __init__(self, source: Any, track: Any) -> None:
        self._source, self._track = source, track
        video = source.streams.video
        start = video[0].start_time if video else None
        self._zero = float(start * video[0].time_base) if start is not None else 0.0
        self._packets: Iterator[Any] = iter(source.demux(track))
        self._next: Any = None
        self._target: Any = None

    @classmethod
    def of(cls, av: ModuleType, path: Path) -> Sound | None:
        """Return a file's sound; None where it has none.

        Args:
            av: PyAV.
            path: a file that begins as a video does: FFmpeg also opens lists of other files.

        Raises:
            OutputError: it has some that MP4 does not take.
        """
        try:
            source = av.open(f"file:{path.absolute()}", options={"protocol_whitelist": "file"})
        except (av.FFmpegError, OSError):
            return None
        track = next(iter(source.streams.audio), None)
        kind = None if track is None else track.codec_context.name
        if kind in _IN_MP4:
            return cls(source, track)
        source.close()
        if track is None:
            return None
        raise OutputError(f"MP4 takes no {kind}", remedy="convert the sound to AAC first")

    def announce(self, output: Any) -> None:
        """Give the output a track for it."""
        self._target = output.add_stream_from_template(self._track)

    def begin(self, seconds: float) -> None:
        """Have it begin with the source's picture of this time."""
        self._zero += seconds

    def copy(self, output: Any, until: float) -> None:
        """Write what is heard up to a time in the output's seconds."""
        while True:
            if self._next is None:
                self._next = next(self._packets, None)
            packet = self._next
            if packet is None:
                return
            shift = round(self._zero / self._track.time_base)
            if packet.dts is not None and packet.pts is not None:
                if (packet.dts - shift) * self._track.time_base > until:
                    return
                if packet.dts >= shift:
                    packet.dts, packet.pts = packet.dts - shift, packet.pts - shift
                    packet.stream = self._target
                    output.mux(packet)
            self._next = None

    def close(self) -> None:
        """Let go of the source."""
        self._source.close()
