"""What a benchmark shows of operators and of the types that layers work in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.tables import fixed, grid, line, percent
from edgecv_cli.measure.operator_words import how_text, integers_text, kinds_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from edgecv_cli.measure.operator_profile import OperatorProfile
    from edgecv_cli.stages.benchmark_result import BenchmarkResult

_COLUMNS = ("operator", "name", "type", "ms", "share")
_SHOWN = 10


def precision_lines(result: BenchmarkResult) -> Iterator[RenderableType]:
    """Yield what each row's layers work in, where that was looked into."""
    engines = len({run.engine for run in result.runs}) > 1
    for run in result.runs:
        if run.precision is not None:
            on = f" on {run.engine}" if engines else ""
            yield line(f"{run.model}{on}: {run.precision}")


def operator_tables(result: BenchmarkResult) -> Iterator[RenderableType]:
    """Yield the slowest operators of each row that was profiled."""
    for run in result.runs:
        if run.operators is not None:
            yield line(f"operators of {run.model} on {run.engine}", "bold")
            yield from _table(run.operators, run.p50_ms)


def _table(profile: OperatorProfile, p50_ms: float | None) -> Iterator[RenderableType]:
    rows = [
        (
            one.kind if one.calls == 1 else f"{one.kind} x{one.calls}",
            one.name,
            one.precision,
            fixed(one.ms, 3),
            percent(one.share),
        )
        for one in profile.operators[:_SHOWN]
    ]
    yield grid(_COLUMNS, rows, texts=3)
    yield line(f"by kind: {kinds_text(profile)}")
    integers = integers_text(profile)
    if integers is not None:
        yield line(integers)
    yield line(how_text(profile, p50_ms), "dim")
