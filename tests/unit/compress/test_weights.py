"""Integers of weights against a scalar loop, and what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.compress.quantization.weights import bias_shift, quantize_weights


def scalar_round(value, step, limit):
    quotient = value / step
    floor = int(np.floor(quotient))
    rest = quotient - floor
    up = rest > 0.5 or (rest == 0.5 and floor % 2 == 1)
    return max(-limit, min(limit, floor + int(up)))


@pytest.mark.parametrize(("bits", "limit"), [(8, 127), (7, 63)])
def test_each_channel_is_rounded_on_its_own_scale(bits, limit):
    weight = np.random.default_rng(0).normal(0, 1, (4, 3, 2, 2)).astype(np.float32)
    weight[2] *= 100

    stored = quantize_weights(weight, None, axis=0, bits=bits, input_scale=0.1)

    for channel in range(4):
        step = float(np.float32(max(abs(x) for x in weight[channel].ravel().tolist()) / limit))
        assert stored.scales[channel] == pytest.approx(step, rel=1e-6)
        for value, integer in zip(
            weight[channel].ravel().tolist(), stored.weight[channel].ravel().tolist(), strict=True
        ):
            assert integer == scalar_round(value, float(stored.scales[channel]), limit)


@given(
    seed=st.integers(0, 2**31),
    scale=st.floats(1e-6, 1e6),
    bits=st.sampled_from([7, 8]),
    axis=st.sampled_from([0, 1]),
)
def test_no_weight_moves_by_more_than_half_a_step(seed, scale, bits, axis):
    weight = (np.random.default_rng(seed).normal(0, 1, (5, 6)) * scale).astype(np.float32)

    stored = quantize_weights(weight, None, axis=axis, bits=bits, input_scale=1.0)

    steps = stored.scales[:, None] if axis == 0 else stored.scales[None, :]
    error = np.abs(weight.astype(np.float64) - stored.weight * steps.astype(np.float64))
    assert (error <= steps * (0.5 + 1e-5)).all()


@given(seed=st.integers(0, 2**31))
def test_seven_bit_pairs_fit_into_sixteen_bits(seed):
    """The promise of cpu-x86: u8 x s8 products added in pairs never saturate int16."""
    weight = np.random.default_rng(seed).normal(0, 1, (3, 8)).astype(np.float32)
    stored = quantize_weights(weight, None, axis=0, bits=7, input_scale=1.0)
    integers = stored.weight.astype(np.int64)

    pairs = 255 * integers[:, :, None] + 255 * integers[:, None, :]

    assert pairs.max() <= 2**15 - 1
    assert pairs.min() >= -(2**15)


def test_a_channel_of_zeros_stays_zero():
    weight = np.zeros((2, 3), np.float32)
    weight[1] = 1.0

    stored = quantize_weights(weight, None, axis=0, bits=8, input_scale=1.0)

    assert (stored.weight[0] == 0).all()
    assert np.isfinite(stored.scales).all()
    assert (stored.scales > 0).all()


def test_a_bias_that_would_leave_int32_gets_a_coarser_scale():
    weight = np.full((1, 2), 1e-9, np.float32)
    bias = np.asarray([5.0], np.float32)

    stored = quantize_weights(weight, bias, axis=0, bits=8, input_scale=1e-3)

    assert abs(5.0 / (1e-3 * float(stored.scales[0]))) < 2**31


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_shift_restores_each_channels_mean(groups):
    rng = np.random.default_rng(groups)
    inputs, outputs = 4, 8
    weight = rng.normal(0, 1, (outputs, inputs // groups, 3, 3)).astype(np.float32)
    means = rng.normal(1, 1, inputs)
    stored = quantize_weights(weight, None, axis=0, bits=7, input_scale=1.0)

    shift = bias_shift(weight, stored, means, groups)

    for out in range(outputs):
        wanted = 0.0
        for index in range(inputs // groups):
            source = (out // (outputs // groups)) * (inputs // groups) + index
            for row in range(3):
                for column in range(3):
                    kept = float(stored.weight[out, index, row, column]) * float(stored.scales[out])
                    error = float(weight[out, index, row, column]) - kept
                    wanted += error * means[source]
        assert shift[out] == pytest.approx(wanted, rel=1e-4, abs=1e-6)
