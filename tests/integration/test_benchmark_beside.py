"""Whole pictures, streams and scenarios of a benchmark, in real child processes."""

from __future__ import annotations

import onnx
import pytest
from models import classifier, yolov8
from scenes import write_dataset

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ChildFailureError, ConfigError
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.latency_result import BenchRun
from edgecv_cli.stages.benchmark import benchmark
from edgecv_cli.stages.benchmarking import beside
from edgecv_cli.stages.benchmarking.extras import Asked


def saved(path, model):
    onnx.save(model, path)
    return path


def test_all_of_them_beside_the_latency_of_a_detector(tmp_path):
    path = saved(tmp_path / "net.onnx", yolov8(planted=True))
    data = write_dataset(tmp_path / "data", 3)
    config = BenchmarkConfig(
        models=(path,), data=data, samples=66, launches=1, duration=0.5, threads=1,
        end_to_end=True, streams=2, scenario="single-stream",
    )  # fmt: skip

    result = benchmark(config, Context())

    (run,) = result.runs
    whole, throughput, scenario = run.end_to_end, run.throughput, run.scenario
    assert whole.source == "the 3 images of --data"
    assert whole.images == 3
    assert whole.total.p50_ms > whole.infer.p50_ms > 0
    assert whole.detections > 0
    assert (throughput.streams, throughput.threads) == (2, 1)
    assert throughput.fps > 0
    assert (scenario.queries, scenario.established) == (66, True)
    assert scenario.latency_ms >= scenario.measured_ms
    assert run.map > 0
    (warning,) = [text for text in result.warnings if "2 streams on 1 thread:" in text]
    assert "--threads" in warning
    assert BenchRun.model_validate(run.model_dump(mode="json")) == run


def asked(*paths, errors=(), spec=None, **config):
    rows = [BenchRow(path, threads=1, spec=spec) for path in paths]
    runs = [
        BenchRun(model=str(path), engine="onnxruntime", threads=1, p50_ms=1.0, error=error)
        for path, error in zip(paths, errors or [None] * len(paths), strict=True)
    ]
    settings = BenchmarkConfig(models=paths, **config)
    return Asked(rows, runs, settings, dict.fromkeys(paths, spec), None, Context())


@pytest.mark.parametrize("extra", [beside.end_to_end, beside.streams, beside.scenario])
def test_what_was_not_asked_for_is_not_measured(tmp_path, extra):
    assert extra(asked(saved(tmp_path / "net.onnx", classifier()))) is None


def test_what_is_no_detector_has_no_way_to_its_boxes(tmp_path):
    found = beside.end_to_end(asked(saved(tmp_path / "net.onnx", classifier()), end_to_end=True))

    assert found.updates == [{}]
    assert found.warnings == ("net.onnx: no known detector, so there is no way to its boxes",)


def test_without_data_pictures_are_drawn_and_it_says_so(tmp_path, monkeypatch):
    path = saved(tmp_path / "net.onnx", yolov8())
    seen = {}

    def measure(rows, images, *, source, seconds, context):
        seen.update(source=source, there=[image.read_bytes()[:2] for image in images])
        return [ChildFailureError("it crashed", remedy="try", reason="crashed")] * len(rows)

    monkeypatch.setattr(beside, "measure_end_to_end", measure)
    monkeypatch.setattr("edgecv_cli.measure.end_to_end._DRAWN_SIZE", (72, 128))
    spec = Artifact.open(path).detector().spec

    found = beside.end_to_end(asked(path, spec=spec, end_to_end=True))

    assert seen == {
        "source": "4 drawn pictures of 1280 x 720 as JPEG", "there": [b"\xff\xd8"] * 4
    }  # fmt: skip
    assert found.updates == [{}]
    assert found.warnings == ("net.onnx: end to end was not measured: it crashed",)


def test_rows_that_were_not_timed_are_left_alone_and_the_others_keep_their_place(
    tmp_path, monkeypatch
):
    paths = [saved(tmp_path / f"{name}.onnx", classifier()) for name in "abc"]
    measured = []

    def measure(rows, *, streams, seconds, context):
        measured.extend(row.model.name for row in rows)
        return [streams, ChildFailureError("it hung", remedy="try", reason="hung")]

    monkeypatch.setattr(beside, "measure_throughput", measure)

    found = beside.streams(asked(*paths, errors=("broken", None, None), streams=1))

    assert measured == ["b.onnx", "c.onnx"]
    assert found.updates == [{}, {"throughput": 1}, {}]
    assert found.warnings == ("c.onnx: throughput was not measured: it hung",)


@pytest.mark.parametrize(
    "bad", [{"streams": 0}, {"streams": 1000}, {"scenario": "server"}, {"scenario": ""}]
)
def test_what_makes_no_sense_is_refused(tmp_path, bad):
    with pytest.raises((ConfigError, ValueError)):
        BenchmarkConfig(models=(saved(tmp_path / "net.onnx", classifier()),), **bad)
