"""Range estimators against scalar loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.scalar_ranges import least_error_range, quantile, squared_error

from edgecv_cli.compress.quantization.observe import Counter
from edgecv_cli.compress.quantization.ranges import ESTIMATORS, estimate
from edgecv_cli.compress.quantization.statistics import TensorStats
from edgecv_cli.graph.grid import GridKind

SHAPES = {
    "normal": lambda rng: rng.normal(0, 1, 2000),
    "relu": lambda rng: np.maximum(rng.normal(0, 1, 2000), 0),
    "bent": lambda rng: np.maximum(rng.normal(0, 2, 2000), -0.28),
    "heavy": lambda rng: rng.standard_t(2, 2000),
    "shifted": lambda rng: rng.normal(3, 0.5, 2000),
    "negative": lambda rng: -np.abs(rng.normal(0, 1, 2000)),
}


def stats_of(values):
    counter = Counter()
    counter.add(values.astype(np.float32))
    low, high = float(values.min()), float(values.max())
    return TensorStats(low, high, low, high, counter.histogram())


@pytest.mark.parametrize("shape", sorted(SHAPES))
@pytest.mark.parametrize("bits", [3, 4])
def test_mse_is_as_good_as_the_best_of_all_candidates(shape, bits):
    values = SHAPES[shape](np.random.default_rng(5))[:600]
    steps = 2**bits - 1
    low, high = estimate(stats_of(values), "mse", kind=GridKind(bits))

    best, _, _ = least_error_range(values.tolist(), steps)
    assert low <= 0 <= high
    assert squared_error(values.tolist(), low, high, steps) <= 1.25 * best


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_mse_is_no_worse_than_the_extremes_at_8_bits(shape):
    values = SHAPES[shape](np.random.default_rng(6))
    low, high = estimate(stats_of(values), "mse")
    extremes = squared_error(values, min(values.min(), 0), max(values.max(), 0), 255)

    assert squared_error(values, low, high, 255) <= 1.05 * extremes


def test_mse_cuts_off_an_outlier_and_keeps_it_with_more_bits():
    values = np.append(np.random.default_rng(0).normal(0, 1, 50_000), 20.0)
    stats = stats_of(values)

    assert estimate(stats, "mse", kind=GridKind(4))[1] < 6
    assert estimate(stats, "mse", kind=GridKind(16))[1] == pytest.approx(20, rel=0.02)


def test_a_symmetric_range_mirrors_the_wider_side():
    values = SHAPES["shifted"](np.random.default_rng(1))
    low, high = estimate(stats_of(values), "mse", kind=GridKind(8, signed=True, symmetric=True))

    assert low == -high
    assert high == pytest.approx(values.max(), rel=0.1)


@given(seed=st.integers(0, 2**31), percentile=st.floats(60, 100))
@settings(max_examples=30)
def test_percentiles_are_those_of_the_values(seed, percentile):
    values = np.random.default_rng(seed).normal(0, 1, 400)
    low, high = estimate(stats_of(values), "percentile", percentile)
    width = 2 * (values.max() - values.min()) / 1024
    near = 0.5 / len(values)

    for found, fraction in ((low, 1 - percentile / 100), (high, percentile / 100)):
        assert found >= quantile(values, fraction - near) - width
        assert found <= quantile(values, min(1, fraction + 3 * near)) + width


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("value", [0.0, 2.5, -1.0])
def test_a_constant_tensor_has_a_range_that_holds_it(estimator, value):
    low, high = estimate(stats_of(np.full(100, value)), estimator)

    assert min(low, 0) <= value + 1e-5
    assert max(high, 0) >= value - 1e-5
