"""Energy and the machine's conditions, on the terminal and in the report."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgecv_cli.cli.render import benchmark as render
from edgecv_cli.core.result import Interval
from edgecv_cli.measure.energy import EnergyUse
from edgecv_cli.measure.latency_result import BenchRun
from edgecv_cli.measure.machine.conditions import Conditions
from edgecv_cli.measure.machine.words import conditions_text
from edgecv_cli.report import markdown
from edgecv_cli.stages.benchmark_result import BenchmarkResult
from edgecv_cli.stages.compose.benchmark import benchmark_document

USE = EnergyUse(
    mj_per_inference=152.04,
    interval=Interval(low=148.0, high=156.2),
    idle_watts=9.8,
    net_mj_per_inference=101.96,
    sensor="RAPL package-0",
    scope="the whole processor package",
    inferences=1200,
    blocks=40,
)
SEEN = Conditions(
    governor="performance",
    frequency_first_mhz=3800,
    frequency_last_mhz=3800,
    temperature_first_c=61.2,
    temperature_last_c=70,
    temperature_max_c=74,
    steal=0.004,
    other_load=0.1,
    throttle_events=0,
)


def result(energy=None, conditions=None):
    run = BenchRun(model="a.onnx", engine="onnxruntime", threads=2, p50_ms=10, energy=energy)
    return BenchmarkResult(
        runs=(run,), ratios=(), warnings=(), rounds=9, seconds=5, conditions=conditions
    )


def shown(result):
    out = io.StringIO()
    console = Console(file=out, width=200, emoji=False, markup=False, highlight=False)
    for block in render.render(result):
        console.print(block)
    return out.getvalue()


def test_energy_stands_with_its_interval_and_its_sensor():
    said = shown(result(energy=USE))

    assert (
        "a.onnx: 152.0 mJ (148.0 to 156.2) per inference, 102.0 beyond the idle machine's 9.8 W"
        in said
    )
    assert "energy by RAPL package-0: the whole processor package" in said


def test_energy_without_a_figure_beyond_idle_says_no_more():
    bare = USE.model_copy(update={"net_mj_per_inference": None, "interval": None})

    assert "a.onnx: 152.0 mJ per inference\n" in shown(result(energy=bare))


def test_conditions_stand_in_one_line():
    assert (
        "during the rounds: governor performance, 3.80 GHz, 61 to 70 °C (at most 74), other "
        "processes on 0.10 cores, 0.4% taken by the hypervisor\n" in shown(result(conditions=SEEN))
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frequency_last_mhz": 2600}, "3.80 to 2.60 GHz"),
        ({"throttle_events": 3}, "throttled for heat 3 times"),
        ({"quota_stopped_s": 1.25}, "stopped 1.25 s by the CPU quota"),
        ({"temperature_max_c": 70.3}, "61 to 70 °C,"),
    ],
)
def test_what_was_seen_is_said(changes, words):
    assert words in conditions_text(SEEN.model_copy(update=changes))


def test_the_report_holds_both():
    page = markdown.render(benchmark_document(result(energy=USE, conditions=SEEN)))

    assert "During the rounds: governor performance" in page
    assert "| a.onnx on onnxruntime | 152.0 mJ | 148.0 to 156.2 | 102.0 mJ | 9.8 W | 1200 |" in page
    assert "RAPL package-0: the whole processor package." in page


@pytest.mark.parametrize("conditions", [None, Conditions(under_voltage=False)])
def test_what_was_not_measured_is_not_there(conditions):
    bare = result(conditions=conditions)

    assert "during the rounds" not in shown(bare)
    assert "mJ" not in shown(bare)
    page = markdown.render(benchmark_document(bare))
    assert "Energy" not in page
    assert "During the rounds" not in page
