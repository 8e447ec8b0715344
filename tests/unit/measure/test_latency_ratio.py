"""Ratios, and intervals that hold them as often as they say."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.measure.latency_ratio import ratio_over_launches


def world(seed, *, launches, rounds, within, between, ratio=1.0):
    rng = np.random.default_rng(seed)
    a, b = [], []
    for _ in range(launches):
        machine = rng.lognormal(0, 0.5, rounds)  # common to both, and larger than all else
        level = ratio * np.exp(rng.normal(0, between))
        a.append(list(machine * level * np.exp(rng.normal(0, within, rounds))))
        b.append(list(machine))
    return a, b


def test_what_disturbs_both_of_a_pair_cancels():
    a, b = world(0, launches=3, rounds=7, within=0, between=0, ratio=2)

    found = ratio_over_launches(a, b)

    assert (found.ratio, found.low, found.high) == pytest.approx((2, 2, 2))


def test_a_hiccup_in_one_round_counts_for_nothing():
    found = ratio_over_launches([[2.0] * 7 + [90.0]], [[1.0] * 8])
    assert (found.ratio, found.low, found.high) == pytest.approx((2, 2, 2))


@pytest.mark.parametrize("launches", [1, 5, 9])
@pytest.mark.parametrize(
    ("within", "between"), [(0.1, 0.0), (0.1, 0.007), (0.03, 0.01), (0.01, 0.01)]
)
def test_intervals_hold_the_ratio_about_as_often_as_they_say(launches, within, between):
    if launches == 1:
        between = 0  # what processes differ by can't be seen in one
        within = within or 0.1
    held = 0
    for seed in range(200):
        a, b = world(seed, launches=launches, rounds=12, within=within, between=between, ratio=1.3)
        found = ratio_over_launches(a, b)
        held += found.low <= 1.3 <= found.high
    assert 0.86 <= held / 200 <= 0.995


def test_one_process_alone_would_claim_too_much():
    """Rounds pooled over launches, as if they were of one process, leave the truth out."""
    held = pooled = 0
    for seed in range(100):
        a, b = world(seed, launches=5, rounds=40, within=0.02, between=0.01)
        found = ratio_over_launches(a, b)
        held += found.low <= 1 <= found.high
        flat = ratio_over_launches([np.ravel(a).tolist()], [np.ravel(b).tolist()])
        pooled += flat.low <= 1 <= flat.high
    assert held >= 88
    assert pooled < 70


@given(st.lists(st.floats(0.5, 2), min_size=1, max_size=12), st.floats(0.1, 10))
def test_a_ratio_is_turned_by_turning_its_sides(times, scale):
    ones = [scale] * len(times)

    found, turned = ratio_over_launches([times], [ones]), ratio_over_launches([ones], [times])

    assert found.ratio == pytest.approx(1 / turned.ratio)
    assert (found.low, found.high) == pytest.approx((1 / turned.high, 1 / turned.low))
    assert found.low <= found.ratio <= found.high


def test_a_third_of_disturbed_rounds_does_not_decide():
    rng = np.random.default_rng(0)
    ratios, widths = [], []
    for _ in range(100):
        disturbed = rng.random((5, 20)) < 0.3
        noise = np.where(disturbed, rng.normal(0, 0.2, (5, 20)), rng.normal(0, 0.02, (5, 20)))
        found = ratio_over_launches(np.exp(noise).tolist(), np.ones((5, 20)).tolist())
        ratios.append(found.ratio)
        widths.append(found.high - found.low)
    assert np.std(ratios) < 0.005  # the mean of all would have 0.011
    assert np.median(widths) < 0.02


def reference(launches):
    """Mean and half width for launches without trimming, of at most 3 rounds, term by term."""
    values = [value for launch in launches for value in launch]
    mean = sum(values) / len(values)
    within = sum((value - mean) ** 2 for value in values) / (len(values) * (len(values) - 1))
    means = [sum(launch) / len(launch) for launch in launches]
    middle = sum(means) / len(means)
    spread = sum((one - middle) ** 2 for one in means) / (len(means) - 1) / len(means)
    between = max(0.0, spread - within)
    freedom = (within + between) ** 2 / (
        within**2 / (len(values) - 1) + between**2 / (len(means) - 1)
    )
    return mean, within + between, freedom


def test_both_parts_of_the_variance_are_counted():
    launches = [[0.10], [0.14], [0.30]]
    found = ratio_over_launches([[math.exp(one) for one in launch] for launch in launches],
                                [[1.0]] * 3)  # fmt: skip
    mean, variance, freedom = reference(launches)

    assert math.log(found.ratio) == pytest.approx(mean)
    assert freedom == pytest.approx(2)
    assert math.log(found.high / found.ratio) == pytest.approx(
        4.3027 * math.sqrt(variance), rel=1e-3
    )


@pytest.mark.parametrize(("rounds", "t"), [(3, 4.3027), (6, 3.1824), (10, 2.5706), (60, 2.0452)])
def test_more_rounds_bring_the_quantile_down(rounds, t):
    """One launch: Student's t with one less than what trimming keeps."""
    values = [0.01 * (index % 3) for index in range(rounds)]
    found = ratio_over_launches([[math.exp(one) for one in values]], [[1.0] * rounds])

    ordered, cut = sorted(values), rounds // 4
    kept = ordered[cut : rounds - cut]
    clipped = [min(max(value, kept[0]), kept[-1]) for value in values]
    squares = sum((value - statistics.fmean(clipped)) ** 2 for value in clipped)
    half = t * math.sqrt(squares / (len(kept) * (len(kept) - 1)))
    assert math.log(found.high / found.ratio) == pytest.approx(half, rel=3e-3)


@pytest.mark.parametrize(
    ("a", "b"), [([], []), ([[1.0]], [[1.0, 2.0]]), ([[]], [[]]), ([[0.0]], [[1.0]])]
)
def test_what_does_not_pair_has_no_ratio(a, b):
    with pytest.raises(ValueError, match=r"rounds|pairs|positive"):
        ratio_over_launches(a, b)
