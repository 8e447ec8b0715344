"""What may be said of a percentile after few queries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.measure.early_stopping import percentile_bound, queries_needed, slower_allowed


def test_nothing_is_said_before_one_query_may_be_slower():
    assert slower_allowed(43, 0.9) == -1
    assert slower_allowed(44, 0.9) == slower_allowed(63, 0.9) == 0
    assert slower_allowed(64, 0.9) == 1
    assert percentile_bound(range(63), 0.9) is None
    assert percentile_bound([], 0.9) is None


def test_all_but_one_of_those_that_may_be_slower_are_dropped():
    assert percentile_bound(range(64), 0.9) == 63
    allowed = slower_allowed(1000, 0.9)
    assert percentile_bound(range(1000), 0.9) == 1000 - allowed


def test_the_order_of_the_times_says_nothing():
    assert percentile_bound([5.0, *[1.0] * 80, 7.0], 0.9) == percentile_bound(
        [*[1.0] * 80, 7.0, 5.0], 0.9
    )


@pytest.mark.parametrize("percentile", [0.5, 0.9, 0.97, 0.99, 0.999])
def test_the_fewest_are_the_fewest(percentile):
    needed = queries_needed(percentile)

    assert slower_allowed(needed, percentile) == 1
    assert slower_allowed(needed - 1, percentile) == 0


def test_less_confidence_takes_fewer_queries():
    assert queries_needed(0.9, confidence=0.9) < queries_needed(0.9) < queries_needed(0.99)


@given(st.integers(64, 5000), st.sampled_from([0.5, 0.9]))
def test_more_queries_allow_as_many_or_one_more(queries, percentile):
    allowed = slower_allowed(queries, percentile)

    assert slower_allowed(queries + 1, percentile) - allowed in (0, 1)
    assert allowed < queries * (1 - percentile)
