"""Intervals of percentiles hold what other runs of the same kind show."""

from __future__ import annotations

import numpy as np
import pytest

from edgecv_cli.measure.latency_intervals import latency_intervals


def blocks(seed, *, rounds=40, count=30, between=0.1, base=10e6):
    """Rounds that share what the machine did meanwhile, in nanoseconds."""
    rng = np.random.default_rng(seed)
    level = base * np.exp(rng.normal(0, between, rounds))
    return [[int(x) for x in one * rng.lognormal(0, 0.02, count)] for one in level]


@pytest.mark.parametrize("name", ["p50_ms", "p90_ms", "mean_ms"])
def test_nineteen_in_twenty_intervals_hold_the_truth(name):
    many = np.concatenate(blocks(10_000, rounds=20_000)) / 1e6
    truth = {"p50_ms": np.median(many), "p90_ms": np.percentile(many, 90), "mean_ms": many.mean()}
    held = 0
    for seed in range(60):
        found = latency_intervals([blocks(seed)], seed=seed)[name]
        held += found.low <= truth[name] <= found.high
    assert held >= 52  # 57 on average; rounds of a block move together


def test_samples_of_one_round_do_not_count_as_many():
    """Ten times the samples in each round say next to nothing more about the rounds."""
    few, many = (latency_intervals([blocks(3, count=count)])["p50_ms"] for count in (20, 200))
    assert (many.high - many.low) > 0.6 * (few.high - few.low)


def test_fps_counts_the_images_of_a_batch():
    found = latency_intervals([[[10_000_000] * 3, [10_000_000] * 3]], batch=4)
    assert found["fps"].low == pytest.approx(400)
    assert found["p99_ms"].low == found["p99_ms"].high == pytest.approx(10)


def test_one_round_has_no_interval():
    assert latency_intervals([[[1, 2, 3]]]) == {}


def test_the_seed_decides():
    assert latency_intervals([blocks(1)], seed=5) == latency_intervals([blocks(1)], seed=5)
    assert latency_intervals([blocks(1)], seed=5) != latency_intervals([blocks(1)], seed=6)


def test_what_launches_differ_by_widens_the_interval():
    """Five launches 10 % apart hold less than one launch as long as all of them."""
    apart = [blocks(seed, rounds=8, between=0, base=10e6 + seed * 0.5e6) for seed in range(5)]
    together = latency_intervals([[block for launch in apart for block in launch]])["p50_ms"]
    found = latency_intervals(apart)["p50_ms"]
    assert found.high - found.low > 1.3 * (together.high - together.low)
