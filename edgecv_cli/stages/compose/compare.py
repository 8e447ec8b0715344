"""The report of a comparison."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecv_cli.report.blocks import (
    Block,
    Callout,
    Document,
    Figure,
    Figures,
    Heading,
    Paragraph,
    Table,
)
from edgecv_cli.stages.compose.origin import machine_blocks
from edgecv_cli.stages.compose.writing import fixed, plural, sentence, signed

if TYPE_CHECKING:
    from edgecv_cli.measure.parting import StageParting, TensorParting
    from edgecv_cli.stages.compare_result import CompareResult

_STAGES = {
    "preprocess": "preparing the picture",
    "network": "the network",
    "decode": "reading its outputs",
    "thresholds": "score and NMS thresholds",
}
_SHOWN = 24
_COLUMNS = ("agreement", "matched", "missed", "extra", "mean_iou", "score_shift")


def compare_document(result: CompareResult, pictures: Sequence[Block] = ()) -> Document:
    """Return the report of one run; ``pictures``: what both find, side by side."""
    a, b = Path(result.a).name, Path(result.b).name
    blocks: list[Block] = [
        Callout("Gate:", f"{name} {said}") for name, said in result.gates.items()
    ]
    blocks += [_figures(result), _how(result), Heading("Where the two part"), stages_table(result)]
    blocks += _tensors(result)
    if result.per_class:
        blocks += [Heading("By class"), _classes(result)]
    if pictures:
        blocks += [Heading("What both find"), *pictures]
    blocks += machine_blocks(result.machine, result.edgecv)
    return Document(f"edgecv compare: {a} and {b}", f"{a} is A, taken as the truth", tuple(blocks))


def compare_csv(result: CompareResult) -> str:
    """Return agreement as CSV: all classes together, then each; not measured is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("class", *_COLUMNS))
    for name, part in (("", result), *result.per_class.items()):
        writer.writerow((name, *(getattr(part, column) for column in _COLUMNS)))
    return text.getvalue()


def _figures(result: CompareResult) -> Figures:
    pairs = plural(result.matched, "matched pair")
    return Figures(
        (
            Figure(
                fixed(result.agreement) or "none",
                "agreement",
                f"{pairs}, {result.missed} found by A alone, {result.extra} by B alone",
            ),
            Figure(fixed(result.mean_iou) or "none", "mean IoU", pairs),
            Figure(signed(result.score_shift, 3) or "none", "score shift", f"B less A, {pairs}"),
        )
    )


def _how(result: CompareResult) -> Paragraph:
    engines = result.engine
    if result.engine_b != result.engine:
        engines = f"A on {result.engine}, B on {result.engine_b}"
    parts = [
        f"{plural(result.images, 'image')}, no labels",
        f"detections from score {result.threshold:g}, matched by class at IoU 0.5; "
        "what lies within 0.05 of the threshold and finds no partner counts for neither",
        f"{engines}, {plural(result.threads, 'thread')}, {result.seconds:.1f} s in all",
    ]
    return Paragraph(sentence(parts), muted=True)


def stages_table(result: CompareResult) -> Table:
    """Return what each stage costs by itself."""
    return Table(
        ("stage", "agreement with only this of B", "what differs"),
        tuple(_stage(stage) for stage in result.stages),
        frozenset({1}),
    )


def _stage(stage: StageParting) -> tuple[str, ...]:
    if stage.same:
        return _STAGES[stage.stage], "", "nothing"
    return _STAGES[stage.stage], fixed(stage.agreement), stage.why or "the model file"


def _tensors(result: CompareResult) -> list[Block]:
    if result.tensors is None:
        return [Paragraph(f"Inner tensors were not compared: {result.no_tensors}.", muted=True)]
    apart = [tensor for tensor in result.tensors if not tensor.same]
    said = [
        f"{len(result.tensors)} tensors have one name in both; {len(apart)} of them differ "
        f"(on {plural(result.tensor_images or 0, 'image')}, integers run as they are written)",
        f"the first is {result.first_difference}" if result.first_difference else "",
        f"most is lost at {result.steepest_loss}" if result.steepest_loss else "",
    ]
    blocks: list[Block] = [Heading("Inside of the network", 3), Paragraph(sentence(said))]
    worst = sorted(apart, key=lambda one: -1e9 if one.snr_db is None else one.snr_db)[:_SHOWN]
    kept = {one.tensor for one in worst}
    rows = [one for one in result.tensors if one.tensor in kept]
    if rows:
        table = Table(
            ("tensor", "made by", "SNR", "largest difference"),
            tuple(map(_tensor, rows)),
            frozenset({2, 3}),
            caption=f"The {plural(len(rows), 'tensor')} with the lowest SNR, in graph order",
        )
        blocks.append(table)
    return blocks


def _tensor(one: TensorParting) -> tuple[str, ...]:
    snr = "not finite" if one.snr_db is None else fixed(one.snr_db, 1, " dB")
    largest = "" if one.largest is None else f"{one.largest:.4g}"
    return one.tensor, one.op, snr, largest


def _classes(result: CompareResult) -> Table:
    rows = sorted(
        result.per_class.items(),
        key=lambda item: -(item[1].matched + item[1].missed + item[1].extra),
    )
    return Table(
        ("class", "agreement", "matched", "A alone", "B alone", "mean IoU", "score shift"),
        tuple(
            (
                name,
                fixed(one.agreement),
                str(one.matched),
                str(one.missed),
                str(one.extra),
                fixed(one.mean_iou),
                signed(one.score_shift, 3),
            )
            for name, one in rows
        ),
        frozenset(range(1, 7)),
    )
