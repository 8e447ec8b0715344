"""The report of a prune run."""

from __future__ import annotations

from pathlib import Path

from edgecv_cli.report.blocks import (
    Bar,
    Bars,
    Block,
    Change,
    Changes,
    Curves,
    Document,
    Figure,
    Figures,
    Heading,
    Line,
    Paragraph,
    Table,
)
from edgecv_cli.stages.compose.before_after import (
    Learning,
    Sides,
    before_after,
    classes,
    gate_blocks,
    how_judged,
    kept_figures,
    latencies,
    learning_blocks,
    size_figures,
    speed_figures,
    verdict,
)
from edgecv_cli.stages.compose.origin import lineage_blocks, machine_blocks, warning_blocks
from edgecv_cli.stages.compose.writing import fixed, percent, plural, sentence
from edgecv_cli.stages.prune_result import FitRow, PruneResult

_SIDES = ("original", "pruned")
_OPEN = 24


def prune_document(result: PruneResult) -> Document:
    """Return the report of one run."""
    blocks = [verdict(result), *_figures(result), *_before_after(result)]
    blocks += warning_blocks(result.warnings)
    blocks += gate_blocks(result.gates)
    blocks += [*_curve(result), *_speeds(result), *_widths(result), *_damages(result)]
    sides = Sides(_SIDES, result.baseline, result.optimized)
    blocks += [*_fits(result), *_finetune(result)]
    blocks += [*latencies(sides, result.how), *classes(sides)]
    blocks += [Paragraph(f"Note: {note}.", muted=True) for note in result.notes]
    name = Path(result.saved or "").name
    blocks += lineage_blocks(result.provenance, name=name, sha256=result.sha256)
    blocks += machine_blocks(result.machine, result.edgecv)
    kept = (
        "nothing was cut"
        if result.flops_ratio is None
        else f"{percent(result.flops_ratio)} of the multiply-accumulates kept"
    )
    return Document(f"edgecv prune: {Path(result.model).name}", kept, tuple(blocks))


def _figures(result: PruneResult) -> list[Block]:
    figures = speed_figures(result)
    if result.flops_ratio is not None:
        detail = f"and {percent(result.parameters_ratio)} of the parameters"
        figures.append(Figure(percent(result.flops_ratio), "of the multiply-accumulates", detail))
    figures += size_figures(result.size_ratio, result.baseline, result.optimized)
    figures += kept_figures(result)
    made = result.how
    if result.agreement is not None:
        on = plural(made.agreement_images, "image") if made and made.agreement_images else ""
        detail = sentence([f"F1 of matched detections, {on}"])
        figures.append(Figure(f"{result.agreement:.3f}", "agreement with the original", detail))
    return [Figures(tuple(figures))] if figures else []


def _before_after(result: PruneResult) -> list[Block]:
    spent = ", ".join(f"{name} {value:.0f} s" for name, value in (result.seconds or {}).items())
    sides = Sides(_SIDES, result.baseline, result.optimized)
    return before_after(sides, how_judged(result, spent))


def _curve(result: PruneResult) -> list[Block]:
    if not result.curve:
        return []
    points = sorted((row.flops_ratio, row.damage) for row in result.curve)
    line = Line("loss of detections", (*points, (1.0, 0.0)))
    images = plural(result.curve_images or 0, "calibration image")
    return [
        Heading("What budgets cost"),
        Curves(
            "Loss of detections against what is kept",
            "multiply-accumulates kept",
            "loss",
            (line,),
            (0.0, max(0.05, *(loss for _, loss in points))),
        ),
        Paragraph(
            "Loss: 1 - IoU x score agreement with the best detection of the same class, both "
            f"sides, weighted by score; 0 is no difference. {images}, no labels. Every layer "
            "fitted by itself: the recovery, layer after layer, comes after it and returns some.",
            muted=True,
        ),
    ]


def _speeds(result: PruneResult) -> list[Block]:
    if not result.speeds:
        return []
    rows = tuple(
        (percent(row.flops_ratio), f"{row.speedup:.2f} x", f"{row.low:.2f} to {row.high:.2f}")
        for row in result.speeds
    )
    header = ("multiply-accumulates kept", "speed", "95 % interval")
    caption = "Cuts that were timed beside the original, in the order that they were tried"
    return [
        Heading("On the way to the speed"),
        Table(header, rows, frozenset({1, 2}), caption=caption),
    ]


def _widths(result: PruneResult) -> list[Block]:
    changed = [row for row in result.widths if row.after < row.before]
    if not changed:
        return []
    rows = tuple(
        Change(
            row.layer,
            row.before,
            row.after,
            f"{row.before} to {row.after}",
            f"{percent(1 - row.after / row.before, 0)} left",
        )
        for row in changed
    )
    whole = len(result.widths) - len(changed)
    return [
        Heading("Channels of every layer"),
        Changes("Channels, in the graph's order", _SIDES, rows, open=_OPEN),
        Paragraph(f"{plural(whole, 'other layer')} kept all of their channels.", muted=True),
    ]


def _damages(result: PruneResult) -> list[Block]:
    rows = [row for row in result.groups if row.removed and row.damage is not None]
    if not rows:
        return []
    bars = tuple(
        Bar(row.producers[0], max(row.damage or 0.0, 0.0), fixed(row.damage))
        for row in sorted(rows, key=lambda row: -(row.damage or 0.0))
    )
    title = "Loss of detections with this group alone cut as it was"
    return [Heading("Damage by group of channels"), Bars(title, bars, open=_OPEN // 2)]


def _fits(result: PruneResult) -> list[Block]:
    if not result.fits:
        return []
    rows = tuple(_fit(row) for row in sorted(result.fits, key=lambda row: -row.after)[:_OPEN])
    header = ("layer", "error before", "after", "ridge")
    caption = (
        "Layers fitted anew, the worst first: mean squared error over the variance of the whole "
        "network's output, on held-out calibration images"
    )
    return [Heading("Recovery"), Table(header, rows, frozenset({1, 2, 3}), caption=caption)]


def _fit(row: FitRow) -> tuple[str, str, str, str]:
    ridge = "" if row.ridge is None else f"{row.ridge:g}"
    return row.layer, fixed(row.before, 4), fixed(row.after, 4), ridge


def _finetune(result: PruneResult) -> list[Block]:
    made = result.finetune
    if made is None:
        return []
    title = "Distance of held-out images from what the original predicts"
    return learning_blocks("Fine-tuning", title, Learning(**made.model_dump()))
