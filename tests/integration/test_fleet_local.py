"""A fleet of workers on this machine: one dies, hangs, refuses or is old, and the rest goes on."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import threading
import time

import onnx
import pytest
from command_line import start
from fleet_worker import alive, marks, shim, until
from models import yolov8
from scenes import CLASS_NAMES, write_dataset

from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.config.evaluate import EvaluateConfig
from edgecv_cli.config.fleet import Device
from edgecv_cli.core.context import Cancel, Context
from edgecv_cli.core.errors import (
    DeviceError,
    GateNotMetError,
    InterruptedByUser,
    UsageError,
)
from edgecv_cli.pipeline.fleet import session as session_module
from edgecv_cli.pipeline.fleet.benchmark import benchmark_fleet
from edgecv_cli.pipeline.fleet.executor import FleetExecutor, by_process
from edgecv_cli.pipeline.fleet.job import Job
from edgecv_cli.pipeline.fleet.result import FleetResult
from edgecv_cli.pipeline.fleet.session import ProcessSession
from edgecv_cli.pipeline.fleet.watch import Watch
from edgecv_cli.stages.benchmark import benchmark
from edgecv_cli.stages.evaluate import evaluate
from edgecv_cli.stages.results import read_result


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "a b" / "größe.onnx"
    path.parent.mkdir()
    path.write_bytes(yolov8(planted=True).SerializeToString())
    return path


@pytest.fixture
def fleet(tmp_path):
    """Write a fleet of workers by name and behaviour."""

    def write(**behaviours):
        lines = ["devices:"]
        for name, how in behaviours.items():
            python = shim(tmp_path, how, marks=tmp_path)
            lines.append(f"- {{name: {name}, local: true, labels: [{how}], python: '{python}'}}")
        path = tmp_path / "fleet.yaml"
        path.write_text("\n".join(lines))
        return path

    return write


def run(model, file, **options):
    return benchmark_fleet(BenchmarkConfig(models=(model,), devices=file, **options), Context())


def test_one_of_eight_is_killed_in_the_middle_and_seven_answer(model, fleet, tmp_path):
    file = fleet(victim="wait", **{f"worker-{n}": "fine" for n in range(7)})

    def kill():
        os.kill(until(lambda: marks(tmp_path))[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    result = run(model, file, csv=tmp_path / "rows.csv")
    killer.join()

    (dead,) = result.failed
    assert (dead.name, dead.error) == (
        "victim",
        "victim: its worker was ended by SIGKILL in the middle of it",
    )
    assert len(result.devices) == 8
    for device in result.devices[1:]:
        (row,) = device.benchmark.runs
        assert row.model == str(model)
        assert row.p50_ms == model.stat().st_size / 1e3
        assert device.benchmark.machine.cores >= 1
        assert device.error is None
    rows = list(csv.DictReader(io.StringIO((tmp_path / "rows.csv").read_text())))
    assert [row["device"] for row in rows] == [device.name for device in result.devices]
    assert rows[0]["error"] == dead.error
    assert float(rows[1]["p50_ms"]) > 0


def test_every_refusal_is_a_row(model, fleet, tmp_path):
    file = fleet(good="noisy", bad="fail", odd="odd", old="old", liar="liar")
    with file.open("a") as more:
        more.write("\n- {name: gone, local: true, python: /no/such/python}\n")
        more.write("- {name: bare, local: true, python: /bin/false}\n")

    result = run(
        model, file, report=tmp_path / "r.html", md=tmp_path / "r.md", junit=tmp_path / "r.xml"
    )

    said = {device.name: (device.error, device.remedy) for device in result.devices}
    assert said.pop("good") == (None, None)
    assert said["bad"] == (f"bad: '{model}' can't run", "on the device: pip install that-engine")
    assert "not one that this version understands" in said["odd"][0]
    assert "something that this version does not understand" in said["liar"][0]
    assert "it has edgecv 0.0.1, and this is" in said["old"][0]
    assert "pip install edgecv==" in said["old"][1]
    assert "No such file or directory" in said["gone"][0]
    assert "ended with status 1: it said nothing" in said["bare"][0]
    for name in ("r.html", "r.md", "r.xml"):
        text = (tmp_path / name).read_text()
        assert "old: it has edgecv" in text
        assert "good" in text
    written = tmp_path / "result.json"
    written.write_text(json.dumps(result.to_json()))
    assert read_result(written, FleetResult, what="") == result


def test_no_figures_at_all_is_a_failure(model, fleet, tmp_path):
    with pytest.raises(DeviceError, match=r"no device gave figures: bad: .*; old: it has edgecv"):
        run(model, fleet(bad="fail", old="old"), csv=tmp_path / "rows.csv")
    assert not (tmp_path / "rows.csv").exists()


def test_gates_hold_for_every_device(model, fleet, tmp_path):
    file = fleet(one="fine", bad="fail")

    with pytest.raises(GateNotMetError, match=r"one: .*fails by 'p95_ms > 1'") as slow:
        run(model, file, label=("fine",), fail_if=("p95_ms > 1",), md=tmp_path / "r.md")
    assert slow.value.result.unmet
    assert (tmp_path / "r.md").exists()
    with pytest.raises(GateNotMetError, match="bad gave no figures"):
        run(model, file, fail_if=("p95_ms > 3",))


def test_files_are_sent_once_and_a_devices_own_settings_go_before_the_options(model, fleet):
    file = fleet(one="fine")
    assert run(model, file).devices[0].sent_bytes == model.stat().st_size
    with file.open("a") as more:
        more.write(
            f"\n- {{name: two, local: true, threads: 7, engine: [openvino], "
            f"python: '{file.parent / 'python-fine'}'}}\n"
        )

    one, two = run(model, file, threads=3, fail_if=("p95_ms > 3",)).devices

    assert (one.sent_bytes, two.sent_bytes) == (0, 0)
    rows = [device.benchmark.runs[0] for device in (one, two)]
    assert [(row.threads, row.engine) for row in rows] == [(3, "onnxruntime"), (7, "openvino")]
    assert all(gate.met for device in (one, two) for gate in device.benchmark.gates)


def test_a_worker_that_hangs_is_given_up(model, fleet, tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "START_SECONDS", 0.5)
    with pytest.raises(DeviceError, match=r"did not greet within 0\.5 s"):
        run(model, fleet(deaf="deaf"))


def test_a_worker_that_stops_in_the_middle_is_given_up(tmp_path):
    device = Device(name="stuck", local=True)
    argv = [str(shim(tmp_path, "wait", marks=tmp_path))]
    model = tmp_path / "m.onnx"
    onnx.save(yolov8(), model)
    job = _job(model)
    watch = Watch("stuck", Cancel(), FleetExecutor({}, Cancel()).events)

    stopper = threading.Thread(
        target=lambda: os.kill(until(lambda: marks(tmp_path))[0], signal.SIGSTOP)
    )
    stopper.start()

    def have_it_done():
        with ProcessSession(device, argv, watch, hung_seconds=1.5) as session:
            session.deliver({next(iter(job.files)): model})
            session.run(job, 60)

    with pytest.raises(DeviceError, match="stuck: hangs: it said nothing for 2 s"):
        have_it_done()
    stopper.join()
    assert not alive(marks(tmp_path)[0])


def test_a_job_that_takes_too_long_is_given_up(tmp_path):
    device = Device(
        name="slow", local=True, limit=1, python=str(shim(tmp_path, "wait", marks=tmp_path))
    )
    model = tmp_path / "m.onnx"
    onnx.save(yolov8(), model)
    job = _job(model)
    watch = Watch("slow", Cancel(), FleetExecutor({}, Cancel()).events)

    with pytest.raises(DeviceError, match="was not done within 1 s"):
        by_process(device, job, {next(iter(job.files)): model}, watch)

    assert not alive(marks(tmp_path)[0])


def _job(model):
    from edgecv_cli.pipeline.fleet.packing import pack_benchmark

    packed = pack_benchmark(BenchmarkConfig(models=(model,)), model.parent)
    return packed.job(Device(name="a", local=True))


def test_one_job_at_a_time_on_each_device(tmp_path):
    running, seen = [], []

    def door(device, job, files, watch):
        running.append(device.name)
        seen.append(sorted(running))
        time.sleep(0.1)
        running.remove(device.name)
        return job

    devices = [Device(name=name, local=True) for name in ("a", "b")]
    job = Job(function="benchmark", arguments={})
    with FleetExecutor({}, Cancel(), lambda device: door) as executor:
        futures = [executor.submit(job, device) for device in devices * 3]
        assert [future.result(timeout=20) for future in futures] == [job] * 6

    assert ["a", "b"] in seen
    assert not any(names.count(name) > 1 for names in seen for name in "ab")


def test_leaving_gives_up_what_still_runs():
    begun = threading.Event()

    def door(device, job, files, watch):
        begun.set()
        while True:
            watch.check()
            time.sleep(0.01)

    job = Job(function="benchmark", arguments={})
    with FleetExecutor({}, Cancel(), lambda device: door) as executor:
        future = executor.submit(job, Device(name="a", local=True))
        assert begun.wait(20)
    with pytest.raises(InterruptedByUser):
        future.result(timeout=0)


def test_interrupting_ends_the_workers(model, fleet, tmp_path):
    command = ["-m", "edgecv_cli", "benchmark", model, "--devices", fleet(one="wait"), "--quiet"]
    process = start(command)
    worker = until(lambda: marks(tmp_path))[0]

    process.send_signal(signal.SIGINT)

    assert process.wait(60) == 130
    process.communicate()
    assert not alive(worker)


def test_a_command_that_is_killed_takes_its_workers_along(model, fleet, tmp_path):
    process = start(["-m", "edgecv_cli", "benchmark", model, "--devices", fleet(one="wait")])
    worker = until(lambda: marks(tmp_path))[0]

    process.kill()
    process.communicate()

    until(lambda: not alive(worker))


def test_a_real_benchmark_comes_back_whole(model, tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text("classes: names.txt\n")
    (tmp_path / "names.txt").write_text("\n".join(CLASS_NAMES))
    data = write_dataset(tmp_path / "coco", images=3)
    here = evaluate(EvaluateConfig(model=model, data=data, limit=2, spec=spec), Context())
    file = tmp_path / "fleet.yaml"
    file.write_text("devices:\n- {name: here, local: true, threads: 1}\n")

    result = run(model, file, samples=20, launches=1, spec=spec, data=data, limit=2)

    (device,) = result.devices
    (row,) = device.benchmark.runs
    assert row.model == str(model)
    assert row.provider == "CPUExecutionProvider"
    assert row.threads == 1
    assert row.samples >= 20
    assert row.map == pytest.approx(here.map, abs=1e-9)
    assert row.map > 0.1
    assert device.benchmark.images == 2
    assert device.benchmark.machine.engines["onnxruntime"]
    assert "edgecv-tmp" not in json.dumps(result.to_json())


def test_a_pipeline_does_not_measure_here_what_a_fleet_was_asked_for(model, fleet):
    with pytest.raises(UsageError, match="on one machine"):
        benchmark(BenchmarkConfig(models=(model,), devices=fleet(one="fine")), Context())
