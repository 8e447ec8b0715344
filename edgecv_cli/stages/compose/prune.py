"""The report of a prune run."""

from __future__ import annotations

from pathlib import Path

from edgecv_cli.report.blocks import (
    Bar,
    Bars,
    Block,
    Callout,
    Change,
    Changes,
    Curves,
    Document,
    Facts,
    Figure,
    Figures,
    Heading,
    Line,
    Paragraph,
    Table,
)
from edgecv_cli.stages.compose.accuracy import class_changes
from edgecv_cli.stages.compose.latency import Timed, latency_blocks
from edgecv_cli.stages.compose.origin import lineage_blocks, machine_blocks, warning_blocks
from edgecv_cli.stages.compose.writing import (
    between,
    fixed,
    how,
    lost,
    megabytes,
    percent,
    plural,
    relative_change,
    sentence,
    signed,
    speed_shown,
)
from edgecv_cli.stages.prune_result import FitRow, PruneResult

_SIDES = ("original", "pruned")
_OPEN = 24


def prune_document(result: PruneResult) -> Document:
    """Return the report of one run."""
    blocks = [_verdict(result), *_figures(result), *_before_after(result)]
    blocks += warning_blocks(result.warnings)
    if result.gates:
        gates = tuple((name.replace("_", " "), text) for name, text in result.gates.items())
        blocks += [Heading("Gates", 3), Facts(gates)]
    blocks += [*_curve(result), *_speeds(result), *_widths(result), *_damages(result)]
    blocks += [*_fits(result), *_finetune(result), *_latency(result), *_classes(result)]
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


def _verdict(result: PruneResult) -> Callout:
    if result.saved is not None:
        return Callout("Every gate was met.", f"Saved as {Path(result.saved).name}.", "good")
    kept = f" It was kept as {Path(result.rejected).name}." if result.rejected else ""
    return Callout("Refused.", f"Nothing was saved under the name that was asked for.{kept}", "bad")


def _figures(result: PruneResult) -> list[Block]:
    figures = []
    if result.speedup is not None:
        figures.append(_speed(result))
    if result.flops_ratio is not None:
        detail = f"and {percent(result.parameters_ratio)} of the parameters"
        figures.append(Figure(percent(result.flops_ratio), "of the multiply-accumulates", detail))
    if result.size_ratio is not None and result.baseline and result.optimized:
        sizes = (
            f"{megabytes(result.baseline.size_bytes)} to {megabytes(result.optimized.size_bytes)}"
        )
        figures.append(Figure(f"{result.size_ratio:.2f} x", "smaller file", sizes))
    made = result.how
    if result.drop is not None:
        on = (
            f" on {plural(made.evaluation_images, 'image')}"
            if made and made.evaluation_images
            else ""
        )
        detail = f"{lost(result.drop)}{on}"
        figures.append(Figure(percent(1 - result.drop.relative), "of the mAP kept", detail))
    if result.agreement is not None:
        on = plural(made.agreement_images, "image") if made and made.agreement_images else ""
        detail = sentence([f"F1 of matched detections, {on}"])
        figures.append(Figure(f"{result.agreement:.3f}", "agreement with the original", detail))
    return [Figures(tuple(figures))] if figures else []


def _speed(result: PruneResult) -> Figure:
    interval = result.speedup_interval
    label, value = "the speed of the original", f"{result.speedup or 0:.2f} x"
    if interval is None:
        return Figure(value, label)
    said, tone = speed_shown(interval)
    return Figure(value, label, f"{said}: {between(interval, 2)}", tone)


def _before_after(result: PruneResult) -> list[Block]:
    before, after = result.baseline, result.optimized
    if before is None or after is None:
        return []
    change = None if before.map is None or after.map is None else 100 * (after.map - before.map)
    times = [
        (name, fixed(a, 2, " ms"), fixed(b, 2, " ms"), relative_change(a, b))
        for name, a, b in (
            ("p50", before.p50_ms, after.p50_ms),
            ("p95", before.p95_ms, after.p95_ms),
        )
    ]
    sizes = (before.size_bytes, after.size_bytes)
    rows = [
        ("mAP50-95", fixed(before.map), fixed(after.map), signed(change, 1, " pt")),
        ("mAP50", fixed(before.map50), fixed(after.map50), ""),
        *times,
        ("file", *map(megabytes, sizes), relative_change(*sizes)),
    ]
    measured = tuple(row for row in rows if row[1])
    table = Table(("", *_SIDES, "change"), measured, numeric=frozenset({1, 2, 3}))
    return [Heading("Before and after"), table, _how_made(result)]


def _how_made(result: PruneResult) -> Paragraph:
    made, interval = result.how, result.drop_interval
    labelled = made.evaluation_images if made else None
    spent = ", ".join(f"{name} {value:.0f} s" for name, value in (result.seconds or {}).items())
    parts = [
        f"mAP by pycocotools on the same {plural(labelled, 'labelled image')}" if labelled else "",
        f"points lost: {between(interval, 2)}, {how(interval)}, paired by image"
        if interval
        else "",
        f"speed: {made.speed_source}, {plural(made.speed_rounds, 'round')}"
        if made and made.speed_rounds
        else "",
        f"{made.engine}, {plural(made.threads, 'thread')}, seed {made.seed}" if made else "",
        spent,
    ]
    return Paragraph(sentence(parts), muted=True)


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
    said = (
        f"{plural(made.steps, 'update')}, the best after {made.best}: {fixed(made.before, 4)} to "
        f"{fixed(made.after, 4)}; ended by {made.ended}"
    )
    blocks: list[Block] = [Heading("Fine-tuning"), Paragraph(f"{said}.", muted=True)]
    if len(made.curve) > 1:
        line = Line("held-out images", tuple((float(step), value) for step, value in made.curve))
        title = "Distance of the raw predictions from the original's"
        blocks.insert(1, Curves(title, "updates", "distance", (line,)))
    return blocks


def _latency(result: PruneResult) -> list[Block]:
    sides = zip(_SIDES, (result.baseline, result.optimized), strict=True)
    timed = [Timed(n, one.p50_ms, one.p95_ms, one.distribution) for n, one in sides if one]
    made = result.how
    rounds = plural(made.speed_rounds, "round") if made and made.speed_rounds else ""
    source = f"{made.speed_source}, {rounds}" if made and rounds else ""
    blocks = latency_blocks(timed, sentence([source])) if timed else []
    return [Heading("Latency"), *blocks] if blocks else []


def _classes(result: PruneResult) -> list[Block]:
    before, after = result.baseline, result.optimized
    if before is None or after is None or before.per_class is None or after.per_class is None:
        return []
    changed = class_changes(before.per_class, after.per_class, None, _SIDES)
    return [Heading("Accuracy by class"), *changed] if changed else []
