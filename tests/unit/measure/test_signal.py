"""Signal to noise against plain sums, and what is not a number."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.measure.parting import TensorParting, first_apart, steepest
from edgecv_cli.measure.signal import Apart


@given(seed=st.integers(0, 9999), images=st.integers(1, 4))
def test_decibels_are_those_of_the_sums_over_all_images(seed, images):
    rng = np.random.default_rng(seed)
    pairs = [(rng.normal(size=(2, 3)), rng.normal(size=(2, 3))) for _ in range(images)]
    apart = Apart()
    for a, b in pairs:
        apart.add(a.astype(np.float32), b.astype(np.float32))

    signal = noise = largest = 0.0
    for pair in pairs:
        a, b = (side.astype(np.float32).ravel().tolist() for side in pair)
        for x, y in zip(a, b, strict=True):
            signal, noise = signal + x * x, noise + (x - y) ** 2
            largest = max(largest, abs(x - y))
    assert apart.decibels == pytest.approx(10 * math.log10(signal / noise))
    assert apart.largest == pytest.approx(largest)
    assert not apart.same


def test_the_same_has_no_noise():
    apart = Apart()
    apart.add(np.ones(3, np.float32), np.ones(3, np.float32))
    assert (apart.same, apart.decibels, apart.largest) == (True, None, 0.0)


def test_what_is_not_finite_is_no_figure_and_not_the_same():
    apart = Apart()
    apart.add(np.ones(2, np.float32), np.array([1, np.nan], np.float32))
    apart.add(np.ones(2, np.float32), np.zeros(2, np.float32))
    assert (apart.same, apart.decibels) == (False, None)


def test_one_image_of_the_same_does_not_hide_another():
    apart = Apart()
    apart.add(np.ones(2), np.ones(2))
    apart.add(np.ones(2), np.array([1.0, 0.9]))
    assert apart.decibels == pytest.approx(10 * math.log10(4 / 0.01))


def test_shapes_must_be_those_of_one_tensor():
    with pytest.raises(ValueError, match="shapes"):
        Apart().add(np.ones((1, 3)), np.ones((3, 1)))


def test_the_first_and_the_steepest_are_told():
    rows = [
        TensorParting(tensor=name, op="Conv", same=snr is None, snr_db=snr)
        for name, snr in (("a", None), ("b", 40.0), ("c", 38.0), ("d", 39.0), ("e", 20.0))
    ]
    assert first_apart(rows).tensor == "b"
    assert steepest(rows).tensor == "e"
    assert first_apart(rows[:1]) is None
    assert steepest(rows[:2]) is None
