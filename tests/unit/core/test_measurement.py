"""Percentiles, summaries and bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.core.measurement import (
    bootstrap_interval,
    distribution_ns,
    outliers_ns,
    percentile,
    summarise_ns,
)


def test_percentiles_interpolate_linearly():
    assert percentile([1, 2, 3, 4, 5], 50) == 3
    assert percentile([1, 2], 75) == pytest.approx(1.75)
    assert percentile([7], 99) == 7


def test_no_samples_have_no_percentile():
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 50)


def test_a_summary_is_in_milliseconds():
    summary = summarise_ns([n * 1_000_000 for n in range(1, 102)])

    assert (summary.p50_ms, summary.p90_ms, summary.p95_ms, summary.p99_ms) == pytest.approx(
        (51, 91, 96, 100)
    )
    assert summary.mean_ms == pytest.approx(51)
    assert summary.samples == 101
    assert summary.spread == pytest.approx(50 / 51)


def test_an_interval_leaves_out_undefined_resamples():
    values = np.array([np.nan, *np.linspace(0, 1, 1001), np.nan])

    interval = bootstrap_interval(values, level=0.9)

    assert (interval.low, interval.high) == pytest.approx((0.05, 0.95))
    assert (interval.resamples, interval.level) == (1001, 0.9)


def test_an_interval_around_a_point_drops_the_bias_of_resampling():
    values = np.linspace(0.5, 0.7, 1001)

    interval = bootstrap_interval(values, point=0.5)

    assert (interval.low, interval.high) == pytest.approx((0.405, 0.595))
    assert interval.method == "bootstrap, bias removed"


def test_no_defined_resample_is_no_interval():
    with pytest.raises(ValueError, match="no samples"):
        bootstrap_interval(np.full(3, np.nan), point=0.5)


def test_far_outliers_are_counted():
    assert outliers_ns([*range(100, 200), 10_000]) == 1
    assert outliers_ns(range(100, 200)) == 0


nanoseconds = st.lists(st.integers(1, 10**10), min_size=1, max_size=300)


@given(nanoseconds)
def test_a_distribution_counts_every_sample_once(samples):
    made = distribution_ns(samples)
    assert made.samples == len(samples)
    assert made.from_ms == min(samples) / 1e6
    assert made.max_ms == max(samples) / 1e6
    assert len(made.counts) <= 40
    assert made.slower <= max(1, 0.02 * len(samples))


@given(nanoseconds)
def test_each_bin_holds_the_samples_between_its_edges(samples):
    made = distribution_ns(samples)
    low, width = min(samples), round(made.bin_ms * 1e6)
    for place, count in enumerate(made.counts):
        begin = low + place * width
        assert count == sum(begin <= sample < begin + width for sample in samples)
    assert made.slower == sum(sample >= low + len(made.counts) * width for sample in samples)
    assert made.until_ms == pytest.approx((low + len(made.counts) * width) / 1e6)


def test_one_hiccup_does_not_flatten_the_rest():
    made = distribution_ns([*range(1_000_000, 1_400_000, 1000), 900_000_000])
    assert made.slower >= 1
    assert made.until_ms < 2
    assert made.max_ms == 900
    assert min(made.counts) > 0


def test_no_samples_have_no_distribution():
    with pytest.raises(ValueError, match="no samples"):
        distribution_ns([])
