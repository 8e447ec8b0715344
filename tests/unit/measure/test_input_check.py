"""Which inputs are told to be nothing but one number."""

from __future__ import annotations

import numpy as np
import pytest

from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.measure.input_check import zero_inputs
from edgecv_cli.measure.pictures import network_feeds


def test_zeros_are_told_by_the_input_s_name():
    line = zero_inputs({"images": np.zeros((1, 3, 8, 8), np.float32)})

    assert line is not None
    assert "'images' (zeros)" in line


def test_a_grey_picture_is_told_with_its_number():
    line = zero_inputs({"images": np.full((1, 3, 8, 8), 114, np.uint8)})

    assert line is not None
    assert "'images' (114 throughout)" in line


@pytest.mark.parametrize("place", [0, 1500, -1])
def test_one_other_number_anywhere_is_enough(place):
    picture = np.zeros((1, 3, 32, 32), np.float32)
    picture.flat[place] = 0.5

    assert zero_inputs({"images": picture}) is None


def test_sizes_and_thresholds_are_meant_so():
    feeds = {
        "images": np.arange(192, dtype=np.float32).reshape(1, 3, 8, 8),
        "orig_target_sizes": np.array([[640, 640]], np.int64),
        "threshold": np.zeros((), np.float32),
        "scale": np.zeros((1,), np.float32),
    }

    assert zero_inputs(feeds) is None


def test_a_size_of_zero_by_zero_is_told():
    assert "'size' (zeros)" in str(zero_inputs({"size": np.zeros((1, 2), np.int64)}))


def test_an_input_that_differs_in_one_set_is_none():
    black, white = np.zeros((1, 3, 8, 8)), np.ones((1, 3, 8, 8))

    assert zero_inputs([{"images": black}, {"images": white}]) is None
    assert zero_inputs([{"images": black}, {"images": black}]) is not None


def test_flags_of_one_value_are_read():
    assert "'mask' (True throughout)" in str(zero_inputs({"mask": np.ones((1, 64), np.bool_)}))


def test_nothing_is_fed_to_nothing():
    assert zero_inputs([]) is None
    assert zero_inputs({}) is None


def test_what_pictures_can_not_fill_is_found_in_what_is_fed_today():
    inputs = (
        TensorSpec("images", (1, 3, 32, 32), "float32"),
        TensorSpec("tokens", (1, 16), "int64"),
    )

    line = zero_inputs(network_feeds(inputs, count=2, seed=0))

    assert line is not None
    assert "'tokens' (zeros)" in line
    assert "'images'" not in line
