"""What ``edgecv run`` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from edgecv_cli.cli.render.tables import ABSENT, line, measured_on
from edgecv_cli.cli.streams import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from edgecv_cli.pipeline.run_result import RunResult, StepReport

_STYLES = {"done": "green", "cached": "cyan", "rejected": "red", "would run": "yellow"}


def render(result: RunResult) -> Iterator[RenderableType]:
    """Yield one row a step, what was published, and where the rest is kept."""
    yield line(f"{result.pipeline}{' (dry run)' if result.dry_run else ''}", "bold")
    yield _planned(result) if result.dry_run else _finished(result)
    for step in result.steps:
        for path in step.published:
            yield line(f"{step.id}: {path}")
    if result.report is not None:
        yield line(f"report: {result.report}")
    yield line(_ending(result), "dim")
    yield from measured_on(result.machine)


def _planned(result: RunResult) -> Table:
    table = _table("step", "stage", "input", "status", "why")
    for step in result.steps:
        table.add_row(*_start(step), Text(", ".join(step.inputs)), _status(step), _plain(step.why))
    return table


def _finished(result: RunResult) -> Table:
    table = _table("step", "stage", "status", "seconds", "figures")
    table.columns[3].justify = "right"
    for step in result.steps:
        took = ABSENT if step.seconds is None else f"{step.seconds:.1f}"
        said = step.summary if step.status != "rejected" else step.why
        table.add_row(*_start(step), _status(step), Text(took), _plain(said or step.why))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name in ("stage", "status", "seconds"))
    return table


def _start(step: StepReport) -> tuple[Text, Text]:
    return Text(step.id), Text(step.stage)


def _status(step: StepReport) -> Text:
    return Text(step.status, style=_STYLES.get(step.status, "dim"))


def _plain(text: str | None) -> Text:
    return Text(plain(text or ""))


def _ending(result: RunResult) -> str:
    """Say how much of it was new, in how long, and where finished steps are."""
    cached = sum(step.status == "cached" for step in result.steps)
    if result.dry_run:
        return f"{len(result.steps) - cached} to run, {cached} from the cache in {result.cache}"
    ran = sum(step.status in ("done", "rejected") for step in result.steps)
    once = " (seconds: when they were done)" if cached else ""
    return (
        f"{ran} ran, {cached} from the cache{once}, in {result.seconds:.1f} s; finished steps are "
        f"kept in {result.cache}"
    )
