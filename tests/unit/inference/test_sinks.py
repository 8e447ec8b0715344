"""Annotated pictures on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clips import picture
from fakes import CLASSES, found

from edgecv_cli.core.errors import OutputError
from edgecv_cli.inference.frames import Frame, FrameResult
from edgecv_cli.inference.naming import FileNames
from edgecv_cli.inference.sinks import ImageSink, open_sinks, save_image
from edgecv_cli.media.draw import draw
from edgecv_cli.media.images import read_image
from edgecv_cli.media.video import VideoInfo

BOXES = found((2, 4, 22, 24, 0.9, 1))


def still(source: str) -> FrameResult:
    return FrameResult(Frame(source, 0, picture()), BOXES, CLASSES)


def moving(source: str, index: int) -> FrameResult:
    frame = Frame(source, index, picture(48, 64), index / 12.5, VideoInfo(12.5, 3))
    return FrameResult(frame, BOXES, CLASSES)


def test_names_never_clash_whatever_their_case() -> None:
    names = FileNames()
    given = [names.pick(name) for name in ("a.jpg", "a.jpg", "A.jpg", "a_2.jpg", "a.png", "b")]
    assert given == ["a.jpg", "a_2.jpg", "A_3.jpg", "a_2_2.jpg", "a.png", "b"]


def test_images_keep_their_names(tmp_path: Path) -> None:
    sink = ImageSink(tmp_path)
    for source in ("one/a.png", "two/a.png", "b.jpg", "c.BMP"):
        sink.write(still(source))
    sink.finish({})
    sink.close()
    saved = sorted(path.name for path in tmp_path.iterdir())
    assert saved == ["a.png", "a_2.png", "b.jpg", "c.bmp"]
    assert np.array_equal(read_image(tmp_path / "a.png"), draw(picture(), BOXES, CLASSES))


def test_frames_of_videos_as_images_are_numbered(tmp_path: Path) -> None:
    ImageSink(tmp_path).write(moving("clip.mp4", 12))
    assert [path.name for path in tmp_path.iterdir()] == ["clip_000012.jpg"]


def test_image_without_a_format_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"can't be encoded as \.xyz"):
        save_image(tmp_path / "a.xyz", picture())


def test_open_sinks_by_kind(tmp_path: Path) -> None:
    kinds = ("yolo", "csv", "image", "json", "coco", "video")
    sinks = open_sinks(kinds, tmp_path, note=lambda text: None)
    assert [type(sink).__name__ for sink in sinks] == [
        "ImageSink", "VideoSink", "JsonFileSink", "CocoSink", "CsvSink", "YoloSink",
    ]  # fmt: skip
    for sink in sinks:
        sink.close()
    assert open_sinks((), tmp_path, note=lambda text: None) == []
