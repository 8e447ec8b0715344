"""Profiles and fallbacks of a benchmark's rows, in real child processes."""

from __future__ import annotations

import onnx
import pytest
from models import classifier
from quantized_nets import quantized_layer

from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ChildFailureError, InterruptedByUser
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.latency_result import BenchRun
from edgecv_cli.measure.operator_child import Seen
from edgecv_cli.runtime.operators import OperatorTime
from edgecv_cli.stages.benchmark import benchmark
from edgecv_cli.stages.benchmarking import profile as extra
from edgecv_cli.stages.benchmarking.extras import Asked


def saved(path, model):
    onnx.save(model, path)
    return path


def test_a_profile_shows_where_the_time_goes_and_what_fell_back(tmp_path):
    models = (
        saved(tmp_path / "int8.onnx", quantized_layer()),
        saved(tmp_path / "int16.onnx", quantized_layer(bits=16)),
    )
    config = BenchmarkConfig(models=models, samples=5, launches=1, threads=1, profile=True)

    result = benchmark(config, Context())

    int8, int16 = result.runs
    assert (int8.precision, int8.float_fallbacks) == ("int8 1 of 1 weighted layers", 0)
    assert (int16.precision, int16.float_fallbacks) == ("float32 1 of 1 weighted layers", 1)
    for run in result.runs:
        assert run.operators.inferences >= 5
        assert run.operators.statistic == "median"
        assert 0 < run.operators.quantize_share < 1
        assert sum(kind.share for kind in run.operators.kinds) == pytest.approx(1)
    (warning,) = (text for text in result.warnings if "quantizes" in text)
    assert warning.startswith("int16.onnx: 1 of 1 layers that the file quantizes run in float32")
    assert ": layer; quantize it for this engine" in warning
    assert BenchRun.model_validate(int8.model_dump(mode="json")) == int8


def asked(path, context=None, *, engine="onnxruntime", provider="CPUExecutionProvider", **config):
    row = BenchRow(path, engine=engine, threads=1)
    run = BenchRun(model=str(path), engine=engine, threads=1, p50_ms=1.0, provider=provider)
    settings = BenchmarkConfig(models=(path,), **config)
    return Asked([row], [run], settings, {path: None}, None, context or Context())


@pytest.fixture
def looked(monkeypatch):
    """How many inferences each row was looked into for; each sees one float layer."""
    counts = []

    def see(row, *, inferences, context, inference_ms):
        counts.append(inferences)
        time = OperatorTime("layer", "Conv", None, "CPUExecutionProvider", "float32", True, (1e6,))
        provider = "CPUExecutionProvider" if row.engine != "openvino:gpu" else "GPU.0"
        return Seen((time,), (1_000_000,) * inferences, "median", provider)

    monkeypatch.setattr(extra, "see_operators", see)
    return counts


def test_a_float_model_is_not_looked_into_unasked(tmp_path, looked):
    path = saved(tmp_path / "float.onnx", classifier())

    assert extra.profile(asked(path)) is None
    assert looked == []


def test_a_quantized_file_is_looked_into_shortly_and_shows_its_fallbacks(tmp_path, looked):
    path = saved(tmp_path / "net.onnx", quantized_layer())

    found = extra.profile(asked(path))

    assert looked == [2]
    assert found.updates == [
        {"precision": "float32 1 of 1 weighted layers", "float_fallbacks": 1, "operators": None}
    ]
    assert any("1 of 1 layers that the file quantizes" in text for text in found.warnings)


def test_weights_that_are_only_stored_as_integers_are_no_fallback(tmp_path, looked):
    path = saved(tmp_path / "net.onnx", quantized_layer(data=False))

    found = extra.profile(asked(path))

    assert found.updates[0]["float_fallbacks"] is None
    assert found.warnings == ()


def test_a_profile_takes_about_two_seconds_within_bounds(tmp_path, looked):
    path = saved(tmp_path / "float.onnx", classifier())
    question = asked(path, profile=True)
    for p50_ms in (0.5, 100.0, 5000.0):
        run = question.runs[0].model_copy(update={"p50_ms": p50_ms})
        extra.profile(Asked(question.rows, [run], question.config, {}, None, Context()))

    assert looked == [50, 20, 5]


def test_another_device_than_asked_for_is_a_warning(tmp_path, looked):
    path = saved(tmp_path / "float.onnx", classifier())

    found = extra.profile(asked(path, engine="onnxruntime:cuda"))

    assert found.warnings == ("float.onnx: cuda was asked for, and it ran on CPUExecutionProvider",)
    assert looked == [2]


def test_operators_of_an_engine_that_hides_where_they_ran_are_a_warning(tmp_path, looked):
    path = saved(tmp_path / "float.onnx", classifier())

    found = extra.profile(asked(path, engine="openvino:gpu", provider="GPU.0"))

    assert found.warnings == (
        "float.onnx: 1 of 1 operators, 100% of the time, ran on CPUExecutionProvider and not on "
        "gpu: Conv",
    )


def test_a_row_that_was_not_timed_is_left_alone(tmp_path, looked):
    question = asked(saved(tmp_path / "net.onnx", quantized_layer()), profile=True)
    run = BenchRun(model="net.onnx", engine="onnxruntime", threads=1, error="it crashed")

    assert extra.profile(Asked(question.rows, [run], question.config, {}, None, Context())) is None
    assert looked == []


def test_a_profile_that_fails_is_a_warning_and_no_figure(tmp_path, monkeypatch):
    def see(*args, **kwargs):
        raise ChildFailureError("the process crashed", remedy="r", reason="crashed")

    monkeypatch.setattr(extra, "see_operators", see)
    path = saved(tmp_path / "net.onnx", quantized_layer())

    found = extra.profile(asked(path, profile=True))

    assert found.updates == [{}]
    assert found.warnings == ("net.onnx: its operators were not looked into: the process crashed",)


def test_an_interruption_is_none_of_a_rows_failures(tmp_path, looked):
    context = Context()
    context.cancel.set()
    path = saved(tmp_path / "net.onnx", quantized_layer())

    with pytest.raises(InterruptedByUser):
        extra.profile(asked(path, context))
