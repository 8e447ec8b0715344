"""The report of a benchmark run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgecv_cli.measure.latency_result import BenchRun
from edgecv_cli.report.blocks import Block, Document, Heading, Paragraph, Table
from edgecv_cli.stages.compose.beside import beside_blocks
from edgecv_cli.stages.compose.conditions import condition_blocks, energy_blocks
from edgecv_cli.stages.compose.gates import gate_blocks
from edgecv_cli.stages.compose.latency import Timed, latency_blocks
from edgecv_cli.stages.compose.origin import machine_blocks, warning_blocks
from edgecv_cli.stages.compose.profile import profile_blocks
from edgecv_cli.stages.compose.trade_off import trade_off_blocks
from edgecv_cli.stages.compose.writing import fixed, megabytes, plural

if TYPE_CHECKING:
    from edgecv_cli.stages.benchmark_result import BenchmarkResult


def benchmark_document(result: BenchmarkResult) -> Document:
    """Return the report of one run."""
    models = plural(len({run.model for run in result.runs}), "model")
    engines = plural(len({run.engine for run in result.runs}), "engine")
    blocks = [*gate_blocks(result.gates, result.compared_to), *compose_benchmark(result)]
    blocks += machine_blocks(result.machine, result.edgecv)
    return Document("edgecv benchmark", f"{models}, {engines}", tuple(blocks))


def compose_benchmark(result: BenchmarkResult) -> list[Block]:
    """Return the blocks of a run, without its machine."""
    blocks = [*warning_blocks(result.warnings), _table(result)]
    launched = f" in {plural(result.launches, 'launch', 'launches')}" if result.launches else ""
    how = (
        f"{plural(result.rounds, 'interleaved round')}{launched}, each artifact in a process of "
        "its own."
    )
    mapped = f" mAP by pycocotools on {plural(result.images, 'image')}." if result.images else ""
    blocks.append(Paragraph(f"{how}{mapped}", muted=True))
    blocks += condition_blocks(result)
    ratios = [
        f"{Path(r.b).name} is {r.ratio:.2f} x as fast as {Path(r.a).name} "
        f"(95 % interval {r.low:.2f} to {r.high:.2f})."
        for r in result.ratios
    ]
    blocks += [Paragraph(text) for text in ratios]
    blocks += energy_blocks(result)
    blocks += trade_off_blocks(result)
    timed = [Timed(_name(run), run.p50_ms, run.p95_ms, run.distribution) for run in result.runs]
    drawn = latency_blocks(timed, how)
    blocks += [Heading("Latency", 3), *drawn] if drawn else []
    return [*blocks, *beside_blocks(result), *profile_blocks(result)]


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
