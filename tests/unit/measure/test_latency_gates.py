"""A gate fails only where the interval shows it, and says so where it leaves it open."""

from __future__ import annotations

import pytest

from edgecv_cli.config.fail_if import FailIf
from edgecv_cli.core.errors import UsageError
from edgecv_cli.core.result import Interval
from edgecv_cli.measure.end_to_end import EndToEnd, StageTime
from edgecv_cli.measure.energy import EnergyUse
from edgecv_cli.measure.latency_gates import judge, require_partners
from edgecv_cli.measure.latency_result import BenchRun
from edgecv_cli.measure.scenarios import ScenarioOutcome
from edgecv_cli.measure.throughput import Throughput


def row(name="a.onnx", *, p95=None, low=None, high=None, engine="onnxruntime", **rest):
    intervals = None if low is None else {"p95_ms": Interval(low=low, high=high)}
    return BenchRun(
        model=f"/models/{name}", engine=engine, threads=1, p95_ms=p95, intervals=intervals, **rest
    )


def one(run, text, **rest):
    (outcome,) = judge([run], [FailIf.parse(text)], **rest)
    return outcome


@pytest.mark.parametrize(
    ("low", "high", "strict", "met", "shown"),
    [
        (31.0, 33.0, False, False, True),  # all of it on the wrong side
        (29.0, 33.0, False, True, False),  # left open
        (29.0, 33.0, True, False, False),  # left open, and the figure is on the wrong side
        (27.0, 29.0, False, True, True),
    ],
)
def test_a_bound_is_held_against_the_interval(low, high, strict, met, shown):
    value = 32.0 if high > 30 else 28.0
    outcome = one(row(p95=value, low=low, high=high), "p95_ms > 30", strict=strict)
    assert (outcome.met, outcome.shown) == (met, shown)


def test_strict_still_passes_what_is_on_the_right_side():
    assert one(row(p95=29.5, low=28.0, high=33.0), "p95_ms > 30", strict=True).met


def test_a_figure_without_an_interval_is_taken_as_it_is():
    assert not one(row(size_bytes=5_000_000), "size_bytes > 4e6").met
    assert one(row(size_bytes=4_000_000), "size_bytes > 4e6").met


def test_map_has_the_interval_of_its_images():
    run = row(map=0.29, map_low=0.27, map_high=0.31)
    assert one(run, "map < 0.30").met
    assert not one(run, "map < 0.32").met
    assert not one(run, "map < 0.30", strict=True).met


def timed(p50, p95):
    return StageTime(p50_ms=p50, p95_ms=p95)


