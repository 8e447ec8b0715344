"""Annotated videos on disk, with PyAV and without."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import picture, write_video
from fakes import CLASSES, found

from edgecv_cli.core.errors import OutputError
from edgecv_cli.inference import video_sink
from edgecv_cli.inference.frames import Frame, FrameResult
from edgecv_cli.inference.sinks import drawn
from edgecv_cli.inference.video_sink import VideoSink
from edgecv_cli.media.h264 import pyav
from edgecv_cli.media.video import VideoInfo, VideoReader

BOXES = found((2, 4, 22, 24, 0.9, 1))
WITHOUT = (
    "videos are written in MPEG-4, which browsers may not play, and without sound; for H.264: "
)


def still(source: str) -> FrameResult:
    return FrameResult(Frame(source, 0, picture()), BOXES, CLASSES)


def moving(
    source: str, index: int, rate: float | None = 12.5, seconds: float | None = None
) -> FrameResult:
    at = index / 12.5 if seconds is None else seconds
    frame = Frame(source, index, picture(48, 64, 20 * index), at, VideoInfo(rate, 3))
    return FrameResult(frame, BOXES, CLASSES)


def encoders() -> int:
    return sum(thread.name == "edgecv-encoder" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert encoders() == 0


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_sink, "pyav", lambda: None)


def written(folder: Path, *results: FrameResult, **options: Any) -> list[str]:
    notes: list[str] = []
    sink = VideoSink(folder, notes.append, drawn, **options)
    for result in results:
        sink.write(result)
    sink.finish({})
    sink.close()
    return notes


def times_of(path: Path) -> list[float]:
    with VideoReader(path) as reader:
        return [seconds for seconds, _ in reader]


@pytest.mark.parametrize("kind", ["PyAV", "OpenCV"])
def test_one_video_for_each_source(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "OpenCV":
        monkeypatch.setattr(video_sink, "pyav", lambda: None)
    elif pyav() is None:
        pytest.skip("PyAV is not installed: pip install edgecv[video]")
    notes = written(
        tmp_path,
        moving("x/clip.mp4", 0), moving("y/clip.avi", 0), moving("x/clip.mp4", 1),
        still("a.png"), moving("y/clip.avi", 1), moving("y/clip.avi", 2),
    )  # fmt: skip
    counts = {}
    for path in sorted(tmp_path.iterdir()):
        with VideoReader(path) as reader:
            assert reader.info.frame_rate == pytest.approx(12.5, rel=1e-3)
            greens = [int(image[40, 60, 1]) for _, image in reader]
        assert greens == sorted(greens)
        counts[path.name] = len(greens)
    assert counts == {"clip.mp4": 2, "clip_2.mp4": 3}
    assert [note.startswith(WITHOUT) for note in notes] == ([True] if kind == "OpenCV" else [])


@pytest.mark.usefixtures("without")
def test_no_more_encoders_than_a_machine_has_room_for(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path, lambda text: None, drawn)
    for number in range(20):
        sink.write(moving(f"{number}.mp4", 0))
    assert encoders() == 16
    sink.finish({})
    assert len(list(tmp_path.iterdir())) == 20


@pytest.mark.usefixtures("without")
def test_unknown_frame_rate_is_noted(tmp_path: Path) -> None:
    _, note = written(tmp_path, moving("clip.mp4", 0, rate=None))
    assert note == "clip.mp4 does not say its frame rate: written at 30"


@pytest.mark.usefixtures("without")
@pytest.mark.parametrize(("last", "said"), [(0.2, False), (0.6, True)])
def test_uneven_times_are_said_where_they_are_lost(tmp_path: Path, last: float, said: bool) -> None:
    frames = [moving("clip.mp4", index, seconds=at) for index, at in enumerate((0, 0.08, last))]
    _, *notes = written(tmp_path, *frames)
    assert [("uneven times" in note) for note in notes] == [True] * said


@pytest.mark.usefixtures("without")
def test_closing_without_finishing_lets_go(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path, lambda text: None, drawn)
    sink.write(moving("clip.mp4", 0))
    sink.close()
    sink.close()
    sink.finish({})


class FullDisk:
    """Stands for PyAV, on a disk that is full from the third packet on."""

    class FFmpegError(Exception):
        pass

    class logging:  # noqa: N801
        @staticmethod
        def set_level(level: object) -> None:
            assert level is None

    def __init__(self) -> None:
        self.VideoFrame, self.packets, self.closed = self, 0, 0
        self.codec_context = self

    def open(self, *_: object, **__: object) -> FullDisk:
        return self

    def from_ndarray(self, planes: Any, **_: object) -> FullDisk:
        assert planes.shape == (72, 64)
        return self

    def add_stream(self, *_: object, **__: object) -> FullDisk:
        return self

    def start_encoding(self) -> None:
        """Take the header."""

    def encode(self, frame: object = None) -> object:
        return frame

    def mux(self, _: object) -> None:
        self.packets += 1
        if self.packets > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        self.closed += 1


def test_a_disk_that_fills_up_in_the_encoder_is_said_where_frames_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk()
    monkeypatch.setattr(video_sink, "pyav", lambda: disk)
    sink = VideoSink(tmp_path, lambda text: None, drawn)
    results = [moving("clip.mp4", index) for index in range(12)]
    with pytest.raises(OutputError, match=r"clip\.mp4 can't be written: No space") as caught:
        list(map(sink.write, results))
    sink.close()
    assert "free some space" in caught.value.remedy
    assert disk.closed


@pytest.fixture
def av() -> Any:
    if pyav() is None:
        pytest.skip("PyAV is not installed: pip install edgecv[video]")
    return pyav()


def with_sound(av: Any, path: Path, codec: str = "aac") -> Path:
    """A clip of 10 frames in 0.8 s, with a tone as long."""
    clip = write_video(path.with_name("silent.avi"), frames=10)
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        picture_track = source.streams.video[0]
        video = target.add_stream_from_template(picture_track)
        audio = target.add_stream(codec, rate=8000, layout="mono")
        for packet in source.demux(picture_track):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
        tone = (8000 * np.sin(np.arange(6400) / 3)).astype(np.int16)[None]
        sound = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        sound.rate, sound.pts = 8000, 0
        for heard in (sound, None):
            for packet in audio.encode(heard):
                target.mux(packet)
    clip.unlink()
    return path


def sound_of(av: Any, path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as source:
        if not source.streams.audio:
            return []
        return [
            (round(packet.pts * float(packet.time_base), 2), bytes(packet))
            for packet in source.demux(audio=0)
            if packet.size
        ]


def test_h264_with_the_times_and_the_sound_of_the_source(tmp_path: Path, av: Any) -> None:
    source = with_sound(av, tmp_path / "clip.mkv")
    times = [0.0, 0.08, 0.3, 0.32, 0.55, 0.72]
    (tmp_path / "out").mkdir()
    results = [moving(str(source), place, seconds=at) for place, at in enumerate(times)]

    notes = written(tmp_path / "out", *results)

    path = tmp_path / "out" / "clip.mp4"
    assert notes == []
    with av.open(str(path)) as made:
        assert made.streams.video[0].codec_context.name == "h264"
    assert times_of(path) == pytest.approx(times, abs=0.001)
    before, after = sound_of(av, source), sound_of(av, path)
    heard = [data for at, data in before if at >= 0]  # an encoder's run-up is before that
    assert 3 < len(after) <= len(heard)
    assert [data for _, data in after] == heard[: len(after)]
    assert after[-1][0] <= 0.72


def test_a_stream_that_begins_anew_goes_on(tmp_path: Path, av: Any) -> None:
    times = [5.0, 5.08, 5.08, 5.2, 0.0, 0.08]
    written(tmp_path, *(moving("a.mp4", place, seconds=at) for place, at in enumerate(times)))
    expected = [0.0, 0.08, 0.08, 0.2, 0.28, 0.36]
    assert times_of(tmp_path / "a.mp4") == pytest.approx(expected, abs=0.001)


def test_no_sound_where_nobody_may_be_recognised(tmp_path: Path, av: Any) -> None:
    source = with_sound(av, tmp_path / "clip.mkv")
    (tmp_path / "out").mkdir()
    notes = written(tmp_path / "out", moving(str(source), 0), sound=False)
    assert notes == ["videos are without sound: a voice tells who it is"]
    assert sound_of(av, tmp_path / "out" / "clip.mp4") == []


def test_sound_that_mp4_does_not_take_is_said(tmp_path: Path, av: Any) -> None:
    source = with_sound(av, tmp_path / "clip.mkv", "pcm_s16le")
    (tmp_path / "out").mkdir()
    notes = written(tmp_path / "out", moving(str(source), 0))
    assert notes == ["clip.mp4 is without sound: MP4 takes no pcm_s16le"]
    assert len(times_of(tmp_path / "out" / "clip.mp4")) == 1


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (1920, 8)])
def test_odd_sizes_are_made_even_at_the_edge(
    tmp_path: Path, av: Any, size: tuple[int, int]
) -> None:
    frame = Frame("clip.mp4", 0, picture(*size), 0.0, VideoInfo(None, None))
    assert written(tmp_path, FrameResult(frame, found(), CLASSES)) == []
    with VideoReader(tmp_path / "clip.mp4") as reader:
        ((_, image),) = reader
    assert image.shape[:2] == tuple(side + side % 2 for side in size)


def test_what_h264_does_not_take_becomes_mpeg4(tmp_path: Path, av: Any) -> None:
    frame = Frame("clip.mp4", 0, picture(8, 20000), 0.0, VideoInfo(25.0, 1))
    note, *_ = written(tmp_path, FrameResult(frame, found(), CLASSES))
    assert note.startswith("video clip.mp4 can't be written in H.264")
    assert note.endswith("MPEG-4 instead, without sound")
    (path,) = tmp_path.iterdir()
    assert len(times_of(path)) == 1


def test_a_folder_that_is_gone(tmp_path: Path, av: Any) -> None:
    sink = VideoSink(tmp_path / "none", lambda text: None, drawn)
    with pytest.raises(OutputError, match="can't be written"):
        sink.write(moving("clip.mp4", 0))
    sink.close()
