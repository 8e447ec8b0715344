"""The files that a benchmark writes of itself: HTML, Markdown, CSV and JUnit XML."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgecv_cli.config.fail_if import METRICS
from edgecv_cli.report.blocks import Document
from edgecv_cli.report.junit import Case, junit
from edgecv_cli.stages.compose.benchmark import benchmark_document
from edgecv_cli.stages.compose.beside import BESIDE, beside_cells
from edgecv_cli.stages.compose.result_files import Drafts, result_files, write_document

if TYPE_CHECKING:
    from edgecv_cli.config.benchmark import BenchmarkConfig
    from edgecv_cli.stages.benchmark_result import BenchmarkResult

_NAMED = ("model", "engine", "provider", "threads", "samples", "rounds", "error")
_LAYERS = ("precision", "float_fallbacks")
_WITH_INTERVALS = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "mean_ms", "fps")


class BenchmarkFiles:
    """Places that are taken before the work, and filled after it."""

    def __init__(self, drafts: Drafts) -> None:
        self._drafts = drafts

    def write(self, result: BenchmarkResult) -> None:
        """Write what was asked for."""
        self.fill(
            lambda: benchmark_document(result), benchmark_csv(result), benchmark_junit(result)
        )

    def fill(self, document: Callable[[], Document], rows: str, cases: str) -> None:
        """Write what was asked for: a document as HTML and Markdown, CSV, and JUnit XML."""
        write_document(self._drafts, document)
        self._drafts["csv"].write_text(rows)
        self._drafts["junit"].write_text(cases)


@contextmanager
def benchmark_files(config: BenchmarkConfig) -> Iterator[BenchmarkFiles]:
    """Take the places of all files; they appear when the block is left, also if a gate refuses.

    Raises:
        EdgeCVError: as :func:`result_files`.
    """
    places = {"report": config.report, "md": config.md, "csv": config.csv, "junit": config.junit}
    read = (config.data, config.compare, config.spec, config.devices)
    inputs = [*config.models, *filter(None, read)]
    with result_files(places, force=config.force, inputs=inputs) as drafts:
        yield BenchmarkFiles(drafts)


def benchmark_csv(result: BenchmarkResult) -> str:
    """Return the rows as CSV; a cell of what was not measured is empty."""
    text = io.StringIO()
    ends = [f"{name}_{end}" for name in _WITH_INTERVALS for end in ("low", "high")]
    writer = csv.DictWriter(
        text,
        [*_NAMED, *METRICS, *ends, "map_low", "map_high", *_LAYERS, *BESIDE],
        lineterminator="\n",
    )
    writer.writeheader()
    for run in result.runs:
        plain = (*_NAMED, *METRICS, "map_low", "map_high", *_LAYERS)
        row = {name: getattr(run, name) for name in plain}
        for name, interval in (run.intervals or {}).items():
            row[f"{name}_low"], row[f"{name}_high"] = interval.low, interval.high
        row |= beside_cells(run)
        writer.writerow(row)
    return text.getvalue()


def benchmark_junit(result: BenchmarkResult) -> str:
    """Return rows and conditions as JUnit XML."""
    return junit("edgecv benchmark", benchmark_cases(result), seconds=result.seconds)


def benchmark_cases(result: BenchmarkResult) -> list[Case]:
    """Return rows and conditions as test cases."""
    cases = [
        Case(
            f"{Path(run.model).name} on {run.engine}",
            "error" if run.error else "passed",
            kind="engine" if run.error else "",
            message=run.error or "",
            said=None
            if run.p50_ms is None
            else f"p50 {run.p50_ms:.2f} ms, p95 {run.p95_ms:.2f} ms",
        )
        for run in result.runs
    ]
    for gate in result.gates or ():
        name = f"{Path(gate.model).name} on {gate.engine}: not {gate.condition}"
        if gate.met:
            cases.append(Case(name, said=gate.text))
        else:
            cases.append(Case(name, "failure", "gate", gate.text))
    return cases
