"""What ``edgecv quantize --sensitivity`` shows: damage by group of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.tables import facts, fixed, grid, line, measured_on, percent, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from edgecv_cli.compress.quantization.sensitivity import Sensitivity
    from edgecv_cli.stages.sensitivity_result import SensitivityResult

SHOWN = 20
_BAR = 20


def render(result: SensitivityResult) -> Iterator[RenderableType]:
    """Yield the table, how it was made, and where the report is."""
    yield from render_groups(result.sensitivity)
    yield facts(
        [
            (
                "recipe",
                f"{result.precision} for {result.target}: {result.placement}, {result.estimator}",
            ),
            ("loss", f"{result.sensitivity.loss:.3f} with every group in integers (fp32: 0)"),
            ("images", f"{result.sensitivity.images}, without labels"),
            ("took", f"{result.seconds:.1f} s"),
        ]
    )
    for text in result.warnings:
        yield warning(text)
    yield line("a loss is 0 if every detection stays as it was, 1 if nothing is in common", "dim")
    yield from measured_on(result.machine)
    if result.report is not None:
        yield line(f"report: {result.report}")


def render_groups(measured: Sensitivity) -> Iterator[RenderableType]:
    """Yield the groups, the most damaging first."""
    most = max((row.damage for row in measured.rows), default=0.0)
    rows = [
        (
            row.group,
            row.kind,
            "#" * round(_BAR * max(row.damage, 0.0) / most) if most > 0 else "",
            fixed(row.damage),
            percent(row.macs_share),
        )
        for row in measured.rows[:SHOWN]
    ]
    yield grid(("group", "what", "", "damage", "MACs"), rows, texts=3)
    more = len(measured.rows) - SHOWN
    if more > 0:
        yield line(f"and {more} more, which cost less each: see --json or --report", "dim")
