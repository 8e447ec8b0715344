"""How a benchmark shares out its time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.measure.schedule import (
    MIN_ROUNDS,
    Budget,
    block_count,
    interleaved,
    is_steady,
    plan,
)

MS = 1e6


@pytest.mark.parametrize(
    ("inference_ns", "count"), [(10 * MS, 5), (2.5 * MS, 20), (500 * MS, 1), (0, 10_000)]
)
def test_a_block_lasts_about_50_ms(inference_ns, count):
    assert block_count(inference_ns) == count


@pytest.mark.parametrize(
    ("medians", "steady"),
    [
        ([], False),
        ([100, 100], False),
        ([100, 100, 100], True),
        ([100, 101.9, 100], True),
        ([200, 100, 100], False),
        ([200, 100, 100, 100, 100], True),
        ([100, 100, 100, 300], True),  # one disturbed block does not start it again
        ([100, 110, 120, 130, 140], False),
    ],
)
def test_warm_up_ends_when_the_running_median_stands_still(medians, steady):
    assert is_steady(medians) is steady


def test_rounds_fill_the_seconds():
    made = plan([10 * MS, 30 * MS], Budget(2))

    assert made.launches == (40,)
    assert made.blocks == (5, 2)
    assert made.settling == (1, 1)


def test_a_slow_row_stretches_the_blocks_of_a_fast_one():
    made = plan([1000 * MS, 10 * MS], Budget(8))

    assert made.rounds == 8
    assert made.blocks == (1, 100)
    assert made.settling == (0, 1)  # caches are warm long before a slow one ends


def test_there_are_always_enough_rounds_to_pair():
    made = plan([2000 * MS], Budget(1))

    assert (made.rounds, made.blocks) == (MIN_ROUNDS, (1,))


def test_rounds_are_shared_out_among_launches():
    assert plan([10 * MS], Budget(2.1, launches=5)).launches == (9, 9, 8, 8, 8)


def test_a_launch_has_enough_rounds_to_tell_its_own_spread():
    assert plan([1000 * MS], Budget(9, launches=5)).launches == (5, 4)
    assert plan([1000 * MS], Budget(5, launches=5)).launches == (5,)


@given(
    st.lists(st.floats(1e4, 1e9), min_size=1, max_size=5),
    st.integers(1, 5000),
    st.integers(1, 9),
)
def test_samples_are_taken_of_every_row_and_hardly_more(inference_ns, samples, launches):
    made = plan(inference_ns, Budget(5, samples=samples, launches=launches))

    for block in made.blocks:
        assert samples <= block * made.rounds < samples + max(made.rounds, MIN_ROUNDS)


def test_rounds_can_be_given():
    assert plan([10 * MS], Budget(99, rounds=3)).rounds == 3


def test_every_round_holds_every_row_in_an_order_of_its_own():
    rounds = interleaved(4, 30, seed=1)

    assert all(sorted(order) == [0, 1, 2, 3] for order in rounds)
    assert len({tuple(order) for order in rounds}) > 10
    assert {order[0] for order in rounds} == {0, 1, 2, 3}
    assert rounds == interleaved(4, 30, seed=1)
    assert rounds != interleaved(4, 30, seed=2)
