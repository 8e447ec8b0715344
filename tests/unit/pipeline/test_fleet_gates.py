"""Conditions on devices: each against its own earlier figures, and unmet where that can't be."""

from __future__ import annotations

import json

import pytest

from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.config.fleet import Device
from edgecv_cli.core.errors import ConfigError
from edgecv_cli.core.result import Machine
from edgecv_cli.measure.latency_result import BenchRun
from edgecv_cli.pipeline.fleet.gates import judged, read_earlier
from edgecv_cli.pipeline.fleet.result import DeviceResult, FleetResult
from edgecv_cli.stages.benchmark_result import BenchmarkResult

DEVICE = Device(name="pi", local=True)


def measured(p95=10.0, *, fingerprint="same", threads=4):
    machine = Machine(
        cpu="A76", cores=4, instruction_sets=(), os="Linux", python="3.12", fingerprint=fingerprint
    )
    run = BenchRun(model="a/m.onnx", engine="onnxruntime", threads=threads, p95_ms=p95)
    return BenchmarkResult(
        machine=machine, runs=(run,), ratios=(), warnings=(), rounds=5, seconds=1.0
    )


@pytest.fixture
def baseline(tmp_path):
    def write(benchmark, name="pi"):
        device = DeviceResult(name=name, labels=(), address="local", benchmark=benchmark)
        file = tmp_path / "before.json"
        file.write_text(json.dumps(FleetResult(devices=(device,), seconds=1.0).to_json()))
        return file

    return write


def config(file, **options):
    return BenchmarkConfig(models=("m.onnx",), compare=file, fail_if=("p95_ms > +5%",), **options)


def outcome(asked, now):
    (gate,) = judged("pi", now, read_earlier(asked, [DEVICE]), asked).gates
    return gate


@pytest.mark.parametrize(("p95", "met"), [(10.4, True), (10.6, False)])
def test_a_device_is_held_against_itself(baseline, p95, met):
    assert outcome(config(baseline(measured())), measured(p95)).met is met


def test_a_device_that_is_another_by_now_is_not_met(baseline):
    file = baseline(measured(fingerprint="another"))

    gate = outcome(config(file), measured())

    assert not gate.met
    assert "as it is no more" in gate.text
    assert outcome(config(file, cross_machine=True), measured()).met


def test_a_row_that_the_baseline_lacks_is_not_met(baseline):
    gate = outcome(config(baseline(measured(threads=2))), measured())
    assert not gate.met
    assert "with 4 threads" in gate.text


def test_a_device_that_the_baseline_lacks_is_refused_before_anything_is_measured(baseline):
    with pytest.raises(ConfigError, match="has no figures of pi"):
        read_earlier(config(baseline(measured(), name="orin")), [DEVICE])
    with pytest.raises(ConfigError, match="has no figures of pi"):
        read_earlier(config(baseline(None)), [DEVICE])


def test_a_result_of_one_machine_is_no_baseline_of_a_fleet(tmp_path):
    file = tmp_path / "before.json"
    file.write_text(json.dumps(measured().to_json()))
    with pytest.raises(ConfigError, match="is not what `edgecv benchmark --devices --json` wrote"):
        read_earlier(config(file), [DEVICE])


def test_without_conditions_nothing_is_judged():
    plain = BenchmarkConfig(models=("m.onnx",))
    assert judged("pi", measured(), read_earlier(plain, [DEVICE]), plain).gates is None
