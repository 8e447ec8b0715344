"""The report of an evaluate run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecv_cli.report.blocks import Block, Document, Figure, Figures, Heading, Paragraph
from edgecv_cli.stages.compose.accuracy import class_bars
from edgecv_cli.stages.compose.origin import lineage_blocks, machine_blocks
from edgecv_cli.stages.compose.writing import between, fixed, how, plural, sentence

if TYPE_CHECKING:
    from edgecv_cli.stages.evaluate import EvaluateResult


def evaluate_document(result: EvaluateResult, pictures: Sequence[Block] = ()) -> Document:
    """Return the report of one run."""
    name = Path(result.model).name
    blocks = compose_evaluate(result, pictures)
    blocks += lineage_blocks(result.provenance, name=name, sha256=result.sha256)
    blocks += machine_blocks(result.machine, result.edgecv)
    subtitle = f"{result.family}, on {plural(result.images, 'labelled image')}"
    return Document(f"edgecv evaluate: {name}", subtitle, tuple(blocks))


def compose_evaluate(result: EvaluateResult, pictures: Sequence[Block] = ()) -> list[Block]:
    """Return the blocks of a run, without its lineage and machine.

    Args:
        result: what the run reported.
        pictures: what :func:`pair_blocks` made of labels and detections, if they were drawn.
    """
    images = plural(result.images, "image")
    figures = (
        Figure(fixed(result.map), "mAP50-95", between(result.interval) or images),
        Figure(fixed(result.map50), "mAP50", f"IoU 0.50, {images}"),
        Figure(fixed(result.map75), "mAP75", f"IoU 0.75, {images}"),
    )
    blocks: list[Block] = [Figures(figures), _how_made(result)]
    bars = class_bars(result.per_class, result.objects)
    blocks += [Heading("Accuracy by class"), *bars] if bars else []
    if pictures:
        blocks += [Heading("Labels and detections"), *pictures]
    return blocks


def _how_made(result: EvaluateResult) -> Paragraph:
    used = result.profile
    parts = [
        f"mAP by pycocotools on {plural(result.images, 'image')}",
        f"interval: {how(result.interval)}" if result.interval else "",
        f"post-processing: score {used.score_threshold:g}, NMS IoU {used.nms_iou:g}, "
        + ("several classes a box" if used.multi_label else "best class per box"),
        f"{used.candidates} candidates before and {used.detections} detections after NMS",
        _unmapped(result.unmapped),
        f"{result.engine} ({result.provider}), {plural(result.threads, 'thread')}, "
        f"{result.seconds:.1f} s in all",
    ]
    return Paragraph(sentence(parts), muted=True)


def _unmapped(count: int) -> str:
    if not count:
        return ""
    return f"{plural(count, 'detection')} of classes that the data does not label count nowhere"
