"""Which layers run in which precision, and why the others do not."""

from __future__ import annotations

from collections import defaultdict

from edgecv_cli.report.blocks import Bar, Bars, Block, Heading, Paragraph, Table
from edgecv_cli.stages.compose.writing import percent, plural
from edgecv_cli.stages.quantize_result import Layers

_NAMED = 6


def layer_blocks(layers: Layers, int8_share: float | None) -> list[Block]:
    """Return the layers by precision, and the reasons of those that stayed float."""
    bars = tuple(
        Bar(precision, count, plural(count, "layer"))
        for precision, count in layers.by_precision.items()
    )
    blocks: list[Block] = [Heading("Layers by precision"), Bars("Layers with weights", bars)]
    if int8_share is not None:
        text = f"{percent(int8_share)} of the multiply-accumulates run in integers."
        blocks.append(Paragraph(f"{text} Counted from the graph's shapes, not timed.", muted=True))
    if layers.reasons:
        blocks.append(_reasons(layers.reasons))
    return blocks


def _reasons(reasons: dict[str, str]) -> Table:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for layer, reason in reasons.items():
        by_reason[reason].append(layer)
    rows = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    return Table(
        ("why it stayed float", "layers", "which (by output tensor)"),
        tuple((reason, str(len(names)), _some(names)) for reason, names in rows),
        frozenset({1}),
    )


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown
