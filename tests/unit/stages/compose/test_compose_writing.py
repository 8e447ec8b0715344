"""How reports write numbers."""

from __future__ import annotations

import pytest

from edgecv_cli.core.result import Drop, Interval
from edgecv_cli.stages.compose import writing


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.25, "+1.2"), (-1.26, "−1.3"), (0.04, "0.0"), (-0.04, "0.0"), (0.0, "0.0"), (None, "")],
)
def test_a_difference_has_a_sign_unless_it_rounds_to_nothing(value, text):
    assert writing.signed(value) == text


def test_what_was_not_measured_is_empty():
    assert writing.fixed(None) == writing.percent(None) == writing.megabytes(None) == ""
    assert writing.between(None) == writing.how(None) == ""
    assert writing.relative_change(None, 1) == writing.relative_change(1, None) == ""
    assert writing.relative_change(0, 1) == ""
    assert writing.sentence(["", ""]) == ""


def test_numbers_carry_their_unit():
    assert writing.fixed(-1.5, 2, " ms") == "−1.50 ms"
    assert writing.percent(0.123) == "12.3 %"
    assert writing.megabytes(1_500_000) == "1.50 MB"
    assert writing.relative_change(4, 3) == "−25 %"
    assert writing.plural(1, "image") == "1 image"
    assert writing.plural(2, "image") == "2 images"


def test_intervals_say_their_level_and_method():
    interval = Interval(low=0.1, high=0.2, level=0.9, method="bootstrap", resamples=50)
    assert writing.between(interval, 1) == "90 % interval 0.1 to 0.2"
    assert writing.how(interval) == "bootstrap, 50 resamples"


def test_a_gain_is_not_called_a_loss():
    assert writing.lost(Drop(points=1.5, relative=0.03)) == "lost 1.50 points (3.0 %)"
    assert writing.lost(Drop(points=-1.5, relative=-0.03)) == "gained 1.50 points (3.0 %)"
