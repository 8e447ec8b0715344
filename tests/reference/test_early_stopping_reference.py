"""The rule for few queries against whole numbers and against what MLCommons publishes."""

from __future__ import annotations

from fractions import Fraction

import pytest
from scalar_binomial import chance_of_at_most, most_allowed

from edgecv_cli.measure.early_stopping import percentile_bound, queries_needed, slower_allowed

RISK = Fraction(1, 100)
COUNTS = (1, 2, 10, 43, 44, 45, 63, 64, 65, 100, 458, 459, 500, 661, 662, 663, 1024)


@pytest.mark.parametrize("percentile", [Fraction(1, 2), Fraction(9, 10), Fraction(99, 100)])
def test_as_many_may_be_slower_as_whole_numbers_allow(percentile):
    found = [slower_allowed(count, float(percentile)) for count in COUNTS]

    assert found == [most_allowed(count, 1 - percentile, RISK) for count in COUNTS]


def test_a_stated_time_is_below_the_percentile_in_one_of_a_hundred_runs_at_most():
    for percentile in (Fraction(9, 10), Fraction(99, 100)):
        for count in (64, 200, 662, 1024):
            bound = percentile_bound(range(count), float(percentile))
            if bound is not None:
                slower = count - 1 - int(bound)
                # It lies below the percentile if no more than these are above the percentile.
                assert chance_of_at_most(slower, count, 1 - percentile) <= RISK


def test_the_fewest_queries_are_those_of_mlperf():
    """LoadGen asks for 64 queries in single-stream and 662 in multi-stream."""
    assert queries_needed(0.9) == 64
    assert queries_needed(0.99) == 662


@pytest.mark.parametrize(
    ("queries", "percentile", "margin"), [(24_576, 0.9, 0.005), (270_336, 0.99, 0.0005)]
)
def test_with_the_full_number_of_queries_little_is_given_away(queries, percentile, margin):
    """The counts and margins of error that MLPerf published before it had a rule for few."""
    allowed = slower_allowed(queries, percentile)
    stated = 1 - allowed / queries

    assert percentile < stated < percentile + margin
