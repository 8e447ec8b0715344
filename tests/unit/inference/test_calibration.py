"""Images as input tensors, by the detector's own rules."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import InterruptedByUser
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.letterbox import Letterbox
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec
from edgecv_cli.inference.calibration import CalibrationFeed
from edgecv_cli.media.images import read_image

SPEC = DetectorSpec(
    family="yolov8", input=InputSpec(size=(64, 96), scale=255.0), outputs=OutputSpec(),
    classes=("a",), boxes="cxcywh",
)  # fmt: skip
INPUTS = (TensorSpec("images", (1, 3, 64, 96), "float32"),)


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for index, shape in enumerate([(40, 60, 3), (100, 30, 3), (64, 96, 3)]):
        path = tmp_path / f"bild ü {index}.png"
        data = cv2.imencode(".png", rng.integers(0, 256, shape, np.uint8))[1]
        path.write_bytes(data.tobytes())
        paths.append(path)
    return paths


def test_every_image_is_prepared_as_for_inference(images):
    feed = CalibrationFeed(images, INPUTS, SPEC, Context())

    tensors = [arrays["images"].copy() for arrays in feed]

    assert feed.used == images
    assert feed.skipped == []
    for path, tensor in zip(images, tensors, strict=True):
        image = read_image(path)
        wanted = np.zeros((3, 64, 96), np.float32)
        Letterbox.fit(image.shape[:2], SPEC.input).apply(image, wanted)
        assert tensor.shape == (1, 3, 64, 96)
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(tensor[0], wanted)
        assert 0 <= tensor.min() <= tensor.max() <= 1


def test_images_that_do_not_decode_are_skipped_and_named(images, tmp_path):
    empty, text, cut = (tmp_path / name for name in ("empty.jpg", "text.png", "cut.png"))
    empty.write_bytes(b"")
    text.write_text("not an image")
    cut.write_bytes(images[0].read_bytes()[:60])
    gone = tmp_path / "gone.png"
    order = [empty, images[0], text, cut, images[1], gone]

    feed = CalibrationFeed(order, INPUTS, SPEC, Context())
    count = sum(1 for _ in feed)

    assert count == 2
    assert feed.used == images[:2]
    assert [line.partition(":")[0] for line in feed.skipped] == [
        "empty.jpg", "text.png", "cut.png", "gone.png",
    ]  # fmt: skip
    assert all(len(line.partition(": ")[2]) > 5 for line in feed.skipped)


def test_no_image_at_all_yields_nothing():
    feed = CalibrationFeed([], INPUTS, SPEC, Context())

    assert list(feed) == []
    assert feed.used == []


def test_iterating_again_starts_anew(images, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"x")
    feed = CalibrationFeed([*images, bad], INPUTS, SPEC, Context())

    first = sum(1 for _ in feed)
    second = sum(1 for _ in feed)

    assert first == second == 3
    assert feed.used == images
    assert len(feed.skipped) == 1


def test_ctrl_c_ends_between_two_images(images):
    class After:
        polls = 0

        def check(self):
            self.polls += 1
            if self.polls > 2:
                raise InterruptedByUser

    feed = CalibrationFeed(images, INPUTS, SPEC, replace(Context(), cancel=After()))

    with pytest.raises(InterruptedByUser):
        list(feed)
    assert len(feed.used) == 2
