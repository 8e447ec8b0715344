"""Benchmarks in real child processes, on tiny networks; no figure is compared with a clock."""

from __future__ import annotations

import json
import os
import signal

import onnx
import pytest
from models import classifier, yolov8
from scenes import write_dataset

import edgecv_cli.stages.benchmark as benchmark_module
from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.core.child import Child, Limits
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    ConfigError,
    InterruptedByUser,
    ModelError,
    UnrecognisedError,
    UsageError,
)
from edgecv_cli.measure.instruments import Instruments
from edgecv_cli.measure.latency import BenchRow
from edgecv_cli.measure.latency import benchmark as time_rows
from edgecv_cli.stages.benchmark import benchmark


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "größe eins.onnx"
    onnx.save(yolov8(planted=True), path)
    return path


@pytest.fixture
def other(tmp_path):
    path = tmp_path / "other.onnx"
    onnx.save(yolov8(planted=True, seed=1), path)
    return path


def test_two_models_are_timed_and_put_in_ratio(model, other):
    config = BenchmarkConfig(models=(model, other), duration=0.2, threads=1)

    result = benchmark(config, Context())

    assert [run.model for run in result.runs] == [str(model), str(other)]
    for run in result.runs:
        assert run.error is None
        assert run.provider == "CPUExecutionProvider"
        assert 0 < run.p50_ms <= run.p90_ms <= run.p95_ms <= run.p99_ms
        assert run.samples >= run.rounds == result.rounds >= 5
        assert run.peak_rss_bytes > 2**24
        assert run.load_ms > 0
        assert run.size_bytes > 1000
        assert run.map is None
    (ratio,) = result.ratios
    assert (ratio.a, ratio.b) == (str(model), str(other))
    assert 0 < ratio.low <= ratio.ratio <= ratio.high


def test_the_baseline_can_be_chosen(model, other):
    config = BenchmarkConfig(models=(model, other), duration=0.1, threads=1, baseline=2)

    (ratio,) = benchmark(config, Context()).ratios

    assert (ratio.a, ratio.b) == (str(other), str(model))


def test_with_labelled_images_each_row_has_an_accuracy(model, tmp_path):
    data = write_dataset(tmp_path / "data", images=6)
    config = BenchmarkConfig(models=(model,), data=data, limit=5, duration=0.1, threads=1)

    printed = benchmark(config, Context()).to_json()

    assert printed["schema"] == "edgecv.benchmark/1"
    (run,) = printed["runs"]
    assert run["map_low"] <= run["map"] <= run["map_high"]
    assert run["map"] > 0.5
    assert printed["images"] == 5
    assert {"warnings", "ratios", "machine", "rounds", "seconds"} <= set(printed)
    assert "error" not in run
    json.dumps(printed)


def test_a_network_that_is_no_detector_can_be_timed_but_has_no_accuracy(tmp_path):
    path = tmp_path / "classifier.onnx"
    onnx.save(classifier(), path)

    assert (
        benchmark(BenchmarkConfig(models=(path,), duration=0.1, threads=1), Context())
        .runs[0]
        .p50_ms
    )
    data = write_dataset(tmp_path / "data", images=2)
    with pytest.raises(UnrecognisedError):
        benchmark(BenchmarkConfig(models=(path,), data=data, duration=0.1), Context())


def test_a_child_that_fails_is_a_row_and_the_rest_goes_on(model, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(model.read_bytes()[:200])

    result = time_rows(
        [BenchRow(broken, threads=1), BenchRow(model, threads=1)],
        duration_s=0.1,
        context=Context(),
        baseline=1,
    )

    assert "broken.onnx" in result.runs[0].error
    assert result.runs[0].p50_ms is None
    assert result.runs[1].p50_ms > 0


def test_a_child_that_is_killed_is_a_row_and_the_rest_goes_on(model, other):
    class Doomed(Child):
        def call(self, method, payload, timeout=None):
            if method == "block":
                os.kill(self.pid, signal.SIGSEGV)
            return super().call(method, payload, timeout)

    def start(row):
        kind = Doomed if row.model == other else Child
        return kind("latency", name=f"timing {row.model.name}", limits=Limits(60))

    result = time_rows(
        [BenchRow(model, threads=1), BenchRow(other, threads=1)],
        duration_s=0.1,
        context=Context(),
        start=start,
    )

    assert result.runs[0].p50_ms > 0
    assert result.runs[1].error.startswith("crashed: timing other.onnx")
    assert result.ratios == ()


def test_a_broken_file_is_a_row_that_says_so_unless_there_is_nothing_else(model, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    settings = {"duration": 0.1, "samples": 5, "threads": 1, "launches": 1}

    result = benchmark(BenchmarkConfig(models=(broken, model), **settings), Context())

    assert "broken.onnx" in result.runs[0].error
    assert result.runs[0].p50_ms is None
    assert result.runs[1].p50_ms > 0
    assert result.ratios == ()
    with pytest.raises(ModelError, match=r"broken\.onnx"):
        benchmark(BenchmarkConfig(models=(broken,), **settings), Context())


def test_a_condition_on_energy_needs_a_sensor(model, monkeypatch):
    monkeypatch.setattr(benchmark_module, "of_this_machine", lambda: (Instruments(), "chmod it"))

    with pytest.raises(UsageError, match="no sensor") as refused:
        benchmark(BenchmarkConfig(models=(model,), fail_if=("energy_mj > 5",)), Context())

    assert refused.value.remedy == "chmod it"


def test_an_unknown_engine_is_refused(model):
    with pytest.raises(UsageError, match="abacus"):
        benchmark(BenchmarkConfig(models=(model,), engine=("abacus",)), Context())


def test_ctrl_c_leaves_no_child(model):
    context = Context()
    context.cancel.set()

    with pytest.raises(InterruptedByUser):
        benchmark(BenchmarkConfig(models=(model,), duration=0.1, threads=1), context)


@pytest.mark.parametrize(
    "options", [{"duration": 0}, {"baseline": 0}, {"threads": 0}, {"limit": 0}]
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        BenchmarkConfig.from_options(models=("m.onnx",), **options)


@pytest.mark.parametrize(
    ("options", "words"), [({"baseline": 2}, "--baseline 2"), ({"limit": 5}, "--limit")]
)
def test_options_that_do_not_fit_together_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        BenchmarkConfig.from_options(models=("m.onnx",), **options)
