"""What ``edgecv targets`` shows: a row for each target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from edgecv_cli.cli.render.tables import line
from edgecv_cli.cli.streams import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from edgecv_cli.stages.targets import TargetsResult, TargetState


def render(result: TargetsResult) -> Iterator[RenderableType]:
    """Yield the targets, and what was installed."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for state in result.targets:
        style = "green" if state.ready else "yellow"
        word = f"verified: {state.verified}" if state.verified else "not here"
        table.add_row(Text(state.name, "bold"), Text(word, style), _about(state))
    yield table
    if result.installed is not None:
        yield line(f"target {result.installed} is installed", "bold green")


def _about(state: TargetState) -> Text:
    cell = Text(f"{plain(state.makes)}: {state.command}")
    own = {name: version for name, version in state.found.items() if "(" not in name}
    packages = ", ".join(f"{name} {version}" for name, version in own.items())
    others = len(state.found) - len(own)
    if others:
        packages += f"{', ' if packages else ''}{others} packages in {state.environment}"
    if packages:
        cell.append(f"\nhere: {plain(packages)}", "dim")
    cell.append(f"\n{plain(state.why)}", "dim")
    for text in state.install:
        cell.append(f"\ninstall: {plain(text)}", "cyan")
    return cell
