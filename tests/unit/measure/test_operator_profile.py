"""Figures of an operator profile, and the words for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.measure.operator_child import Seen
from edgecv_cli.measure.operator_profile import profile_of
from edgecv_cli.measure.operator_words import how_text, integers_text, kinds_text
from edgecv_cli.runtime.operators import OperatorTime

MS = 1e6


def operator(name, kind="Conv", ms=1.0, precision="float32", provider="CPU", calls=1):
    return OperatorTime(name, kind, None, provider, precision, kind == "Conv", (ms * MS,), calls)


def seen(*operators, statistic="median", wall=(7, 9, 20)):
    return Seen(tuple(operators), tuple(int(ms * MS) for ms in wall), statistic, "CPU")


def profiled(*operators, **changes):
    return profile_of(seen(*operators, **changes), [one for one in operators if one.weighted])


def test_operators_and_kinds_are_listed_by_their_share():
    found = profiled(
        operator("a", ms=1), operator("b", "Relu", 5), operator("c", ms=3), operator("d", ms=1)
    )

    assert [(one.name, one.share) for one in found.operators] == [
        ("b", 0.5), ("c", 0.3), ("a", 0.1), ("d", 0.1)
    ]  # fmt: skip
    assert [(one.kind, one.count, one.share) for one in found.kinds] == [
        ("Conv", 3, 0.5), ("Relu", 1, 0.5)
    ]  # fmt: skip
    assert (found.operators_ms, found.operator_count, found.inferences) == (10, 4, 3)
    assert found.precisions == {"float32": 3}
    assert found.providers == {"CPU": pytest.approx(1)}


@pytest.mark.parametrize(("statistic", "whole"), [("median", 9), ("mean", 12)])
def test_whole_inferences_are_stated_by_the_same_statistic(statistic, whole):
    assert profiled(operator("a"), statistic=statistic).inference_ms == whole


def test_only_the_slowest_are_kept():
    found = profiled(*(operator(str(place), ms=place + 1) for place in range(40)))

    assert [one.name for one in found.operators] == [str(place) for place in range(39, 24, -1)]
    assert found.operator_count == 40


def test_a_float_model_has_no_share_of_conversions():
    found = profiled(operator("a"), operator("r", "Reorder"))

    assert found.quantize_share is None
    assert integers_text(found) is None


@pytest.mark.parametrize(
    ("kind", "precision", "share"),
    [
        ("QuantizeLinear", "float32", 0.25),
        ("DequantizeLinear", "int8", 0.25),
        ("FakeQuantize", "float32", 0.25),
        ("Reorder", "int8", 0.25),
        ("Reorder", "float32", 0.0),
        ("Transpose", "int8", 0.0),
    ],
)
def test_conversions_to_and_from_integers_have_a_share(kind, precision, share):
    found = profiled(operator("a", ms=3, precision="int8"), operator("q", kind, 1, precision))

    assert found.quantize_share == share
    told = f"{share:.1%} of the time goes into converting to integers and back"
    assert integers_text(found) == told


def test_where_operators_ran_is_shared_out():
    found = profiled(operator("a", ms=3, provider="GPU.0"), operator("b", ms=1))

    assert found.providers == {"GPU.0": 0.75, "CPU": 0.25}


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=30))
def test_shares_are_of_the_whole(times):
    found = profiled(*(operator(str(n), f"k{n % 4}", ms) for n, ms in enumerate(times)))

    whole = 1.0 if sum(times) * MS > 0 else 0.0
    assert sum(one.share for one in found.kinds) == pytest.approx(whole)
    assert sum(found.providers.values()) == pytest.approx(whole)
    assert all(0 <= one.share <= 1 for one in found.operators)


def test_words_say_that_shares_are_the_finding():
    found = profiled(operator("a", ms=6), operator("b", "Relu", 2))

    assert kinds_text(found) == "Conv 75% (1), Relu 25% (1)"
    told = how_text(found, 6.5)
    assert "median of 3 inferences apart from the timed ones" in told
    assert "8.00 ms in 2 operators, 9.00 ms a whole inference, 6.50 ms when timed" in told
    assert "trust shares and not milliseconds" in told
    assert "when timed" not in how_text(found, None)


def test_kinds_that_are_not_named_are_summed_up():
    found = profiled(*(operator(str(n), f"k{n}", 10 - n) for n in range(8)))

    assert kinds_text(found).endswith(", k5 10% (1), 2 other 13%")
