"""Objects cut out, and pictures that are worth labelling."""

from __future__ import annotations

import json

import numpy as np
import pytest
from clips import picture
from fakes import CLASSES, found

from edgecv_cli.inference.frames import Frame, FrameResult
from edgecv_cli.inference.picked import CropSink, HardSink, cut_out
from edgecv_cli.inference.sinks import save_image
from edgecv_cli.media.images import read_image
from edgecv_cli.media.video import VideoInfo


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def still(*rows, source="a.png", classes=CLASSES):
    return FrameResult(Frame(source, 0, picture()), found(*rows), classes)


def moving(index, seconds, score=0.3):
    frame = Frame("clip.mp4", index, picture(), seconds, VideoInfo(25.0, 100))
    return FrameResult(frame, found((2, 4, 22, 24, score, 1)), CLASSES)


def test_objects_become_pictures_of_their_class(tmp_path):
    sink = CropSink(tmp_path, save_image)
    rows = [(2, 4, 22, 24, 0.9, 1), (-5, -5, 9.5, 9.2, 0.9, 2), (50, 50, 60, 60, 0.9, 1)]
    sink.write(still(*rows))
    sink.write(still(rows[0]))
    assert tree(tmp_path) == [
        "crops/bolt/a_01.jpg",
        "crops/bolt/a_01_2.jpg",
        "crops/hex_nut/a_02.jpg",
    ]
    assert read_image(tmp_path / "crops/bolt/a_01.jpg").shape == (20, 20, 3)
    assert read_image(tmp_path / "crops/hex_nut/a_02.jpg").shape == (10, 10, 3)


@pytest.mark.parametrize(
    ("name", "folder"), [("../../etc", "etc"), ("a/b", "a_b"), ("..", "unnamed"), ("", "unnamed")]
)
def test_a_class_can_not_name_a_folder_elsewhere(tmp_path, name, folder):
    CropSink(tmp_path, save_image).write(still((2, 4, 22, 24, 0.9, 0), classes=(name,)))
    assert tree(tmp_path) == [f"crops/{folder}/a_01.jpg"]


def test_what_lies_outside_is_no_picture():
    assert cut_out(picture(), [50.0, 50.0, 60.0, 60.0]) is None
    assert cut_out(picture(), [-9.0, -9.0, 0.0, 5.0]) is None


def test_doubtful_pictures_are_kept_as_they_are_with_what_was_found(tmp_path):
    sink = HardSink(tmp_path, save_image, threshold=0.25, rate=6)
    sink.write(still((2, 4, 22, 24, 0.39, 1), (0, 0, 9, 9, 0.9, 0), source="doubtful.png"))
    sink.write(still((2, 4, 22, 24, 0.41, 1), source="sure.png"))
    sink.write(still(source="empty.png"))
    assert tree(tmp_path) == ["hard/doubtful.jpg", "hard/doubtful.json"]
    assert sink.kept == 1
    told = json.loads((tmp_path / "hard/doubtful.json").read_text())
    assert [one["score"] for one in told["detections"]] == [0.39, 0.9]
    kept = read_image(tmp_path / "hard/doubtful.jpg").astype(int)
    assert np.abs(kept - picture()).mean() < 12  # no boxes are drawn


def test_a_video_gives_no_more_than_its_rate(tmp_path):
    sink = HardSink(tmp_path, save_image, threshold=0.25, rate=6)
    for index in range(250):  # 25 s at 10 frames a second
        sink.write(moving(index, index / 10))
    assert sink.kept == 3
    sink.write(moving(0, 0.0))  # the clip begins again
    assert sink.kept == 4
