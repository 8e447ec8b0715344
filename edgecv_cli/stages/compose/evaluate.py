"""The report of an evaluate run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecv_cli.report.blocks import Block, Document, Figure, Figures, Heading, Paragraph
from edgecv_cli.stages.compose.accuracy import class_bars
from edgecv_cli.stages.compose.accuracy_difference import against_blocks
from edgecv_cli.stages.compose.detection_quality import (
    confusion_blocks,
    curve_blocks,
    threshold_blocks,
)
from edgecv_cli.stages.compose.gates import gate_blocks
from edgecv_cli.stages.compose.origin import lineage_blocks, machine_blocks
from edgecv_cli.stages.compose.writing import between, fixed, how, plural, sentence

if TYPE_CHECKING:
    from edgecv_cli.stages.evaluate_result import EvaluateResult


def evaluate_document(result: EvaluateResult, pictures: Sequence[Block] = ()) -> Document:
    """Return the report of one run."""
    name = Path(result.model).name
    blocks = [*gate_blocks(result.gates), *compose_evaluate(result, pictures)]
    blocks += lineage_blocks(result.provenance, name=name, sha256=result.sha256)
    blocks += machine_blocks(result.machine, result.edgecv)
    subtitle = f"{result.family}, on {plural(result.images, 'labelled image')}"
    return Document(f"edgecv evaluate: {name}", subtitle, tuple(blocks))


def compose_evaluate(result: EvaluateResult, pictures: Sequence[Block] = ()) -> list[Block]:
    """Return the blocks of a run, without its conditions, lineage and machine.

    Args:
        result: what the run reported.
        pictures: what :func:`pair_blocks` made of labels and detections, if they were drawn.
    """
    blocks: list[Block] = [Figures(tuple(_figures(result))), *_telling(result), _how_made(result)]
    blocks += against_blocks(result)
    blocks += curve_blocks(result.curves, result.per_class50)
    bars = class_bars(result.per_class, result.objects)
    blocks += [Heading("Accuracy by class"), *bars] if bars else []
    blocks += threshold_blocks(result.operating_point)
    blocks += confusion_blocks(result.confusion, result.operating_point)
    if pictures:
        blocks += [Heading("Labels and detections"), *pictures]
    return blocks


def _figures(result: EvaluateResult) -> Iterator[Figure]:
    images = plural(result.images, "image")
    ends = {name: between(one) for name, one in (result.intervals or {}).items()}
    yield Figure(fixed(result.map), "mAP50-95", between(result.interval) or images)
    yield Figure(fixed(result.map50), "mAP50", ends.get("map50") or f"IoU 0.50, {images}")
    yield Figure(fixed(result.map75), "mAP75", ends.get("map75") or f"IoU 0.75, {images}")
    counted = result.objects_by_size or {}
    sizes = {"small": result.map_small, "medium": result.map_medium, "large": result.map_large}
    for name, value in sizes.items():
        if value is not None:
            objects = plural(counted.get(name, 0), "object")
            detail = "; ".join(filter(None, (objects, ends.get(f"map_{name}"))))
            yield Figure(fixed(value), f"mAP50-95, {name}", detail)


def _telling(result: EvaluateResult) -> list[Block]:
    return [Paragraph(f"{result.telling}.")] if result.telling else []


def _how_made(result: EvaluateResult) -> Paragraph:
    used = result.profile
    parts = [
        f"mAP by pycocotools on {plural(result.images, 'image')}",
        _sizes(result),
        f"interval: {how(result.interval)}" if result.interval else "",
        f"post-processing: score {used.score_threshold:g}, NMS IoU {used.nms_iou:g}, "
        + ("several classes a box" if used.multi_label else "best class per box"),
        f"{used.candidates} candidates before and {used.detections} detections after NMS",
        _unmapped(result.unmapped),
        f"{result.engine} ({result.provider}), {plural(result.threads, 'thread')}, "
        f"{result.seconds:.1f} s in all",
    ]
    return Paragraph(sentence(parts), muted=True)


def _sizes(result: EvaluateResult) -> str:
    if result.objects_by_size is None:
        return ""
    return "small: up to 32 x 32 pixels, medium: up to 96 x 96, by the annotated area"


def _unmapped(count: int) -> str:
    if not count:
        return ""
    return f"{plural(count, 'detection')} of classes that the data does not label count nowhere"
