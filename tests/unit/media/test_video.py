"""Video files: read, written, broken."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from clips import picture, turned_video, write_picture, write_video

from edgecv_cli.core.errors import DataError, OutputError
from edgecv_cli.media.video import VideoReader, VideoWriter, is_video


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_reads_every_frame_with_its_time(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"größe{suffix}", frames=5, rate=12.5)
    with VideoReader(path) as reader:
        assert reader.info.frame_rate == pytest.approx(12.5)
        assert reader.info.frames == 5
        frames = list(reader)
    assert [seconds for seconds, _ in frames] == pytest.approx([0, 0.08, 0.16, 0.24, 0.32])
    assert all(image.shape == (48, 64, 3) for _, image in frames)
    greens = [int(image[20, 10, 1]) for _, image in frames]
    assert greens == sorted(greens)
    assert greens[-1] > 150


def test_rotation_is_applied(tmp_path: Path) -> None:
    with VideoReader(turned_video(tmp_path / "a.mp4")) as reader:
        (_, first), *_ = reader
    assert first.shape == (64, 48, 3)


def test_percent_in_the_name_is_no_image_sequence(tmp_path: Path) -> None:
    path = write_video(tmp_path / "plain.mp4").rename(tmp_path / "a%02d:b.mp4")
    with VideoReader(path) as reader:
        assert len(list(reader)) == 6


@pytest.mark.parametrize(
    "content",
    [b"", b"junk" * 200, b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/x.ts\n", b"ffconcat version 1.0"],
)
def test_what_is_no_container_never_reaches_ffmpeg(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not those of a video container"):
        VideoReader(path)


def test_broken_containers_are_refused_in_silence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_video(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(DataError, match=str(path)):
        VideoReader(path)
    assert capfd.readouterr().err == ""


def test_container_without_a_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi")
    data = path.read_bytes()
    start = data.index(b"movi") + 4
    path.write_bytes(data[:start] + bytes(len(data) - start))
    with pytest.raises(DataError, match="can't be decoded"), VideoReader(path) as reader:
        list(reader)


def test_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(DataError, match="not a plain file"):
        VideoReader(tmp_path / "pipe.mp4")


def test_images_are_no_videos(tmp_path: Path) -> None:
    for suffix in (".jpg", ".png", ".webp", ".bmp", ".tiff"):
        assert not is_video(write_picture(tmp_path / f"a{suffix}").read_bytes()[:400])


def test_transport_stream_by_its_packets() -> None:
    packet = b"\x47" + bytes(187)
    assert is_video(packet * 3)
    assert not is_video(packet + bytes(300))


@pytest.mark.parametrize("rate", [23.976, 29.97, 1.0, 120.0])
def test_written_rate_is_the_real_one(tmp_path: Path, rate: float) -> None:
    writer = VideoWriter(tmp_path / "out", frame_rate=rate, size=(64, 48))
    for shade in (0, 80, 160):
        writer.write(picture(48, 64, shade))
    writer.close()
    assert writer.path.name == "out.mp4"
    assert writer.note is None
    with VideoReader(writer.path) as reader:
        assert reader.info.frame_rate == pytest.approx(rate, rel=1e-3)
        assert len(list(reader)) == 3


def test_frames_of_another_size_are_brought_to_the_first(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "out", frame_rate=10, size=(64, 48))
    writer.write(picture(48, 64))
    writer.write(picture(96, 128))
    writer.close()
    with VideoReader(writer.path) as reader:
        assert [image.shape for _, image in reader] == [(48, 64, 3)] * 2


def test_falls_back_to_motion_jpeg_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cv2.VideoWriter

    class OnlyMjpg:  # wraps, because OpenCV's own classes crash when they are subclassed
        fourcc = staticmethod(real.fourcc)

        def __new__(cls, *args: Any) -> Any:
            return real(*args) if args[2] == real.fourcc(*"MJPG") else real()

    monkeypatch.setattr(cv2, "VideoWriter", OnlyMjpg)
    writer = VideoWriter(tmp_path / "out", frame_rate=10, size=(64, 48))
    writer.write(picture(48, 64))
    writer.close()
    assert writer.path.name == "out.avi"
    assert writer.note is not None
    assert "Motion JPEG" in writer.note


def test_no_folder_to_write_into(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no encoder opened"):
        VideoWriter(tmp_path / "none" / "out", frame_rate=10, size=(64, 48))


def test_what_was_not_written_whole_is_noticed(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "out", frame_rate=10, size=(64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.path.unlink()
    with pytest.raises(OutputError, match="MiB free"):
        writer.close()
    writer.abandon()
