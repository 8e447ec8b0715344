"""Pictures that are worth labelling."""

from __future__ import annotations

import json

import numpy as np
from clips import picture
from fakes import CLASSES, found

from edgecv_cli.inference.frames import Frame, FrameResult
from edgecv_cli.inference.hard import HardSink
from edgecv_cli.inference.sinks import save_image
from edgecv_cli.media.images import read_image
from edgecv_cli.media.video import VideoInfo


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def still(*rows, source="a.png"):
    return FrameResult(Frame(source, 0, picture()), found(*rows), CLASSES)


def moving(index, seconds, score=0.3, source="clip.mp4"):
    return boxes(index, (2, 4, 22, 24, score, 1), seconds=seconds, source=source)


def boxes(index, *rows, seconds=None, source="clip.mp4"):
    frame = Frame(source, index, picture(), seconds, VideoInfo(25.0, 100))
    return FrameResult(frame, found(*rows), CLASSES)


def test_doubtful_pictures_are_kept_as_they_are_with_what_was_found(tmp_path):
    sink = HardSink(tmp_path, save_image, threshold=0.25, rate=6)
    sink.write(still((2, 4, 22, 24, 0.39, 1), (0, 0, 9, 9, 0.9, 0), source="doubtful.png"))
    sink.write(still((2, 4, 22, 24, 0.41, 1), source="sure.png"))
    sink.write(still(source="empty.png"))
    assert tree(tmp_path) == ["hard/doubtful.jpg", "hard/doubtful.json"]
    assert sink.kept == {"hard": 1}
    told = json.loads((tmp_path / "hard/doubtful.json").read_text())
    assert [one["score"] for one in told["detections"]] == [0.39, 0.9]
    kept = read_image(tmp_path / "hard/doubtful.jpg").astype(int)
    assert np.abs(kept - picture()).mean() < 12  # no boxes are drawn


def test_a_video_gives_no_more_than_its_rate(tmp_path):
    sink = HardSink(tmp_path, save_image, threshold=0.25, rate=6)
    for index in range(250):  # 25 s at 10 frames a second
        sink.write(moving(index, index / 10))
    assert sink.kept == {"hard": 3}
    sink.write(moving(0, 0.0))  # the clip begins again
    assert sink.kept == {"hard": 4}


def test_each_video_has_its_own_rate(tmp_path):
    sink = HardSink(tmp_path, save_image, threshold=0.25, rate=6)
    for index in range(120):  # 12 s, two cameras in turn, one of which tells no times
        sink.write(moving(index, index / 10, source="one.mp4"))
        sink.write(moving(index, None, source="two.mp4"))
    assert tree(tmp_path / "hard")[::2] == [
        "one_000000.jpg", "one_000100.jpg", "two_000000.jpg"
    ]  # fmt: skip


def test_what_comes_and_goes_is_hard_where_it_is_not_there(tmp_path):
    sink = HardSink(tmp_path, save_image, threshold=0.25, rate=6)
    stays, blinks = (2, 4, 22, 24, 0.9, 1), (24, 4, 38, 24, 0.9, 2)
    for index, rows in enumerate([(stays, blinks), (stays,), (stays, blinks), (stays,), (stays,)]):
        sink.write(boxes(index, *rows, seconds=index / 25))
    assert tree(tmp_path) == ["hard/clip_000001.jpg", "hard/clip_000001.json"]
    told = json.loads((tmp_path / "hard/clip_000001.json").read_text())
    assert (told["hard"], told["threshold"]) == ("a thing comes and goes", 0.25)
    assert told["missed"] == [{"box": [24, 4, 38, 24], "class_id": 2, "class_name": "hex nut"}]
    assert [one["class_name"] for one in told["detections"]] == ["bolt"]
