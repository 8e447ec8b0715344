"""Which of two int8 forms convert-openvino keeps, and why."""

from __future__ import annotations

import pytest

from edgecv_cli.stages.convert_openvino_choice import Contender, Speed, choose

QUICKER, SLOWER, UNSHOWN = Speed(1.2, 1.1, 1.3), Speed(0.8, 0.7, 0.9), Speed(1.1, 0.9, 1.3)


def kept(fits, speed, prefer="balanced"):
    first, second = (
        Contender(name, "mAP", fit) for name, fit in zip(("edgecv", "NNCF"), fits, strict=True)
    )
    return choose(first, second, speed, prefer)


@pytest.mark.parametrize(
    ("fits", "speed", "prefer", "place", "why"),
    [
        ((0.5, 0.4), QUICKER, "balanced", 1, "faster"),
        ((0.4, 0.5), SLOWER, "balanced", 0, "faster"),
        ((0.4, 0.5), UNSHOWN, "balanced", 1, "more accurate"),
        ((0.5, 0.4), UNSHOWN, "balanced", 0, "more accurate"),
        ((0.5, 0.4), None, "balanced", 0, "more accurate"),
        ((0.4, 0.5), SLOWER, "accuracy", 1, "more accurate"),
        ((0.5, 0.5), QUICKER, "accuracy", 1, "faster"),
        ((0.5, 0.4), UNSHOWN, "speed", 1, "faster"),
        ((None, None), QUICKER, "balanced", 1, "faster"),
        ((None, None), None, "speed", 0, "equal"),
        ((0.5, 0.5), UNSHOWN, "balanced", 0, "equal"),
    ],
)
def test_speed_that_is_shown_comes_first_unless_accuracy_is_preferred(
    fits, speed, prefer, place, why
):
    found, said = kept(fits, speed, prefer)

    assert found == place
    assert said.startswith(f"{('edgecv', 'NNCF')[place]}'s int8 is kept, {why}")


def test_both_figures_are_said_and_only_those_that_there_are():
    assert (
        "mAP 0.5000 of edgecv's, 0.4000 of NNCF's; NNCF's runs at 1.20 x"
        in kept((0.5, 0.4), QUICKER)[1]
    )
    assert "mAP" not in kept((None, 0.4), QUICKER)[1]
    assert "x the speed" not in kept((0.5, 0.4), None)[1]
    assert kept((None, None), None)[1].endswith("not measured")
