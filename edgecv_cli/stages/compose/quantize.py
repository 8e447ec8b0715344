"""The report of a quantize run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgecv_cli.report.blocks import (
    Block,
    Callout,
    Document,
    Facts,
    Figure,
    Figures,
    Heading,
    Paragraph,
    Table,
)
from edgecv_cli.stages.compose.accuracy import class_changes
from edgecv_cli.stages.compose.latency import Timed, latency_blocks
from edgecv_cli.stages.compose.layers import layer_blocks
from edgecv_cli.stages.compose.origin import lineage_blocks, machine_blocks, warning_blocks
from edgecv_cli.stages.compose.sensitivity import sensitivity_blocks
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
from edgecv_cli.stages.quantize_result import CandidateRow, QuantizeResult, Side

_ORIGINAL = "original"


def quantize_document(result: QuantizeResult, pictures: Sequence[Block] = ()) -> Document:
    """Return the report of one run."""
    name = Path(result.model).name
    blocks = compose_quantize(result, pictures)
    blocks += lineage_blocks(
        result.provenance, name=Path(result.saved or "").name, sha256=result.sha256
    )
    blocks += machine_blocks(result.machine, result.edgecv)
    return Document(f"edgecv quantize: {name}", _recipe(result), tuple(blocks))


def compose_quantize(result: QuantizeResult, pictures: Sequence[Block] = ()) -> list[Block]:
    """Return the blocks of a run, without its lineage and machine.

    Args:
        result: what the run reported.
        pictures: what :func:`pair_blocks` made of the same images, if they were looked at.
    """
    blocks: list[Block] = [_verdict(result), *_figures(result)]
    blocks += [Heading("Before and after"), *_before_after(result), _how_made(result)]
    blocks += warning_blocks(result.warnings)
    if result.gates:
        blocks += [Heading("Gates", 3), Facts(_gates(result))]
    blocks += _latency(result)
    if result.optimized is not None and _is_new(result):
        before, after = result.baseline.per_class, result.optimized.per_class
        changed = class_changes(before, after, result.objects, (_ORIGINAL, result.precision))
        blocks += [Heading("Accuracy by class"), *changed] if changed else []
    if pictures:
        blocks += [Heading("The same images, before and after"), *pictures]
    if result.layers is not None:
        blocks += layer_blocks(result.layers, result.int8_macs_share)
    if result.sensitivity is not None:
        blocks += sensitivity_blocks(result.sensitivity)
    return blocks + _decision(result)


def _is_new(result: QuantizeResult) -> bool:
    """Whether the optimized side is another model: ``--precision auto`` may keep fp32."""
    return result.precision != "fp32"


def _recipe(result: QuantizeResult) -> str:
    if result.placement is None:
        return f"{result.precision} for {result.target}"
    parts = [f"{result.precision} for {result.target}", f"placement {result.placement}"]
    if result.estimator:
        parts.append(f"{result.estimator} ranges")
    return ", ".join([*parts, *result.corrections])


def _verdict(result: QuantizeResult) -> Callout:
    if result.saved is None:
        return Callout("Refused.", _refused(result), "bad")
    saved = f"Saved as {Path(result.saved).name}."
    if not _is_new(result) and result.placement is not None:
        return Callout("The simplified fp32 graph.", f"int8 did not pay here. {saved}", "good")
    if not _is_new(result):
        return Callout("Kept fp32.", f"int8 was not shown to pay here. {saved}", "plain")
    return Callout("Every gate was met." if result.gates else "Done.", saved, "good")


def _refused(result: QuantizeResult) -> str:
    recipe = (result.placement, result.estimator, result.bias_correction)
    verdicts = [
        row.verdict
        for row in result.candidates
        if (row.placement, row.estimator, row.bias_correction) == recipe and row.verdict
    ]
    unmet = f"Not met: {verdicts[0].replace('_', ' ')}. " if verdicts else ""
    kept = (
        f" The best candidate was kept as {Path(result.rejected).name}." if result.rejected else ""
    )
    return f"{unmet}Nothing was saved under the name that was asked for.{kept}"


def _figures(result: QuantizeResult) -> list[Block]:
    figures = []
    if result.speedup is not None:
        figures.append(_speed(result.speedup, result))
    if result.size_ratio is not None:
        sizes = [result.baseline.size_bytes, result.optimized.size_bytes if result.optimized else 0]
        detail = " to ".join(megabytes(size) for size in sizes)
        figures.append(Figure(f"{result.size_ratio:.2f} x", "smaller file", detail))
    if result.drop is not None:
        detail = f"{lost(result.drop)} on {_images(result.how.evaluation_images)}"
        figures.append(Figure(percent(1 - result.drop.relative), "of the mAP kept", detail))
    if result.agreement is not None:
        detail = f"F1 of matched detections, {_images(result.how.agreement_images)}"
        figures.append(Figure(f"{result.agreement:.3f}", "agreement with the original", detail))
    return [Figures(tuple(figures))] if figures else []


def _speed(speedup: float, result: QuantizeResult) -> Figure:
    interval = result.speedup_interval
    label = "the speed of the original"
    if interval is None:
        return Figure(f"{speedup:.2f} x", label)
    said, tone = speed_shown(interval)
    return Figure(f"{speedup:.2f} x", label, f"{said}: {between(interval, 2)}", tone)


def _images(count: int | None) -> str:
    return "" if count is None else plural(count, "image")


def _before_after(result: QuantizeResult) -> list[Block]:
    before, after = result.baseline, result.optimized
    if after is None:
        return []
    rows = [
        ("mAP50-95", *_points(before.map, after.map)),
        ("95 % interval", _ends(before), _ends(after), _drop_interval(result)),
        ("mAP50", *_points(before.map50, after.map50)),
        ("p50", *_times(before.p50_ms, after.p50_ms)),
        ("p95", *_times(before.p95_ms, after.p95_ms)),
        ("file", *_sizes(before.size_bytes, after.size_bytes)),
    ]
    header = ("", _ORIGINAL, result.precision, "change")
    measured = tuple(row for row in rows if any(row[1:3]))
    return [Table(header, measured, numeric=frozenset({1, 2, 3}))]


def _points(before: float | None, after: float | None) -> tuple[str, str, str]:
    change = None if before is None or after is None else 100 * (after - before)
    return fixed(before), fixed(after), signed(change, 1, " pt")


def _times(before: float | None, after: float | None) -> tuple[str, str, str]:
    return fixed(before, 2, " ms"), fixed(after, 2, " ms"), relative_change(before, after)


def _sizes(before: int, after: int) -> tuple[str, str, str]:
    return megabytes(before), megabytes(after), relative_change(before, after)


def _ends(side: Side) -> str:
    if side.interval is None:
        return ""
    return f"{fixed(side.interval.low)} to {fixed(side.interval.high)}"


def _drop_interval(result: QuantizeResult) -> str:
    interval = result.drop_interval
    if interval is None:
        return ""
    # Of the drop: what was lost is a change downward.
    return f"{signed(-interval.high)} to {signed(-interval.low)} pt"


def _how_made(result: QuantizeResult) -> Paragraph:
    made = result.how
    labelled = made.evaluation_images
    drop = how(result.drop_interval)
    parts = [
        f"mAP by pycocotools on the same {plural(labelled, 'labelled image')}, its change in "
        "points (pt) of 0.01"
        if labelled
        else "",
        f"interval of the change: {drop}, paired by image" if drop else "",
        f"agreement on {_images(made.agreement_images)} of {made.agreement_source}"
        if result.agreement is not None
        else "",
        f"speed: {timed}" if (timed := _speed_made(result)) else "",
        f"{made.engine}, {plural(made.threads, 'thread')}, seed {made.seed}",
    ]
    return Paragraph(sentence(parts), muted=True)


def _speed_made(result: QuantizeResult) -> str:
    made = result.how
    if not made.speed_rounds:
        return ""
    return f"{made.speed_source}, {plural(made.speed_rounds, 'round')}"


def _gates(result: QuantizeResult) -> tuple[tuple[str, str], ...]:
    return tuple((name.replace("_", " "), text) for name, text in result.gates.items())


def _latency(result: QuantizeResult) -> list[Block]:
    sides = [(_ORIGINAL, result.baseline)]
    if result.optimized is not None and _is_new(result):
        sides.append((result.precision, result.optimized))
    timed = [Timed(name, side.p50_ms, side.p95_ms, side.distribution) for name, side in sides]
    blocks = latency_blocks(timed, sentence([_speed_made(result)]))
    return [Heading("Latency"), *blocks] if blocks else []


def _decision(result: QuantizeResult) -> list[Block]:
    blocks: list[Block] = []
    if result.candidates:
        blocks.append(_candidates(result.candidates))
    made = result.calibration
    if made is not None:
        memory = f", peak memory {megabytes(made.peak_rss_bytes)}" if made.peak_rss_bytes else ""
        text = f"Ranges from {plural(made.images, 'calibration image')}, {made.seconds:.1f} s"
        blocks.append(Paragraph(f"{text}{memory}.", muted=True))
    blocks += [Paragraph(f"Note: {note}.", muted=True) for note in result.notes]
    return [Heading("How it was decided"), *blocks] if blocks else []


def _form(row: CandidateRow) -> str:
    back = f", {row.given_back} given back" if row.given_back else ""
    return row.placement + (", float stem" if row.float_stem else "") + back


def _candidates(candidates: Sequence[CandidateRow]) -> Table:
    header = ("placement", "ranges", "corrections", "self-mAP", "speed", "int8 MACs", "gates")
    rows = tuple(
        (
            _form(row),
            row.estimator,
            ", ".join(row.corrections),
            fixed(row.self_map),
            fixed(row.speedup, 2, " x"),
            percent(row.int8_macs_share, 0),
            row.verdict or "",
        )
        for row in candidates
    )
    taken = frozenset(i for i, row in enumerate(candidates) if row.verdict == "met")
    caption = (
        "Candidates, best first. self-mAP: against what the original finds in calibration "
        "images, without labels; speed: a short measurement, for ranking only"
    )
    return Table(header, rows, frozenset({3, 4, 5}), taken, caption)
