"""Conditions of --fail-if: what is read, what is refused, and which contradict each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.config.fail_if import METRICS, METRICS_BESIDE, FailIf, refuse_contradictions
from edgecv_cli.core.errors import ConfigError, EdgeCVError, UsageError


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("p95_ms > 30", FailIf("p95_ms", ">", 30.0, False)),
        ("p95_ms>+5%", FailIf("p95_ms", ">", 0.05, True)),
        ("  fps < -2.5 % ", FailIf("fps", "<", -0.025, True)),
        ("map < .3", FailIf("map", "<", 0.3, False)),
        ("size_bytes > 4e6", FailIf("size_bytes", ">", 4e6, False)),
        ("p50_ms < -1", FailIf("p50_ms", "<", -1.0, False)),
    ],
)
def test_conditions_are_read_as_they_are_meant(text, condition):
    assert FailIf.parse(text) == condition


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "write NAME"),
        ("p95_ms", "write NAME"),
        ("p95_ms >= 3", "write NAME"),
        ("p95_ms > fast", "write NAME"),
        ("p95_ms > 3; rm -rf", "write NAME"),
        ("p95 > 3", "'p95' is not measured; name one of: p50_ms"),
        ("__class__ > 3", "is not measured"),
        ("p95_ms > 5%", r"write \+5% or -5%"),
        ("p95_ms > 1.2.3", "is no number"),
        ("p95_ms > 1e999", "is no number"),
        ("fps < -100%", "nothing or less"),
    ],
)
def test_anything_else_is_refused_with_what_to_write(text, words):
    with pytest.raises(ValueError, match=words):
        FailIf.parse(text)


@given(
    metric=st.sampled_from([*METRICS, *METRICS_BESIDE]),
    side=st.sampled_from("<>"),
    bound=st.floats(-0.9, 1e6, allow_nan=False).map(lambda x: float(f"{x:g}")),
)
def test_what_is_written_is_read_again(metric, side, bound):
    condition = FailIf(metric, side, bound, False)
    assert FailIf.parse(str(condition)) == condition


@pytest.mark.parametrize(
    ("one", "other"),
    [("p95_ms > 10", "p95_ms < 20"), ("map < 0.3", "map > 0.2"), ("fps > -5%", "fps < +5%")],
)
def test_conditions_that_nothing_passes_are_refused(one, other):
    with pytest.raises(UsageError, match="leave nothing that passes"):
        refuse_contradictions([FailIf.parse(one), FailIf.parse(other)])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("p95_ms > 20", "p95_ms < 10"),
        ("p95_ms > 10", "p95_ms > 20"),
        ("p95_ms > 10", "p99_ms < 20"),
        ("p95_ms > +5%", "p95_ms < 20"),
    ],
)
def test_conditions_that_leave_room_are_not(one, other):
    refuse_contradictions([FailIf.parse(one), FailIf.parse(other)])


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("throughput_p95_ms > 3", {"streams": 2}),
        ("p90_single_stream_ms > 3", {"scenario": "single-stream"}),
        ("p99_multi_stream_ms > 3", {"scenario": "multi-stream"}),
        ("end_to_end_fps < 3", {"end_to_end": True}),
        ("energy_mj > 3", {}),  # by the machine, whether it has a sensor
    ],
)
def test_what_has_to_be_asked_for_can_be_judged_where_it_is(text, options):
    made = BenchmarkConfig.from_options(models=["model.onnx"], fail_if=[text], **options)
    assert [str(one) for one in made.fail_if] == [text]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fail_if": ["p95_ms > +5%"]}, "against a baseline, and there is none"),
        ({"fail_if": ["map < 0.3"]}, "needs mAP"),
        ({"compare": "base.json"}, "no condition that is against it"),
        ({"compare": "base.json", "fail_if": ["p95_ms > 3"]}, "no condition that is against it"),
        ({"fail_if": ["throughput_fps < 3"]}, "throughput_fps, which is not measured"),
        ({"fail_if": ["total_p50_ms > 3"], "streams": 2}, "total_p50_ms, which is not measured"),
        (
            {"fail_if": ["p99_multi_stream_ms > 3"], "scenario": "single-stream"},
            "p99_multi_stream_ms, which is not measured",
        ),
        ({"fail_if": ["speed > 3"]}, "--fail-if: 'speed' is not measured"),
        ({"fail_if": ["fps > 1", "fps < 2"]}, "leave nothing"),
    ],
)
def test_what_could_never_be_judged_is_refused_before_anything_runs(options, words):
    with pytest.raises(EdgeCVError) as refused:
        BenchmarkConfig.from_options(models=["model.onnx"], **options)
    assert isinstance(refused.value, (ConfigError, UsageError))
    assert words in refused.value.problem
    assert refused.value.exit_code == 2
