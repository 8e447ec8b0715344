"""Conditions on an evaluation's figures."""

from __future__ import annotations

import pytest
from detection_sets import dataset, random_set

from edgecv_cli.config.fail_if import ACCURACY_METRICS, FailIf
from edgecv_cli.core.errors import UsageError
from edgecv_cli.measure.accuracy_gates import judge_accuracy, require_sizes
from edgecv_cli.measure.detailed_accuracy import detailed_accuracy

CLASS_MAP = {0: 1, 1: 2, 2: 3}


@pytest.fixture(scope="module")
def found():
    data, detected = random_set(3, images=30)
    return detailed_accuracy(data, detected, CLASS_MAP)


def outcome(found, text, *, strict=False):
    conditions = [FailIf.parse(text, ACCURACY_METRICS)]
    (one,) = judge_accuracy(found, conditions, model="a/m.onnx", engine="e", strict=strict)
    return one


def test_it_fails_where_the_whole_interval_is_on_the_wrong_side(found):
    interval = found.accuracy.interval

    below = outcome(found, f"map < {interval.high + 0.01:.3f}")
    inside = outcome(found, f"map < {(found.accuracy.map + interval.high) / 2:.3f}")
    above = outcome(found, f"map < {interval.low - 0.01:.3f}")

    assert [(one.met, one.shown) for one in (below, inside, above)] == [
        (False, True),
        (True, False),
        (True, True),
    ]
    assert (below.value, below.low, below.high) == (
        found.accuracy.map,
        interval.low,
        interval.high,
    )
    assert below.text.startswith("m.onnx on e: fails by 'map < ")


def test_strict_goes_by_the_figure_alone(found):
    bound = (found.accuracy.map + found.accuracy.interval.high) / 2

    assert not outcome(found, f"map < {bound:.3f}", strict=True).met


@pytest.mark.parametrize("metric", ACCURACY_METRICS)
def test_every_metric_has_a_figure_with_an_interval(found, metric):
    one = outcome(found, f"{metric} > 1.5")

    assert one.met
    assert one.low <= one.value <= one.high


def test_sizes_that_do_not_occur_are_refused_before_the_work():
    data = dataset([[(0, 0, 20, 20)]], [[1]])

    require_sizes([FailIf("map_small", "<", 0.1, False), FailIf("map", "<", 0.1, False)], data)
    with pytest.raises(UsageError, match="large objects") as caught:
        require_sizes([FailIf("map_large", "<", 0.1, False)], data)
    assert caught.value.remedy
