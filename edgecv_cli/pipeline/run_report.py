"""A run as one HTML report: every step, then what each of them found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgecv_cli.core.result import Result
from edgecv_cli.pipeline.run_result import RunResult
from edgecv_cli.report.blocks import Block, Document, Heading, Table, deeper
from edgecv_cli.stages.compose.origin import lineage_blocks, machine_blocks
from edgecv_cli.stages.compose.step import compose_result
from edgecv_cli.stages.converting.result import ConversionResult
from edgecv_cli.stages.quantize_result import QuantizeResult


def run_document(
    result: RunResult,
    results: Mapping[str, Result],
    pictures: Mapping[str, Sequence[Block]] | None = None,
) -> Document:
    """Return the report of a run.

    Args:
        result: the run.
        results: what each step reported, by its id.
        pictures: what was drawn of a step, by its id.
    """
    blocks: list[Block] = [_table(result)]
    for step in result.steps:
        if step.id in results:
            blocks.append(Heading(f"{step.id}: {step.stage}"))
            blocks += deeper(compose_result(results[step.id], (pictures or {}).get(step.id, ())))
    blocks += _origin(results)
    return Document("edgecv run", result.pipeline, tuple(blocks))


def _origin(results: Mapping[str, Result]) -> list[Block]:
    """Return the longest history among the models that were made, and the machine."""
    makers = QuantizeResult | ConversionResult
    made = [r for r in results.values() if isinstance(r, makers) and r.saved is not None]
    blocks: list[Block] = []
    if made:
        last = max(made, key=lambda result: len(result.provenance))
        name = Path(last.saved or "").name
        blocks += lineage_blocks(last.provenance, name=name, sha256=last.sha256)
    measured = [result for result in results.values() if result.machine is not None]
    return blocks + (machine_blocks(measured[-1].machine, measured[-1].edgecv) if measured else [])


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
