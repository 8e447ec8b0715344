"""What a fleet's benchmark shows: one table, each device's machine, and those without figures."""

from __future__ import annotations

from rich.console import Console

from edgecv_cli.cli.render.fleet import render
from edgecv_cli.core.result import Machine
from edgecv_cli.measure.latency_gates import GateOutcome
from edgecv_cli.measure.latency_result import BenchRun, Ratio
from edgecv_cli.pipeline.fleet.result import DeviceResult, FleetResult
from edgecv_cli.stages.benchmark_result import BenchmarkResult


def machine(cpu):
    return Machine(
        cpu=cpu, cores=4, instruction_sets=(), os="Linux", python="3.12", fingerprint=cpu
    )


def measured(cpu, **changes):
    runs = (
        BenchRun(model="a.onnx", engine="onnxruntime", threads=4, p50_ms=12.5, fps=80.0),
        BenchRun(model="b.onnx", engine="onnxruntime", threads=4, error="no \x1b[31mroom"),
    )
    made = {
        "machine": machine(cpu),
        "runs": runs,
        "ratios": (Ratio(a="a.onnx", b="c.onnx", ratio=1.5, low=1.4, high=1.6),),
        "warnings": ("it was hot",),
        "rounds": 5,
        "seconds": 1.0,
    }
    return BenchmarkResult(**made | changes)


def shown(result, width=120):
    console = Console(width=width, emoji=False, markup=False, highlight=False)
    with console.capture() as captured:
        for block in render(result):
            console.print(block)
    return captured.get()


def fleet(*devices):
    return FleetResult(devices=devices, seconds=3.0)


def test_each_figure_stands_beside_its_device_and_machine():
    gate = GateOutcome(
        condition="p50_ms > 10", model="a.onnx", engine="onnxruntime", met=False, shown=True,
        limit=10, text="a.onnx on onnxruntime: fails",
    )  # fmt: skip
    text = shown(
        fleet(
            DeviceResult(name="orin", labels=(), address="ssh orin", benchmark=measured("A78")),
            DeviceResult(
                name="pi", labels=(), address="ssh pi", benchmark=measured("A76", gates=(gate,))
            ),
            DeviceResult(
                name="lost", labels=(), address="ssh lost", error="lost: gone", remedy="find it"
            ),
        )
    )

    rows = [line.split() for line in text.splitlines() if "a.onnx" in line and "12.50" in line]
    assert [row[0] for row in rows] == ["orin", "pi"]
    assert "orin: measured on A78, 4 cores" in text
    assert "pi: measured on A76, 4 cores" in text
    assert "orin: c.onnx: 1.50 x as fast as a.onnx (1.40 to 1.60, 95 % interval)" in text
    assert "pi: a.onnx on onnxruntime: fails" in text
    assert "warning: pi: it was hot" in text
    assert "warning: no figures: lost: gone" in text
    assert "fix: find it" in text
    assert "2 of 3 devices" in text


def test_accuracy_is_a_column_where_it_was_measured():
    plain, exact = measured("A"), measured("B")
    exact = exact.model_copy(update={"runs": (exact.runs[0].model_copy(update={"map": 0.4321}),)})
    devices = [
        DeviceResult(name=name, labels=(), address="x", benchmark=one)
        for name, one in (("a", plain), ("b", exact))
    ]
    assert "mAP50-95" not in shown(fleet(devices[0]))
    text = shown(fleet(*devices))
    assert "mAP50-95" in text
    assert [line.split()[-1] for line in text.splitlines() if line.startswith(" b")] == ["0.432"]


def test_what_a_device_says_can_not_steer_the_terminal():
    text = shown(fleet(DeviceResult(name="a", labels=(), address="x", benchmark=measured("A"))))
    assert "\x1b[31m" not in text
    assert "b.onnx was not timed" in text


def test_a_narrow_terminal_shows_every_figure():
    text = shown(
        fleet(DeviceResult(name="a", labels=(), address="x", benchmark=measured("A"))), width=80
    )
    assert "12.50" in text
    assert "80.0" in text
