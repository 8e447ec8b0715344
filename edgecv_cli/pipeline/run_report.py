"""A run as one HTML report: every step, then what each of them found."""

from __future__ import annotations

from collections.abc import Mapping

from edgecv_cli.core.result import Result
from edgecv_cli.pipeline.run_result import RunResult
from edgecv_cli.report.blocks import Block, Document, Facts, Heading, Paragraph, Table


def run_document(result: RunResult, results: Mapping[str, Result]) -> Document:
    """Return the report of a run; ``results`` holds what each step reported, by its id."""
    blocks: list[Block] = [_table(result)]
    for step in result.steps:
        if step.id in results:
            blocks.append(Heading(f"{step.id}: {step.stage}"))
            blocks += _blocks(results[step.id], step.summary)
    return Document("edgecv run", result.pipeline, tuple(blocks))


def _table(result: RunResult) -> Table:
    header = ("step", "stage", "status", "seconds", "figures")
    rows = tuple(
        (
            step.id,
            step.stage,
            step.status,
            "" if step.seconds is None else f"{step.seconds:.1f}",
            step.summary or step.why or "",
        )
        for step in result.steps
    )
    return Table(header, rows, numeric=frozenset({3}), caption="Steps in the order they were done")


def _blocks(result: Result, summary: str | None) -> list[Block]:
    plain = result.to_json()
    facts = tuple((k, str(v)) for k, v in plain.items() if isinstance(v, str | int | float))
    return [Paragraph(summary or ""), Facts(facts)]
