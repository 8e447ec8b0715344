"""Boxes made unrecognisable."""

from __future__ import annotations

import numpy as np
import pytest
from clips import picture, write_picture
from fakes import CLASSES, FakePredictor, found, loaded

from edgecv_cli.config.detect import DetectConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import UsageError
from edgecv_cli.detector.profiles import Profile
from edgecv_cli.inference.frames import Frame, FrameResult
from edgecv_cli.inference.privacy import Hider, hiding_profile
from edgecv_cli.media.images import read_image
from edgecv_cli.media.video import VideoInfo
from edgecv_cli.stages.detect import run_detect


def noise(height=60, width=80):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_a_box_keeps_a_few_colours_and_all_else_stays():
    image = noise()
    hider = Hider({1})
    after = hider.hide(Frame("a", 0, image), found((20, 10, 60, 50, 0.9, 1), (0, 0, 9, 9, 0.9, 0)))

    inside = after.image[6:54, 16:64]
    assert len(np.unique(inside.reshape(-1, 3), axis=0)) <= 36
    outside = np.ones(image.shape[:2], bool)
    outside[6:54, 16:64] = False
    assert np.array_equal(after.image[outside], image[outside])
    assert np.array_equal(image, noise())  # the caller's picture is as it was
    assert hider.hidden == 1


def test_boxes_at_and_beyond_the_edge_are_hidden_as_far_as_they_are_there():
    hider = Hider({0})
    rows = [(-20, -20, 10, 10, 0.9, 0), (79, 59, 80.5, 60, 0.9, 0), (200, 200, 300, 300, 0.9, 0)]
    after = hider.hide(Frame("a", 0, noise()), found(*rows, (np.nan, 0, 5, 5, 0.9, 0)))
    assert hider.hidden == 2
    assert not np.array_equal(after.image[:10, :10], noise()[:10, :10])


def test_nothing_to_hide_copies_nothing():
    frame = Frame("a", 0, noise())
    assert Hider({0}).hide(frame, found((0, 0, 9, 9, 0.9, 1))) is frame


def test_doubtful_boxes_are_looked_for_and_hidden_but_not_shown(tmp_path):
    assert hiding_profile(Profile(0.25, 0.65, 3, 3, multi_label=False)).threshold == 0.1
    source = write_picture(tmp_path / "in.png", noise())
    doubtful = FakePredictor([found((10, 10, 50, 50, 0.12, 1))])
    config = DetectConfig.from_options(
        model=tmp_path / "m.onnx",
        sources=[str(source)],
        output=tmp_path / "out",
        save=["image"],
        blur=["BOLT"],
    )

    summary = run_detect(config, Context(), load=lambda _: loaded(doubtful))

    assert (summary.detections, summary.hidden) == (0, 1)
    after = read_image(tmp_path / "out" / "in.png")
    assert len(np.unique(after[12:48, 12:48].reshape(-1, 3), axis=0)) <= 36


def test_a_class_that_is_not_there_is_refused_with_the_nearest(tmp_path):
    source = write_picture(tmp_path / "in.png", picture())
    config = DetectConfig.from_options(
        model=tmp_path / "m.onnx", sources=[str(source)], blur=["hexnut"]
    )
    with pytest.raises(UsageError, match="--blur: the model has no class 'hexnut'") as caught:
        run_detect(config, Context(), load=lambda _: loaded())
    assert "hex nut" in caught.value.remedy


def seen(index, *rows, source="clip.mp4"):
    hider = Hider({1})
    frame = Frame(source, index, noise(), index / 10, VideoInfo(10.0, None))
    boxes = found(*rows)
    return FrameResult(hider.hide(frame, boxes), boxes, CLASSES, hidden=hider.boxes(boxes))


def test_a_box_that_is_missed_stays_hidden_where_it_was_for_ten_frames():
    hider = Hider({1})
    box = (20, 10, 60, 50, 0.9, 1)
    frames = [hider.linger(seen(0, box)), *(hider.linger(seen(at)) for at in range(1, 12))]
    few = [len(np.unique(one.frame.image[10:50, 20:60].reshape(-1, 3), axis=0)) for one in frames]
    assert [count <= 36 for count in few] == [True] * 11 + [False]
    assert hider.hidden == 10


def test_what_is_found_again_moves_on_and_no_other_source_is_touched():
    hider = Hider({1})
    first, second = seen(0, (20, 10, 60, 50, 0.9, 1)), seen(1, (26, 10, 66, 50, 0.2, 1))
    hider.linger(first)
    assert hider.linger(second).frame is second.frame
    other = seen(0, source="other.mp4")
    assert hider.linger(other).frame is other.frame
    assert hider.hidden == 0
