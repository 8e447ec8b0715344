"""Whole pictures, streams and scenarios in the files of a benchmark."""

from __future__ import annotations

import csv
import io

from edgecv_cli.core.result import Interval
from edgecv_cli.measure.end_to_end import EndToEnd, StageTime
from edgecv_cli.measure.latency_result import BenchRun
from edgecv_cli.measure.scenarios import ScenarioOutcome
from edgecv_cli.measure.throughput import Throughput
from edgecv_cli.report import html
from edgecv_cli.report.blocks import Heading, Table
from edgecv_cli.stages.benchmark_result import BenchmarkResult
from edgecv_cli.stages.compose.benchmark import benchmark_document
from edgecv_cli.stages.compose.benchmark_files import benchmark_csv
from edgecv_cli.stages.compose.beside import beside_blocks

STAGES = {"decode": 8.0, "preprocess": 2.0, "infer": 20.5, "postprocess": 1.0, "total": 31.75}
WHOLE = EndToEnd(
    **{name: StageTime(p50_ms=ms, p95_ms=2 * ms) for name, ms in STAGES.items()},
    fps=30.5, samples=40, images=4, source="4 <drawn> pictures", detections=2,
)  # fmt: skip
THROUGHPUT = Throughput(
    streams=4, threads=4, fps=100.0, p50_ms=40.0, p95_ms=50.0, p99_ms=60.0, samples=500, turns=10,
    interval=Interval(low=90.0, high=110.0, level=0.95, method="bootstrap", resamples=1000),
)  # fmt: skip
OUTCOME = ScenarioOutcome(
    scenario="single-stream", percentile=90, established=True, latency_ms=25.5, measured_ms=24.25,
    samples_per_query=1, streams=1, queries=64, queries_needed=64,
)  # fmt: skip


def result(**changes):
    run = BenchRun(model="/x/a.onnx", engine="onnxruntime", threads=2, p50_ms=20.0, **changes)
    return BenchmarkResult(runs=(run,), ratios=(), warnings=(), rounds=1, seconds=1)


def tables(result):
    blocks = beside_blocks(result)
    headings = [block.text for block in blocks if isinstance(block, Heading)]
    rows = [block.rows for block in blocks if isinstance(block, Table)]
    return dict(zip(headings, rows, strict=True))


def test_what_was_not_measured_has_no_section_and_empty_cells():
    (row,) = csv.DictReader(io.StringIO(benchmark_csv(result())))

    assert beside_blocks(result()) == []
    assert row["total_p50_ms"] == row["throughput_fps"] == row["scenario_ms"] == ""


def test_each_has_a_table():
    found = tables(result(end_to_end=WHOLE, throughput=THROUGHPUT, scenario=OUTCOME))

    assert found == {
        "Whole pictures": (
            ("a.onnx on onnxruntime", "8.00 ms", "2.00 ms", "20.50 ms", "1.00 ms", "31.75 ms",
             "63.50 ms", "30.5"),
        ),
        "Throughput": (
            ("a.onnx on onnxruntime", "4", "100.0", "90.0 to 110.0", "40.00 ms", "60.00 ms"),
        ),
        "Scenarios": (
            ("a.onnx on onnxruntime, single-stream", "p90", "25.50 ms", "24.25 ms", "64", "1"),
        ),
    }  # fmt: skip


def test_a_percentile_that_can_not_be_stated_says_what_it_takes():
    left = OUTCOME.model_copy(update={"established": False, "latency_ms": None, "queries": 9})

    ((row,),) = tables(result(scenario=left)).values()

    assert row[2:] == ("not before 64 queries", "24.25 ms", "9", "1")


def test_they_reach_the_page_and_the_rows():
    measured = result(end_to_end=WHOLE, throughput=THROUGHPUT, scenario=OUTCOME)
    page = html.render(benchmark_document(measured))
    (row,) = csv.DictReader(io.StringIO(benchmark_csv(measured)))

    assert "4 &lt;drawn&gt; pictures" in page
    assert "90.0 to 110.0" in page
    assert [row[name] for name in ("decode_p50_ms", "infer_p50_ms", "total_p50_ms")] == [
        "8.0", "20.5", "31.75",
    ]  # fmt: skip
    assert (row["streams"], row["throughput_fps"]) == ("4", "100.0")
    assert (row["scenario"], row["scenario_ms"]) == ("single-stream", "25.5")
