"""What a network is fed: the picture in every place of a batch, and what else it takes."""

from __future__ import annotations

import numpy as np
import pytest

from edgecv_cli.core.errors import ConfigError, EngineError, ModelError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.feeding import InputFeed, fed_as
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec

SIZE = (16, 24)
IMAGE = TensorSpec("images", (1, 3, *SIZE), "float32")
PICTURE = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)


def detector(extra=None, **changes) -> DetectorSpec:
    given = {"name": "images", "size": SIZE, "scale": 255.0, **changes}
    return DetectorSpec(
        family="yolov8", input=InputSpec(**given), outputs=OutputSpec(), classes=("a",),
        boxes="cxcywh", extra_inputs=extra or {},
    )  # fmt: skip


def test_a_fixed_batch_gets_the_picture_in_every_place():
    one, four = InputFeed((IMAGE,), detector()), InputFeed(
        (TensorSpec("images", (4, 3, *SIZE), "float32"),), detector()
    )  # fmt: skip

    one.fill(PICTURE)
    four.fill(PICTURE)

    assert (one.batch, four.batch) == (1, 4)
    for place in range(4):
        np.testing.assert_array_equal(four.feeds["images"][place], one.feeds["images"][0])


@pytest.mark.parametrize("shape", [(None, 3, *SIZE), (None, 3, None, None), (1, 3, None, 24)])
def test_open_axes_are_the_specs(shape):
    feed = InputFeed((TensorSpec("images", shape, "float32"),), detector())

    assert feed.feeds["images"].shape == (1, 3, *SIZE)


def test_pictures_of_other_sizes_get_other_padding():
    feed = InputFeed((IMAGE,), detector())
    pictures = [PICTURE, PICTURE[:15], PICTURE[:15] // 2, PICTURE[:, :10], PICTURE]

    for picture in pictures:
        feed.fill(picture)
        fresh = InputFeed((IMAGE,), detector())
        fresh.fill(picture)
        np.testing.assert_array_equal(feed.feeds["images"], fresh.feeds["images"])


def test_the_arrays_stay_the_same_ones():
    feed = InputFeed((IMAGE,), detector())
    before = feed.feeds["images"]

    feed.fill(PICTURE)

    assert feed.feeds["images"] is before
    assert before.any()


@pytest.mark.parametrize(
    ("told", "tensor", "expected"),
    [
        ("input-hw", TensorSpec("x", (1, 2), "int64"), [[16, 24]]),
        ("input-wh", TensorSpec("x", (None, 2), "float32"), [[24.0, 16.0]]),
        ("input-hw", TensorSpec("x", (None, None), "int32"), [[16, 24]]),
        ("input-hw", TensorSpec("x", (2,), "int64"), [16, 24]),
        ("ones", TensorSpec("x", (1, 2), "float16"), [[1.0, 1.0]]),
        ("ones", TensorSpec("x", (None, 1, 2), "float32"), [[[1.0, 1.0]]]),
        ((0.5, 2.0), TensorSpec("x", (None, 2), "float32"), [[0.5, 2.0]]),
        ((0.25,), TensorSpec("x", (), "float32"), 0.25),
        ((0.25,), TensorSpec("x", (None,), "float32"), [0.25]),
    ],
)
def test_other_inputs_are_fed_what_the_spec_says(told, tensor, expected):
    for inputs in ((IMAGE, tensor), (tensor, IMAGE)):
        array = InputFeed(inputs, detector({"x": told})).feeds["x"]

        assert array.tolist() == expected
        assert array.dtype == tensor.dtype


def test_other_inputs_have_the_pictures_batch():
    inputs = (
        TensorSpec("images", (3, 3, *SIZE), "float32"), TensorSpec("x", (None, 2), "int64"),
        TensorSpec("y", (3, 2), "int64"),
    )  # fmt: skip

    feeds = InputFeed(inputs, detector({"x": "input-hw", "y": "input-hw"})).feeds

    assert feeds["x"].tolist() == feeds["y"].tolist() == [[16, 24]] * 3


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_network_decides_layout_and_width_of_a_float(dtype, layout):
    shape = (1, 3, *SIZE) if layout == "nchw" else (1, *SIZE, 3)
    tensor = TensorSpec("other", shape, dtype)

    fed = fed_as((tensor,), detector(name="images"))

    assert (fed.input.dtype, fed.input.layout) == (dtype, layout)
    assert InputFeed((tensor,), detector()).feeds["other"].dtype == dtype


@pytest.mark.parametrize(
    ("tensor", "changes", "words"),
    [
        (TensorSpec("images", (1, 3, *SIZE), "uint8"), {}, "spec feeds float32, but the model"),
        (IMAGE, {"dtype": "uint8", "scale": 1.0}, "spec feeds uint8, but the model"),
        (TensorSpec("images", (1, 3, 32, 24), "float32"), {}, "spec feeds images of 16x24"),
        (TensorSpec("images", (1, 3, *SIZE), "float64"), {}, "but the model takes images float64"),
        (TensorSpec("images", (2**20, 3, *SIZE), "float32"), {}, "too large"),
    ],
)
def test_a_picture_that_would_be_fed_wrongly_is_refused(tensor, changes, words):
    with pytest.raises(ModelError, match=words):
        InputFeed((tensor,), detector(**changes))


def test_what_nothing_explains_is_asked_for_by_its_name():
    inputs = (IMAGE, TensorSpec("im_shape", (1, 2), "float32"))

    with pytest.raises(EngineError, match="im_shape") as caught:
        InputFeed(inputs, detector())

    assert "extra_inputs: {im_shape: input-hw}" in caught.value.remedy


@pytest.mark.parametrize(
    "tensor",
    [
        TensorSpec("x", (1, 3), "float32"),
        TensorSpec("x", (2**40, 2), "float32"),
        TensorSpec("x", (1, 2), "tensor(string)"),
    ],
)
def test_numbers_that_do_not_fill_an_input_are_refused(tensor):
    with pytest.raises(ConfigError, match="do not fill"):
        InputFeed((IMAGE, tensor), detector({"x": "input-hw"}))


def test_two_pictures_are_told_apart_by_name_alone():
    inputs = (TensorSpec("left", IMAGE.shape, "float32"), TensorSpec("right", IMAGE.shape, "uint8"))

    with pytest.raises(EngineError, match="no input 'images', but left, right"):
        InputFeed(inputs, detector())


def test_bytes_are_not_scaled_twice():
    with pytest.raises(ValueError, match="as they are"):
        InputSpec(dtype="uint8", scale=255.0)
    with pytest.raises(ValueError, match="as they are"):
        InputSpec(dtype="uint8", mean=(1.0, 0.0, 0.0))