BESIDE = {
    "throughput": Throughput(
        streams=2, threads=2, fps=60.0, interval=Interval(low=58.0, high=62.0), p50_ms=30.0,
        p95_ms=35.0, p99_ms=40.0, samples=100, turns=9,
    ),
    "scenario": ScenarioOutcome(
        scenario="single-stream", percentile=90, established=True, latency_ms=21.0,
        measured_ms=19.0, samples_per_query=1, streams=1, queries=400, queries_needed=64,
    ),
    "energy": EnergyUse(
        mj_per_inference=90.0, interval=Interval(low=88.0, high=92.0), sensor="RAPL", scope="all",
        inferences=9, blocks=9,
    ),
    "end_to_end": EndToEnd(
        decode=timed(1, 2), preprocess=timed(1, 2), infer=timed(1, 2), postprocess=timed(1, 2),
        total=timed(25.0, 45.0), interval=Interval(low=24.0, high=26.0), fps=38.0, samples=9,
        images=3, source="3 images", detections=2.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value", "ends"),
    [
        ("throughput_fps < 50", 60.0, (58.0, 62.0)),
        ("throughput_p99_ms > 50", 40.0, (None, None)),
        ("p90_single_stream_ms > 30", 21.0, (None, None)),
        ("energy_mj > 95", 90.0, (88.0, 92.0)),
        ("total_p50_ms > 40", 25.0, (24.0, 26.0)),
        ("total_p95_ms > 50", 45.0, (None, None)),
        ("end_to_end_fps < 30", 38.0, (None, None)),
    ],
)
def test_what_is_measured_beside_a_single_inference_can_be_a_gate(text, value, ends):
    outcome = one(row(p95=1.0, **BESIDE), text)
    assert outcome.met
    assert (outcome.value, outcome.low, outcome.high) == (value, *ends)
    turned = text.translate(str.maketrans("<>", "><"))
    assert not one(row(p95=1.0, **BESIDE), turned).met
    missing = one(row(p95=1.0), text)
    assert not missing.met
    assert "was not measured" in missing.text


def test_a_percentile_that_could_not_be_stated_or_is_of_another_scenario_is_no_figure():
    open_ = BESIDE["scenario"].model_copy(update={"latency_ms": None, "established": False})
    assert not one(row(scenario=open_), "p90_single_stream_ms > 30").met
    assert one(row(scenario=BESIDE["scenario"]), "p99_multi_stream_ms > 30").value is None


def test_throughput_is_held_against_the_baseline_s():
    faster = {"fps": 90.0, "interval": Interval(low=88.0, high=92.0)}
    before = row(throughput=BESIDE["throughput"].model_copy(update=faster))
    assert not one(
        row(throughput=BESIDE["throughput"]), "throughput_fps < -5%", baseline=[before]
    ).met


@pytest.mark.parametrize(("value", "met"), [(11.0, False), (10.3, True), (9.0, True)])
def test_a_regression_is_called_where_both_runs_leave_no_doubt(value, met):
    before = row(p95=10.0, low=9.9, high=10.1)
    now = row(p95=value, low=value * 0.99, high=value * 1.01)
    assert one(now, "p95_ms > +5%", baseline=[before]).met is met


def test_the_baseline_s_own_doubt_counts_as_well():
    now = row(p95=11.0, low=10.9, high=11.1)
    sure, unsure = row(p95=10.0, low=9.9, high=10.1), row(p95=10.0, low=9.0, high=11.0)
    assert not one(now, "p95_ms > +5%", baseline=[sure]).met
    outcome = one(now, "p95_ms > +5%", baseline=[unsure])
    assert outcome.met
    assert not outcome.shown
    assert "not shown: p95_ms +10.0%" in outcome.text


def test_ratios_of_intervals_combine_as_independent():
    outcome = one(
        row(p95=12.0, low=12.0 / 1.03, high=12.0 * 1.03),
        "p95_ms > +5%",
        baseline=[row(p95=10.0, low=10.0 / 1.04, high=10.0 * 1.04)],
    )
    reach = 1.0506  # exp(hypot(log 1.03, log 1.04))
    assert outcome.value == pytest.approx(1.2)
    assert outcome.low == pytest.approx(1.2 / reach, rel=1e-3)
    assert outcome.high == pytest.approx(1.2 * reach, rel=1e-3)


def test_a_row_that_could_not_be_timed_fails_its_gates():
    outcome = one(row(error="ended by signal 9"), "p95_ms > 30")
    assert not outcome.met
    assert "signal 9" in outcome.text


def test_rows_find_their_partner_by_name_engine_and_threads():
    before = [row("b.onnx", p95=10.0), row(p95=20.0, engine="openvino"), row(p95=5.0)]
    assert one(row(p95=5.1), "p95_ms > +5%", baseline=before).met
    with pytest.raises(UsageError, match=r"no row for c.onnx on onnxruntime with 1 threads"):
        require_partners([("/x/c.onnx", "onnxruntime", 1)], [FailIf.parse("fps < -5%")], before)
    with pytest.raises(UsageError, match=r"row for a\.onnx has no fps"):
        require_partners([("a.onnx", "onnxruntime", 1)], [FailIf.parse("fps < -5%")], before)
