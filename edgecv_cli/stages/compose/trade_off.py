"""Accuracy against time: which rows of a benchmark no other beats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgecv_cli.report.blocks import Block, Dot, Heading, Paragraph, Scatter
from edgecv_cli.stages.compose.writing import megabytes, plural

if TYPE_CHECKING:
    from edgecv_cli.measure.latency_result import BenchRun
    from edgecv_cli.stages.benchmark_result import BenchmarkResult


def trade_off_blocks(result: BenchmarkResult) -> list[Block]:
    """Return the plot of rows whose time and mAP were measured, if there are several."""
    dots = [dot for dot in map(_dot, result.runs) if dot is not None]
    if len(dots) < 2:
        return []
    how = (
        f"mAP on {plural(result.images, 'image')}" if result.images else "mAP"
    ) + ", p50 of one inference; the lines through a point are its 95 % intervals. Rows of the "
    how += "dashed line are beaten by no other: none is both as fast and as accurate."
    return [
        Heading("Accuracy and time", 3),
        Scatter("mAP50-95 against the time of one inference", "ms", "mAP50-95", tuple(dots)),
        Paragraph(how, muted=True),
    ]


def _dot(run: BenchRun) -> Dot | None:
    if run.p50_ms is None or run.map is None:
        return None
    between = (run.intervals or {}).get("p50_ms")
    return Dot(
        f"{Path(run.model).name} on {run.engine}",
        run.p50_ms,
        run.map,
        None if between is None else (between.low, between.high),
        None if run.map_low is None or run.map_high is None else (run.map_low, run.map_high),
        f"{run.p50_ms:.2f} ms, mAP {run.map:.3f}, {megabytes(run.size_bytes)}",
    )
