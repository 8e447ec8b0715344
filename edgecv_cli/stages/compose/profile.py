"""The operators of a benchmark's rows in its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgecv_cli.measure.operator_words import how_text, integers_text
from edgecv_cli.report.blocks import Bar, Bars, Block, Heading, Paragraph
from edgecv_cli.stages.compose.writing import percent, plural

if TYPE_CHECKING:
    from edgecv_cli.measure.latency_result import BenchRun
    from edgecv_cli.measure.operator_profile import OperatorProfile
    from edgecv_cli.stages.benchmark_result import BenchmarkResult

_OPEN = 8


def profile_blocks(result: BenchmarkResult) -> list[Block]:
    """Return what layers work in, and where the time goes; nothing where neither was looked at."""
    looked = [run for run in result.runs if run.precision is not None or run.operators is not None]
    if not looked:
        return []
    blocks: list[Block] = [Heading("Operators", 3)]
    for run in looked:
        blocks += _row(run)
    return blocks


def _row(run: BenchRun) -> list[Block]:
    name = f"{Path(run.model).name} on {run.engine}"
    blocks: list[Block] = []
    if run.precision is not None:
        blocks.append(Paragraph(f"{name}: {run.precision}."))
    if run.operators is not None:
        blocks += _bars(run.operators, name)
        blocks.append(Paragraph(_sentence(how_text(run.operators, run.p50_ms)), muted=True))
    return blocks


def _bars(profile: OperatorProfile, name: str) -> list[Block]:
    slowest = tuple(
        Bar(one.name, one.share, f"{percent(one.share)}, {one.kind}, {one.precision}")
        for one in profile.operators
    )
    kinds = tuple(
        Bar(one.kind, one.share, f"{percent(one.share)}, {plural(one.count, 'operator')}")
        for one in profile.kinds
    )
    integers = integers_text(profile)
    return [
        Bars(f"Time by kind of operator, {name}", kinds, _OPEN),
        Bars(f"Slowest operators, {name}", slowest, _OPEN),
        *([] if integers is None else [Paragraph(_sentence(integers))]),
    ]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
