"""Curves of precision and recall, and what is taken for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgecv_cli.measure.pr_curves import points
from edgecv_cli.report.blocks import Block, Curves, Heading, Line, Matrix, Paragraph, Table
from edgecv_cli.stages.compose.writing import fixed, percent, plural, sentence

if TYPE_CHECKING:
    from edgecv_cli.measure.confusion import Confused
    from edgecv_cli.measure.detection_quality import OperatingPoint
    from edgecv_cli.measure.pr_curves import PrCurves

_UNIT = (0.0, 1.0)
_PAIRS = 10
_CLASSES = 8
_NOTHING, _MISSED, _OTHERS = "(nothing)", "(missed)", "(others)"

Counts = Mapping[tuple[str | None, str | None], int]


def curve_blocks(curves: PrCurves | None, per_class50: Mapping[str, float] | None) -> list[Block]:
    """Return precision over recall: of all classes, and of those with the most objects."""
    if curves is None:
        return []
    named = (
        ("IoU 0.50", curves.iou50),
        ("IoU 0.75", curves.iou75),
        ("mean of IoU 0.50:0.05:0.95", curves.mean),
    )
    whole = tuple(
        Line(name, points(curve), f"AP {sum(curve) / len(curve):.3f}") for name, curve in named
    )
    found = per_class50 or {}
    single = tuple(
        Line(name, points(curve), f"AP50 {fixed(found.get(name))}" if name in found else "")
        for name, curve in curves.by_class.items()
    )
    blocks: list[Block] = [
        Heading("Precision and recall"),
        Curves("Mean over classes", "recall", "precision", whole, _UNIT),
    ]
    if len(single) > 1:
        title = "By class at IoU 0.50, those with the most objects"
        blocks.append(Curves(title, "recall", "precision", single, _UNIT))
    return blocks


def threshold_blocks(point: OperatingPoint | None) -> list[Block]:
    """Return precision, recall and F1 by score threshold, and what they are at the one in use."""
    if point is None:
        return []
    blocks: list[Block] = [Heading("At the detection threshold"), Paragraph(_point_words(point))]
    if not point.precisions:
        return blocks
    pairs = list(zip(point.precisions, point.recalls, strict=True))
    f1 = [2 * p * r / (p + r) if p + r else 0.0 for p, r in pairs]
    drawn = (("precision", point.precisions), ("recall", point.recalls), ("F1", f1))
    lines = tuple(
        Line(name, tuple((place / 100, value) for place, value in enumerate(values, start=1)))
        for name, values in drawn
    )
    title = f"By score threshold, all classes together, IoU {point.iou:.2f}"
    return [*blocks, Curves(title, "score threshold", "", lines, _UNIT)]


def confusion_blocks(cells: Sequence[Confused] | None, point: OperatingPoint | None) -> list[Block]:
    """Return the most frequent confusions, and the matrix of the classes behind them."""
    if not cells or point is None:
        return []
    counts = {(cell.truth, cell.found): cell.count for cell in cells}
    how = (
        f"Detections from score {point.threshold:g}, as detect reads them; IoU {point.iou:.2f}. "
        "Objects and detections of one class are paired first, what remains of both across classes."
    )
    blocks: list[Block] = [Heading("What is taken for what")]
    wrong = [cell for cell in cells if cell.truth and cell.found and cell.truth != cell.found]
    if wrong:
        rows = tuple(_pair(cell, counts) for cell in wrong[:_PAIRS])
        header = ("labelled", "found as", "times", "of its objects")
        caption = _caption(len(wrong))
        blocks.append(Table(header, rows, frozenset({2, 3}), caption=caption))
    else:
        blocks.append(Paragraph("No object was found as one of another class."))
    matrix = _matrix(counts, wrong)
    if _OTHERS in matrix.rows:
        how += f" {_OTHERS} stands for all classes that are not named, right and wrong alike."
    return [*blocks, matrix, Paragraph(how, muted=True)]


def _point_words(point: OperatingPoint) -> str:
    parts = [
        f"Score {point.threshold:g}: "
        + (f"precision {fixed(point.precision)}, " if point.precision is not None else "")
        + f"recall {fixed(point.recall)}, F1 {fixed(point.f1)}",
        ""
        if point.best_threshold is None
        else f"the highest F1 on these images, {fixed(point.best_f1)}, is at score "
        f"{fixed(point.best_threshold)}",
    ]
    return sentence(parts)


def _caption(count: int) -> str:
    if count <= _PAIRS:
        return f"{plural(count, 'confusion')} of two classes"
    return f"The {_PAIRS} most frequent of {count} confusions of two classes"


def _pair(cell: Confused, counts: Counts) -> tuple[str, ...]:
    objects = sum(count for (truth, _), count in counts.items() if truth == cell.truth)
    return cell.truth or "", cell.found or "", str(cell.count), percent(cell.count / objects)


def _matrix(counts: Counts, wrong: Sequence[Confused]) -> Matrix:
    """Fold all classes but those that are confused most, then those with the most objects."""
    weight: Counter[str] = Counter()
    for (truth, _), count in counts.items():
        if truth is not None:
            weight[truth] += count
    confused: Counter[str] = Counter()
    for cell in wrong:
        confused.update({cell.truth or "": cell.count, cell.found or "": cell.count})
    known = {name for pair in counts for name in pair if name is not None}
    ranked = sorted(known, key=lambda name: (-confused[name], -weight[name], name))
    shown = ranked if len(ranked) <= _CLASSES + 1 else ranked[:_CLASSES]
    inner = (*shown, _OTHERS) if len(ranked) > len(shown) else tuple(shown)
    rows, columns = (*inner, _NOTHING), (*inner, _MISSED)
    cells = [[0] * len(columns) for _ in rows]
    for (truth, found), count in counts.items():
        cells[_place(truth, inner)][_place(found, inner)] += count
    return Matrix(
        "Objects by what they were found as",
        "labelled / found",
        rows,
        columns,
        tuple(tuple(row) for row in cells),
        frozenset((place, place) for place in range(len(shown))),
    )


def _place(name: str | None, inner: Sequence[str]) -> int:
    if name is None:
        return len(inner)
    return inner.index(name) if name in inner else len(inner) - 1
