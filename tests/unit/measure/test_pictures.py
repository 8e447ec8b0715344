"""Inputs that a network is timed on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgecv_cli.core.errors import EngineError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec
from edgecv_cli.measure.pictures import natural_pictures, network_feeds


def test_pictures_have_the_spectrum_of_natural_scenes():
    pictures = natural_pictures(4, (128, 128), seed=0)

    assert pictures.shape == (4, 128, 128, 3)
    power = np.abs(np.fft.fft2(pictures.mean(axis=3) - pictures.mean())).mean(axis=0)
    octaves = [power[0, low : 2 * low].mean() for low in (2, 4, 8, 16, 32)]
    assert all(1.4 < a / b < 2.9 for a, b in itertools.pairwise(octaves))
    assert 80 < pictures.mean() < 140
    assert 35 < pictures.std() < 75


def test_pictures_depend_on_the_seed_alone():
    first = natural_pictures(1, (32, 48), seed=1)

    assert np.array_equal(first, natural_pictures(1, (32, 48), seed=1))
    assert not np.array_equal(first, natural_pictures(1, (32, 48), seed=2))


def test_inputs_are_made_as_the_spec_says():
    spec = DetectorSpec(
        family="yolov8", outputs=OutputSpec(), classes=("a",), boxes="cxcywh",
        input=InputSpec(
            size=(16, 24), scale=255.0, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), color="bgr"
        ),
        extra_inputs={"sizes": "input-wh"},
    )  # fmt: skip
    inputs = (
        TensorSpec("images", (None, 3, 16, 24), "float32"), TensorSpec("sizes", (None, 2), "int64")
    )  # fmt: skip

    (feeds,) = network_feeds(inputs, count=1, seed=3, spec=spec)

    picture = natural_pictures(1, (16, 24), 3)[0].astype(np.float32)
    expected = ((picture / 255 - 0.5) / 0.25).transpose(2, 0, 1)[None]
    assert feeds["images"].dtype == np.float32
    np.testing.assert_allclose(feeds["images"], expected, atol=1e-6)
    assert feeds["sizes"].tolist() == [[24, 16]]


def test_channels_may_come_last_and_bytes_stay_bytes():
    tensor = TensorSpec("image", (1, 16, 24, 3), "uint8")

    (feeds,) = network_feeds((tensor,), count=1, seed=3)

    assert np.array_equal(feeds["image"][0], natural_pictures(1, (16, 24), 3)[0])


def test_an_open_size_has_to_be_given():
    tensor = TensorSpec("images", (None, 3, None, None), "float32")

    with pytest.raises(EngineError, match="open") as caught:
        network_feeds((tensor,), count=1, seed=0)
    assert "--input-size" in caught.value.remedy
    (feeds,) = network_feeds((tensor,), count=1, seed=0, size=(32, 40))
    assert feeds["images"].shape == (1, 3, 32, 40)


def test_what_is_no_picture_gets_numbers():
    inputs = (TensorSpec("scale", (1, 2), "float32"), TensorSpec("sizes", (None, 2), "int64"))

    first, second = network_feeds(inputs, count=2, seed=0)

    assert not np.array_equal(first["scale"], second["scale"])
    assert first["sizes"].dtype == np.int64
    assert first["sizes"].shape == (1, 2)
