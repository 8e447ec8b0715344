"""Adaptive rounding: masks, and never worse than to the nearest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecv_cli.compress.quantization.rounding import (
    choose_rounding,
    decode_mask,
    encode_mask,
    nearest,
    rounding_error,
)
from edgecv_cli.core.errors import ConfigError


def problem(seed, groups, rows, inputs, limit):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(inputs, inputs))
    data = np.maximum(rng.normal(size=(groups, 3 * inputs, inputs)) @ mix, 0)
    gram = data.transpose(0, 2, 1) @ data / data.shape[1]
    weights = rng.normal(size=(groups, rows, inputs))
    ratios = weights / np.abs(weights).max(axis=-1, keepdims=True) * limit
    return ratios, gram, rng.normal(size=ratios.shape)


@given(shape=st.lists(st.integers(1, 9), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_a_mask_survives_being_written_and_read(shape, seed):
    up = np.random.default_rng(seed).random(shape) < 0.5

    assert (decode_mask(encode_mask(up), shape) == up).all()


@pytest.mark.parametrize("text", ["", "AAAA", "not base64"])
def test_a_mask_of_another_number_of_weights_is_refused(text):
    with pytest.raises(ConfigError, match="9 weights"):
        decode_mask(text, (1, 3, 3))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 999),
    groups=st.integers(1, 3),
    rows=st.integers(1, 4),
    inputs=st.sampled_from([3, 11, 30, 70]),
    limit=st.sampled_from([7, 63, 127]),
    pulled=st.booleans(),
)
def test_no_row_is_worse_than_rounded_to_the_nearest(seed, groups, rows, inputs, limit, pulled):
    ratios, gram, pull = problem(seed, groups, rows, inputs, limit)
    given_pull = pull if pulled else None

    up = choose_rounding(ratios, gram, limit=limit, pull=given_pull)

    before, after = (
        rounding_error(ratios, mask, gram, limit=limit, pull=given_pull)
        for mask in (nearest(ratios), up)
    )
    assert (after <= before + 1e-9 * np.abs(before)).all()


def test_correlated_inputs_leave_much_less_error_than_the_nearest():
    ratios, gram, _ = problem(5, 1, 16, 90, 7)
    up = choose_rounding(ratios, gram, limit=7)

    before = rounding_error(ratios, nearest(ratios), gram, limit=7).sum()
    assert rounding_error(ratios, up, gram, limit=7).sum() < 0.7 * before


def test_inputs_that_are_always_zero_do_no_harm():
    ratios, gram, _ = problem(1, 1, 4, 20, 63)
    up = choose_rounding(ratios, np.zeros_like(gram), limit=63)

    assert (up == nearest(ratios)).all()
