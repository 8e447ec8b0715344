"""Two detectors on the same images: how far they are apart, and whether that is shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgecv_cli.report.blocks import Block, Callout, Heading, Paragraph, Table
from edgecv_cli.stages.compose.accuracy import class_changes
from edgecv_cli.stages.compose.writing import between, fixed, plural, sentence, signed

if TYPE_CHECKING:
    from edgecv_cli.measure.accuracy_difference import AccuracyDifference
    from edgecv_cli.stages.evaluate_result import EvaluateResult


def against_blocks(result: EvaluateResult) -> list[Block]:
    """Return the comparison with the other detector; nothing where there is none."""
    other = result.against
    if other is None:
        return []
    names = Path(result.model).name, Path(other.model).name
    difference = other.difference
    rows = (
        (names[0], *map(fixed, (result.map, result.map50, result.map75)), between(result.interval)),
        (names[1], *map(fixed, (other.map, other.map50, other.map75)), between(other.interval)),
    )
    header = ("model", "mAP50-95", "mAP50", "mAP75", "of mAP50-95")
    blocks: list[Block] = [
        Heading(f"Against {names[1]}"),
        Callout("Shown:" if difference.distinguishable else "Not shown:", difference.text),
        Table(header, rows, frozenset({1, 2, 3})),
        *_standing_out(difference),
        Paragraph(how_tested(difference), muted=True),
    ]
    changes = class_changes(other.per_class, result.per_class, result.objects, names[::-1])
    return [*blocks, *changes]


def how_tested(difference: AccuracyDifference) -> str:
    """Say how the difference was tested, and how many images would show a small one."""
    needed = difference.images_for_a_point
    return sentence(
        [
            f"image by image: p = {difference.p_value:.3g} by {difference.permutations} "
            "permutations of which model found what in an image",
            "the 95 % interval holds the differences that the same test does not reject"
            if difference.interval
            else "",
            ""
            if needed is None
            else f"to show a difference of 1 point it would take about {needed:,} images",
        ]
    )


def _standing_out(difference: AccuracyDifference) -> list[Block]:
    if not difference.per_class:
        return [Paragraph("No class stands out.")]
    rows = tuple(
        (
            one.name,
            fixed(one.map),
            fixed(one.against),
            signed(one.points, 1),
            str(one.objects),
            f"{one.p_value:.3f}",
        )
        for one in difference.per_class
    )
    header = ("class", "AP", "of the other", "points", "objects", "p")
    count = plural(len(rows), "class", "classes")
    caption = f"{count} in which the two differ, with p corrected for the number of classes"
    return [Table(header, rows, frozenset(range(1, 6)), caption=caption)]
