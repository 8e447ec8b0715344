"""What the terminal shows of operators and precision."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgecv_cli.cli.render.benchmark import render
from edgecv_cli.cli.render.profile import operator_tables, precision_lines
from edgecv_cli.measure.latency_result import BenchRun
from edgecv_cli.measure.operator_profile import Operator, OperatorKind, OperatorProfile
from edgecv_cli.stages.benchmark_result import BenchmarkResult


def operator(name, **changes):
    facts = {"kind": "QLinearConv", "precision": "int8", "ms": 0.5, "share": 0.25, "calls": 1}
    return Operator(name=name, **{**facts, **changes})


def profile(*operators, **changes):
    facts = {
        "inferences": 20, "statistic": "median", "inference_ms": 2.5, "operators_ms": 2.0,
        "operator_count": 40, "kinds": (OperatorKind(kind="Conv", count=40, ms=2.0, share=1.0),),
        "precisions": {"int8": 3}, "providers": {"CPU": 1.0},
    }  # fmt: skip
    return OperatorProfile(operators=operators, **{**facts, **changes})


def result(*runs):
    return BenchmarkResult(runs=runs, ratios=(), warnings=(), rounds=1, seconds=1)


def run(model="a.onnx", **changes):
    return BenchRun(model=model, engine="onnxruntime", threads=2, p50_ms=2.25, **changes)


def shown(blocks, width=80):
    out = io.StringIO()
    console = Console(file=out, width=width, emoji=False, markup=False, highlight=False)
    for block in blocks:
        console.print(block)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines), default=0) <= width
    return "\n".join(" ".join(line.split()) for line in lines)


def test_nothing_is_shown_of_what_was_not_looked_at():
    assert shown([*precision_lines(result(run())), *operator_tables(result(run()))]) == ""


def test_the_slowest_operators_stand_with_their_share():
    many = [operator(f"layer {place}") for place in range(12)]
    found = shown(operator_tables(result(run(operators=profile(*many, quantize_share=0.125)))))

    assert "operators of a.onnx on onnxruntime" in found
    assert "QLinearConv layer 0 int8 0.500 25.0 %" in found
    assert "layer 9" in found
    assert "layer 10" not in found
    assert "by kind: Conv 100% (40)" in found
    assert "12.5% of the time goes into converting to integers and back" in found
    assert "2.25 ms when timed" in found.replace("\n", " ")


def test_an_operator_that_runs_often_says_so():
    one = operator("inner", kind="Add", calls=7)

    assert "Add x7 inner" in shown(operator_tables(result(run(operators=profile(one)))))


@pytest.mark.parametrize("width", [80, 120])
def test_hostile_and_long_names_stay_in_the_table(width):
    one = operator("x\x1b[2J" + "long/" * 30)

    found = shown(operator_tables(result(run(operators=profile(one)))), width)

    assert "\x1b" not in found
    assert "25.0 %" in found


def test_precision_stands_with_the_benchmark():
    said = shown(render(result(run(precision="int8 3, float32 1 of 4 weighted layers"))))

    assert "a.onnx: int8 3, float32 1 of 4 weighted layers" in said


def test_engines_are_told_apart():
    runs = run(precision="int8 3"), run(precision="int8 4").model_copy(update={"engine": "other"})

    assert shown(precision_lines(result(*runs))).splitlines() == [
        "a.onnx on onnxruntime: int8 3", "a.onnx on other: int8 4"
    ]  # fmt: skip
