"""Options of evaluate that depend on each other."""

from __future__ import annotations

import pytest

from edgecv_cli.config.evaluate import EvaluateConfig
from edgecv_cli.core.errors import ConfigError, EdgeCVError, UsageError


def config(**options):
    return EvaluateConfig.from_options(model="m.onnx", data="d", **options)


def test_conditions_are_read_and_written_back():
    made = config(fail_if=["map < 0.3", "map_small<.1"])

    assert [str(one) for one in made.fail_if] == ["map < 0.3", "map_small < 0.1"]
    assert made.model_dump(mode="json")["fail_if"] == ["map < 0.3", "map_small < 0.1"]
    assert EvaluateConfig.model_validate(made.model_dump()) == made


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("p95_ms > 3", "'p95_ms' is not measured; name one of: map, map50"),
        ("map < -2%", "no baseline"),
        ("map <= 0.3", "such as 'map < 0.30'"),
        ("map < high", "write NAME < NUMBER"),
    ],
)
def test_conditions_that_can_not_be_judged_are_refused(text, words):
    with pytest.raises(ConfigError) as caught:
        config(fail_if=[text])
    assert words in caught.value.problem


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fail_if": ["map < 0.5", "map > 0.4"]}, "leave nothing that passes"),
        ({"strict": True}, "--strict"),
        ({"against_spec": "s.yaml"}, "--against-spec"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, words):
    with pytest.raises(EdgeCVError) as caught:
        config(**options)
    assert isinstance(caught.value, UsageError)
    assert words in caught.value.problem
    assert caught.value.remedy
