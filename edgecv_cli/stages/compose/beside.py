"""Whole pictures, streams and scenarios of a benchmark, in its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecv_cli.report.blocks import Block, Heading, Paragraph, Table
from edgecv_cli.stages.compose.writing import fixed

if TYPE_CHECKING:
    from edgecv_cli.measure.latency_result import BenchRun
    from edgecv_cli.stages.benchmark_result import BenchmarkResult

_STAGES = ("decode", "preprocess", "infer", "postprocess", "total")
BESIDE = (
    *(f"{stage}_p50_ms" for stage in _STAGES),
    "end_to_end_fps",
    "streams",
    "throughput_fps",
    "scenario",
    "scenario_ms",
)
"""Columns of CSV."""


def beside_blocks(result: BenchmarkResult) -> list[Block]:
    """Return what was measured beside the latency of single inferences."""
    return [*_whole(result.runs), *_streams(result.runs), *_scenarios(result.runs)]


def beside_cells(run: BenchRun) -> dict[str, object]:
    """Return the cells of ``BESIDE`` that were measured."""
    cells: dict[str, object] = {}
    if run.end_to_end is not None:
        times = {f"{stage}_p50_ms": getattr(run.end_to_end, stage).p50_ms for stage in _STAGES}
        cells |= {**times, "end_to_end_fps": run.end_to_end.fps}
    if run.throughput is not None:
        cells |= {"streams": run.throughput.streams, "throughput_fps": run.throughput.fps}
    if run.scenario is not None:
        cells |= {"scenario": run.scenario.scenario, "scenario_ms": run.scenario.latency_ms}
    return cells


def _name(run: BenchRun) -> str:
    return f"{Path(run.model).name} on {run.engine}"


def _whole(runs: Sequence[BenchRun]) -> list[Block]:
    found = [(run, run.end_to_end) for run in runs if run.end_to_end is not None]
    if not found:
        return []
    rows = tuple(
        (
            _name(run),
            *(fixed(getattr(whole, stage).p50_ms, 2, " ms") for stage in _STAGES),
            fixed(whole.total.p95_ms, 2, " ms"),
            fixed(whole.fps, 1),
        )
        for run, whole in found
    )
    fewest = min(whole.samples for _, whole in found)
    how = (
        "Medians beside the total's p95, one picture after the other, on "
        f"{found[0][1].source}; at least {fewest} pictures were timed for each row."
    )
    return [
        Heading("Whole pictures", 3),
        Table(("model", *_STAGES, "total p95", "fps"), rows, frozenset(range(1, 8))),
        Paragraph(how, muted=True),
    ]


def _streams(runs: Sequence[BenchRun]) -> list[Block]:
    found = [(run, run.throughput) for run in runs if run.throughput is not None]
    if not found:
        return []
    rows = tuple(
        (
            _name(run),
            str(one.streams),
            fixed(one.fps, 1),
            f"{one.interval.low:.1f} to {one.interval.high:.1f}" if one.interval else "",
            fixed(one.p50_ms, 2, " ms"),
            fixed(one.p99_ms, 2, " ms"),
        )
        for run, one in found
    )
    how = "Images a second of all streams together; times are of one inference while others run."
    return [
        Heading("Throughput", 3),
        Table(
            ("model", "streams", "fps", "95 % interval", "p50", "p99"), rows, frozenset(range(1, 6))
        ),
        Paragraph(how, muted=True),
    ]


def _scenarios(runs: Sequence[BenchRun]) -> list[Block]:
    found = [(run, run.scenario) for run in runs if run.scenario is not None]
    if not found:
        return []
    rows = tuple(
        (
            f"{_name(run)}, {one.scenario}",
            f"p{one.percentile:.0f}",
            fixed(one.latency_ms, 2, " ms") or f"not before {one.queries_needed} queries",
            fixed(one.measured_ms, 2, " ms"),
            str(one.queries),
            str(one.samples_per_query),
        )
        for run, one in found
    )
    how = (
        "At most: the percentile is not above it with 99 % confidence (the early-stopping rule "
        "of MLPerf Inference)."
    )
    return [
        Heading("Scenarios", 3),
        Table(
            ("model", "percentile", "at most", "measured", "queries", "samples a query"),
            rows,
            frozenset(range(2, 6)),
        ),
        Paragraph(how, muted=True),
    ]
