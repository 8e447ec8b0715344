"""Every format that a network can be fed in, against scalar loops."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.scalar_detector import letterbox_plan
from reference.scalar_pixels import network_input

from edgecv_cli.detector.letterbox import Letterbox
from edgecv_cli.detector.spec import InputSpec

SIZE = (20, 28)
PLAIN = {"scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
SCALED = {"scale": 255.0, "mean": (0.4, 0.45, 0.5), "std": (0.2, 0.25, 0.3)}


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@settings(max_examples=12)
@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    resize=st.sampled_from(["letterbox", "letterbox-topleft", "stretch"]),
    color=st.sampled_from(["rgb", "bgr"]),
    pad=st.integers(0, 255),
    seed=st.integers(0, 1000),
)
def test_the_input_is_what_the_loops_say(dtype, layout, shape, resize, color, pad, seed):
    values = PLAIN if dtype == "uint8" else SCALED
    spec = InputSpec(
        size=SIZE, resize=resize, color=color, pad=pad, dtype=dtype, layout=layout, **values
    )
    image = np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)
    out = np.empty((3, *SIZE) if layout == "nchw" else (*SIZE, 3), dtype)

    Letterbox.fit(shape, spec).apply(image, out)

    height, width, top, left = letterbox_plan(shape, SIZE, resize)
    content = image
    if (height, width) != shape:
        content = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    expected = network_input(
        content.tolist(), (top, left), SIZE, color=color, pad=pad, dtype=dtype, layout=layout,
        **values,
    )  # fmt: skip
    np.testing.assert_array_equal(out, np.asarray(expected, dtype))


@pytest.mark.parametrize("shape", [(60, 84), (100, 140), (60, 28), (20, 140), (40, 84), (60, 56)])
@pytest.mark.parametrize(
    "values",
    [
        {"scale": 255.0},
        {"scale": 1.0},
        {"scale": 127.5, "std": (2.0, 1.0, 0.5)},
        {"scale": 3.7, "std": (0.229, 0.224, 0.225)},
        {"mean": (0.0, 1.0, 0.0)},
    ],
)
def test_shortcuts_give_the_same_bits(shape, values):
    spec = InputSpec(size=SIZE, resize="stretch", **{**PLAIN, **values})
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    image.reshape(-1)[:256] = range(256)
    out = np.empty((3, *SIZE), np.float32)

    Letterbox.fit(shape, spec).apply(image, out)

    content = cv2.resize(image, SIZE[::-1], interpolation=cv2.INTER_LINEAR)
    expected = network_input(
        content.tolist(), (0, 0), SIZE, color=spec.color, pad=spec.pad, dtype="float32",
        layout="nchw", **{**PLAIN, **values},
    )  # fmt: skip
    np.testing.assert_array_equal(out, np.asarray(expected, np.float32))
