"""What the terminal shows of whole pictures, streams and scenarios."""

from __future__ import annotations

import io

from rich.console import Console

from edgecv_cli.cli.render.benchmark import render
from edgecv_cli.cli.render.beside import beside_tables
from edgecv_cli.cli.render.fleet import render as render_fleet
from edgecv_cli.core.result import Interval
from edgecv_cli.measure.end_to_end import EndToEnd, StageTime
from edgecv_cli.measure.latency_result import BenchRun
from edgecv_cli.measure.scenarios import ScenarioOutcome
from edgecv_cli.measure.throughput import Throughput
from edgecv_cli.pipeline.fleet.result import DeviceResult, FleetResult
from edgecv_cli.stages.benchmark_result import BenchmarkResult


def whole(**changes):
    stages = {"decode": 8.0, "preprocess": 2.0, "infer": 20.5, "postprocess": 1.0, "total": 31.75}
    times = {name: StageTime(p50_ms=ms, p95_ms=2 * ms) for name, ms in stages.items()}
    facts = {"fps": 30.5, "samples": 40, "images": 4, "source": "4 drawn pictures", "detections": 2}
    return EndToEnd(**{**times, **facts, **changes})


def throughput(**changes):
    interval = Interval(low=90.0, high=110.0, level=0.95, method="bootstrap", resamples=1000)
    facts = {"streams": 4, "threads": 4, "fps": 100.0, "interval": interval, "p50_ms": 40.0,
             "p95_ms": 50.0, "p99_ms": 60.0, "samples": 500, "turns": 10}  # fmt: skip
    return Throughput(**{**facts, **changes})


def outcome(**changes):
    facts = {"scenario": "multi-stream", "percentile": 99, "established": True, "latency_ms": 80.5,
             "measured_ms": 77.25, "samples_per_query": 8, "streams": 2, "queries": 700,
             "queries_needed": 662}  # fmt: skip
    return ScenarioOutcome(**{**facts, **changes})


def run(model="a.onnx", **changes):
    return BenchRun(model=model, engine="onnxruntime", threads=2, p50_ms=20.0, **changes)


def shown(blocks, width=100):
    out = io.StringIO()
    console = Console(file=out, width=width, emoji=False, markup=False, highlight=False)
    for block in blocks:
        console.print(block)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines), default=0) <= width
    return "\n".join(" ".join(line.split()) for line in lines)


def test_nothing_is_shown_of_what_was_not_measured():
    assert shown(beside_tables([run()], ["a.onnx"])) == ""


def test_the_stages_of_a_picture_stand_beside_their_sum():
    text = shown(beside_tables([run(end_to_end=whole()), run("b.onnx")], ["a.onnx", "b.onnx"]))

    assert "decode preprocess infer postprocess total p95 fps" in text
    assert "a.onnx onnxruntime 8.00 2.00 20.50 1.00 31.75 63.50 30.5" in text
    assert "one picture after the other, 4 drawn pictures, at least 40 timed each" in text
    assert "b.onnx" not in text


def test_throughput_has_the_streams_and_the_interval():
    text = shown(beside_tables([run(throughput=throughput())], ["a.onnx"]))

    assert "a.onnx onnxruntime 4 100.0 ±10.0 40.00 50.00 60.00" in text
    assert "over at least 10 turns" in text.replace("\n", " ")
    without = shown(beside_tables([run(throughput=throughput(interval=None))], ["a.onnx"]))
    assert "a.onnx onnxruntime 4 100.0 40.00" in without


def test_a_percentile_that_is_stated_and_one_that_is_not():
    stated = shown(beside_tables([run(scenario=outcome())], ["a.onnx"])).replace("\n", " ")
    open_ = outcome(established=False, latency_ms=None, queries=100)
    unstated = shown(beside_tables([run(scenario=open_)], ["a.onnx"])).replace("\n", " ")

    assert "p99 is at most 80.50 ms with 99% confidence (77.25 ms measured, 700" in stated
    assert "700 queries, 8 samples each, 2 in flight)" in stated
    assert "p99 can't be stated after 100 queries; it takes 662" in unstated
    assert "--samples 662" in unstated
    assert "at most" not in unstated


def test_a_benchmark_shows_them_all():
    row = run(end_to_end=whole(), throughput=throughput(), scenario=outcome())
    result = BenchmarkResult(runs=(row,), ratios=(), warnings=(), rounds=1, seconds=1)
    text = shown(render(result), width=120)

    assert text.index("whole picture") < text.index("throughput") < text.index("multi-stream:")


def test_a_fleet_shows_them_by_device():
    def device(name, fps):
        row = run(throughput=throughput(fps=fps))
        measured = BenchmarkResult(runs=(row,), ratios=(), warnings=(), rounds=1, seconds=1)
        return DeviceResult(name=name, labels=(), address=f"ssh {name}", benchmark=measured)

    lost = DeviceResult(name="lost", labels=(), address="ssh lost", error="gone", remedy="look")
    fleet = FleetResult(devices=(device("orin", 50.0), lost, device("pi", 7.5)), seconds=1)
    text = shown(render_fleet(fleet), width=120)

    assert "orin: a.onnx onnxruntime 4 50.0 ±10.0" in text
    assert "pi: a.onnx onnxruntime 4 7.5 ±10.0" in text
