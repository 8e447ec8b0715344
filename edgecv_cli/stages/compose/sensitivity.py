"""Damage by group of layers: a table and a plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgecv_cli.compress.quantization.sensitivity import GroupDamage, Sensitivity
from edgecv_cli.report.blocks import (
    Bar,
    Bars,
    Block,
    Callout,
    Document,
    Heading,
    Paragraph,
    Table,
    Tone,
)
from edgecv_cli.stages.compose.origin import machine_blocks, warning_blocks
from edgecv_cli.stages.compose.writing import fixed, percent, plural

if TYPE_CHECKING:
    from edgecv_cli.stages.sensitivity_result import SensitivityResult

_OPEN = 15
_NAMED = 4


def sensitivity_document(result: SensitivityResult) -> Document:
    """Return the report of a run that only measured damage."""
    name = Path(result.model).name
    recipe = f"{result.precision} for {result.target}, placement {result.placement}, "
    blocks = [
        _verdict(result.sensitivity),
        *warning_blocks(result.warnings),
        *sensitivity_blocks(result.sensitivity),
        *machine_blocks(result.machine, result.edgecv),
    ]
    subtitle = f"{recipe}{result.estimator} ranges"
    return Document(f"edgecv sensitivity: {name}", subtitle, tuple(blocks))


def sensitivity_blocks(measured: Sensitivity) -> list[Block]:
    """Return the plot, the table, and how both were made."""
    if not measured.rows:
        return []
    bars = tuple(
        Bar(row.group, max(row.damage, 0.0), fixed(row.damage), _tone(row, measured.loss))
        for row in measured.rows
    )
    return [
        Heading("Damage by group of layers"),
        Bars("Loss with only this group in integers", bars, open=_OPEN),
        _table(measured),
        Paragraph(how_measured(measured), muted=True),
    ]


def how_measured(measured: Sensitivity) -> str:
    """Return how the numbers were made, in one sentence."""
    form = ", integers as they are written" if measured.exact else ""
    return (
        "Loss: 1 - IoU x score agreement with the best detection of the same class, over the "
        f"detections of both sides, weighted by score above {measured.threshold:g}; 0 is no "
        f"difference to fp32, 1 nothing in common. {plural(measured.images, 'image')}, no "
        f"labels; {measured.engine}{form}. Gains of groups do not add up."
    )


def _verdict(measured: Sensitivity) -> Callout:
    worst = [row for row in measured.rows if row.damage > 0][:3]
    named = ", ".join(f"{row.group} ({fixed(row.damage)})" for row in worst)
    text = f"loss with {plural(len(measured.rows), 'group')} in integers; fp32 is 0."
    return Callout(f"{fixed(measured.loss)}", f"{text} Most of it: {named or 'no single group'}.")


def _tone(row: GroupDamage, loss: float) -> Tone:
    return "bad" if row.damage > loss / 10 else "plain"


def _table(measured: Sensitivity) -> Table:
    header = ("group", "what", "precision", "damage", "MACs", "layers")
    rows = tuple(
        (
            row.group,
            row.kind,
            row.precision,
            fixed(row.damage),
            percent(row.macs_share),
            _some(row.layers),
        )
        for row in measured.rows
    )
    caption = f"Groups, the most damaging first; loss with all of them {fixed(measured.loss)}"
    return Table(header, rows, frozenset({3, 4}), caption=caption)


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - _NAMED
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown
