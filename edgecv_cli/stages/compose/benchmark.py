"""The report of a benchmark run."""

from __future__ import annotations

from pathlib import Path

from edgecv_cli.measure.latency_result import BenchRun
from edgecv_cli.report.blocks import Block, Heading, Paragraph, Table
from edgecv_cli.stages.benchmark import BenchmarkResult
from edgecv_cli.stages.compose.latency import Timed, latency_blocks
from edgecv_cli.stages.compose.origin import warning_blocks
from edgecv_cli.stages.compose.writing import fixed, megabytes, plural


def compose_benchmark(result: BenchmarkResult) -> list[Block]:
    """Return the blocks of a run, without its machine."""
    blocks = [*warning_blocks(result.warnings), _table(result)]
    how = f"{plural(result.rounds, 'interleaved round')}, each artifact in a process of its own."
    mapped = f" mAP by pycocotools on {plural(result.images, 'image')}." if result.images else ""
    blocks.append(Paragraph(f"{how}{mapped}", muted=True))
    ratios = [
        f"{Path(r.b).name} is {r.ratio:.2f} x as fast as {Path(r.a).name} "
        f"(95 % interval {r.low:.2f} to {r.high:.2f})."
        for r in result.ratios
    ]
    blocks += [Paragraph(text) for text in ratios]
    timed = [Timed(_name(run), run.p50_ms, run.p95_ms, run.distribution) for run in result.runs]
    drawn = latency_blocks(timed, how)
    return blocks + ([Heading("Latency", 3), *drawn] if drawn else [])


def _name(run: BenchRun) -> str:
    return f"{Path(run.model).name} on {run.engine}"


def _table(result: BenchmarkResult) -> Table:
    header = ("model", "p50", "p95", "peak memory", "file", "mAP50-95", "threads")
    rows = tuple(
        (
            _name(run),
            fixed(run.p50_ms, 2, " ms") if run.error is None else f"failed: {run.error}",
            fixed(run.p95_ms, 2, " ms"),
            megabytes(run.peak_rss_bytes),
            megabytes(run.size_bytes),
            fixed(run.map),
            str(run.threads),
        )
        for run in result.runs
    )
    return Table(header, rows, frozenset(range(1, len(header))))
