from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference.scalar_detector import letterbox_plan

from edgecv_cli.detector.letterbox import Letterbox
from edgecv_cli.detector.spec import InputSpec

SIDES = st.integers(1, 2000)
RESIZES = st.sampled_from(["letterbox", "letterbox-topleft", "stretch"])


def boxes_inside(height: int, width: int) -> st.SearchStrategy[tuple[float, float, float, float]]:
    x = st.floats(0, width, width=32)
    y = st.floats(0, height, width=32)
    return st.tuples(x, y, x, y).map(
        lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
    )


@given(st.tuples(SIDES, SIDES), st.tuples(st.integers(32, 800), st.integers(32, 800)), RESIZES)
def test_content_lies_where_the_reference_implementations_put_it(image, size, resize):
    fitted = Letterbox.fit(image, InputSpec(size=size, resize=resize))

    assert (*fitted.content, *fitted.offset) == letterbox_plan(image, size, resize)
    for offset, content, side in zip(fitted.offset, fitted.content, size, strict=True):
        assert offset in range(side - content + 1)


@given(st.data())
def test_boxes_come_back_from_the_input_to_the_source(data):
    image = data.draw(st.tuples(st.integers(8, 2000), st.integers(8, 2000)))
    size = data.draw(st.tuples(st.integers(64, 800), st.integers(64, 800)))
    fitted = Letterbox.fit(image, InputSpec(size=size, resize=data.draw(RESIZES)))
    box = np.array([data.draw(boxes_inside(*image))], np.float32)
    scale = np.array([
        fitted.content[1] / image[1], fitted.content[0] / image[0],
    ] * 2)  # fmt: skip
    there = box * scale + np.array([fitted.offset[1], fitted.offset[0]] * 2)

    back = fitted.to_source(there.astype(np.float32))

    # float32 of the input's coordinates, scaled up again
    tolerance = 1e-6 * max(size) / min(scale) + 1e-3
    np.testing.assert_allclose(back, box, atol=tolerance)
    assert back.dtype == np.float32


def test_boxes_are_clipped_to_the_image():
    fitted = Letterbox.fit((100, 200), InputSpec(size=(64, 64)))

    clipped = fitted.to_source(np.array([[-50, -50, 500, 500]], np.float32))

    assert clipped.tolist() == [[0, 0, 200, 100]]


def expected_input(image, spec):
    """Resize, pad and normalise with floats, the long way round."""
    height, width, top, left = letterbox_plan(image.shape[:2], spec.size, spec.resize)
    canvas = np.full((*spec.size, 3), float(spec.pad))
    content = image
    if (height, width) != image.shape[:2]:
        content = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    canvas[top : top + height, left : left + width] = content
    if spec.color == "rgb":
        canvas = canvas[..., ::-1]
    return ((canvas / spec.scale - spec.mean) / spec.std).transpose(2, 0, 1)


@pytest.mark.parametrize("resize", ["letterbox", "letterbox-topleft", "stretch"])
@pytest.mark.parametrize("shape", [(90, 123), (64, 96), (300, 40), (1, 1)])
@pytest.mark.parametrize(
    "changes",
    [
        {"color": "rgb", "scale": 255.0},
        {"color": "bgr"},
        {"color": "rgb", "mean": (103.5, 116.25, 123.75), "std": (57.5, 57.0, 58.5), "pad": 0},
    ],
)
def test_the_input_holds_the_resized_padded_normalised_image(resize, shape, changes):
    spec = InputSpec(size=(64, 96), resize=resize, **changes)
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    out = np.full((3, 64, 96), np.nan, np.float32)

    Letterbox.fit(shape, spec).apply(image, out)

    np.testing.assert_allclose(out, expected_input(image, spec), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "view",
    [lambda image: image[:, ::-1], lambda image: image[::2], lambda image: image[5:70, 7:80],
     lambda image: image[..., ::-1], lambda image: image.transpose(1, 0, 2)],
)  # fmt: skip
def test_views_of_an_image_are_read_like_copies(view):
    image = view(np.random.default_rng(1).integers(0, 256, (80, 90, 3), dtype=np.uint8))
    spec = InputSpec(size=(64, 64))
    fitted = Letterbox.fit(image.shape[:2], spec)
    from_view, from_copy = (np.empty((3, 64, 64), np.float32) for _ in range(2))

    fitted.apply(image, from_view)
    fitted.apply(image.copy(), from_copy)

    np.testing.assert_array_equal(from_view, from_copy)


def test_a_second_image_leaves_nothing_of_the_first():
    spec = InputSpec(size=(64, 64))
    out, fresh = (np.zeros((3, 64, 64), np.float32) for _ in range(2))
    tall, wide = np.full((64, 20, 3), 9, np.uint8), np.full((20, 64, 3), 7, np.uint8)

    Letterbox.fit((64, 20), spec).apply(tall, out)
    Letterbox.fit((20, 64), spec).apply(wide, out)
    Letterbox.fit((20, 64), spec).apply(wide, fresh)

    np.testing.assert_array_equal(out, fresh)


def test_arrays_that_do_not_fit_are_refused():
    fitted = Letterbox.fit((20, 30), InputSpec(size=(64, 64)))
    image, out = np.zeros((20, 30, 3), np.uint8), np.zeros((3, 64, 64), np.float32)

    with pytest.raises(ValueError, match="expected uint8"):
        fitted.apply(np.zeros((30, 20, 3), np.uint8), out)
    with pytest.raises(ValueError, match="expected uint8"):
        fitted.apply(image.astype(np.float32), out)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected float32"):
        fitted.apply(image, np.zeros((64, 64, 3), np.float32))
    with pytest.raises(ValueError, match="can't be fitted"):
        Letterbox.fit((0, 30), InputSpec())
