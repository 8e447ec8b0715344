"""What ``edgecv doctor`` shows: the machine, each finding, and a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from edgecv_cli.cli.render.tables import line
from edgecv_cli.cli.streams import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from edgecv_cli.measure.doctor.findings import Finding
    from edgecv_cli.stages.doctor import DoctorResult

_STYLES = {"ok": "green", "info": "", "warning": "yellow", "error": "bold red"}


def render(result: DoctorResult) -> Iterator[RenderableType]:
    """Yield all findings in their order, each with its remedy, and how many of each there are."""
    if result.machine is not None:
        machine = result.machine
        yield line(f"edgecv {result.edgecv} on {machine.os}, Python {machine.python}", "bold")
    yield _table(result.findings)
    counts = {
        level: sum(finding.level == level for finding in result.findings) for level in _STYLES
    }
    said = f"{_many(counts['error'], 'error')}, {_many(counts['warning'], 'warning')}"
    works = "edgecv works here" if result.error is None else "edgecv can't work here"
    yield line(f"{works}: {said}", "bold green" if result.error is None else "bold red")


def _table(findings: Sequence[Finding]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for finding in findings:
        style = _STYLES[finding.level]
        cell = Text(plain(finding.found))
        if finding.remedy is not None:
            cell.append(f"\nfix: {plain(finding.remedy)}", "cyan")
        table.add_row(Text(finding.level, style), Text(plain(finding.name)), cell)
    return table


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
