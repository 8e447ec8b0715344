"""Pictures for a report: the same image twice, with what two sides see in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import Context
from edgecv_cli.detector.profiles import Profile, detection_profile
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.inference.predictor import open_predictor
from edgecv_cli.measure.agreement import AgreementResult, agreement
from edgecv_cli.measure.prediction import predict_images
from edgecv_cli.report.blocks import Block, Pairs, Paragraph
from edgecv_cli.stages.compose.drawing import Canvas
from edgecv_cli.stages.compose.writing import plural

PAIRS = 4
LOOKED_AT = 24

T = TypeVar("T")


@dataclass(frozen=True)
class Pictured:
    """What one side sees in images, one entry an image, in source pixels.

    Attributes:
        name: of the side, such as ``fp32``.
        found: its detections.
        scored: whether its scores mean something; those of labels do not.
    """

    name: str
    found: Sequence[Detections]
    scored: bool = True


def evenly(items: Sequence[T], count: int) -> list[T]:
    """Return at most ``count`` items, evenly spread over the sequence."""
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


def pair_blocks(
    paths: Sequence[Path],
    before: Pictured,
    after: Pictured,
    classes: Sequence[str],
    threshold: float,
    *,
    count: int = PAIRS,
) -> list[Block]:
    """Draw both sides on a few of the images: half of them those where the two part most.

    Args:
        paths: the images.
        before, after: what each side sees; ``before`` is taken as the truth.
        classes: class names by class index.
        threshold: lowest score that is drawn.
        count: pairs to draw.

    Raises:
        DataError: an image can't be decoded.
    """
    compared = [
        agreement([a], [b], threshold) for a, b in zip(before.found, after.found, strict=True)
    ]
    chosen, parting = _choose(compared, count)
    pairs = []
    for index in chosen:
        canvas = Canvas.read(paths[index])
        left, right = (
            canvas.picture(
                _above(side.found[index], threshold),
                classes,
                by=side.name,
                scored=side.scored,
                note="" if side is before else _difference(compared[index]),
            )
            for side in (before, after)
        )
        pairs.append((left, right))
    shown = f"Each image twice: {before.name}, then {after.name}. Boxes from score {threshold:g}."
    return [
        Paragraph(f"{shown} {_selection(len(chosen), len(paths), parting)}", muted=True),
        Pairs(tuple(pairs)),
    ]


def look_and_pair(
    artifacts: tuple[Artifact, Artifact],
    names: tuple[str, str],
    spec: DetectorSpec,
    paths: Sequence[Path],
    context: Context,
    *,
    engine: str,
    threads: int | None,
) -> list[Block]:
    """Run two artifacts over some of the images, and draw what they find side by side.

    Raises:
        EdgeCVError: an artifact can't be run, or an image can't be decoded.
    """
    some = evenly(paths, LOOKED_AT)
    profile = detection_profile(spec)
    sides = [
        Pictured(name, find(artifact, spec, some, context, profile, engine=engine, threads=threads))
        for artifact, name in zip(artifacts, names, strict=True)
    ]
    return pair_blocks(some, sides[0], sides[1], spec.classes, spec.score_threshold)


def find(
    artifact: Artifact,
    spec: DetectorSpec,
    paths: Sequence[Path],
    context: Context,
    profile: Profile,
    *,
    engine: str,
    threads: int | None,
) -> list[Detections]:
    """Return what an artifact finds in images, one entry an image, in source pixels.

    Raises:
        EdgeCVError: the artifact can't be run, or an image can't be decoded.
    """
    predictor = open_predictor(artifact, spec, engine=engine, threads=threads, profile=profile)
    try:
        return predict_images(predictor, paths, context, name="pictures for the report")
    finally:
        predictor.close()


def _choose(compared: Sequence[AgreementResult], count: int) -> tuple[list[int], int]:
    """Return indices of images, those where the sides part most first, and how many those are."""
    parting = sorted(
        (index for index, result in enumerate(compared) if result.missed + result.extra),
        key=lambda index: (-(compared[index].missed + compared[index].extra), index),
    )[: count // 2]
    others = [index for index in range(len(compared)) if index not in parting]
    # An image in which neither side sees anything shows nothing.
    telling = [index for index in others if compared[index].matched] or others
    return parting + evenly(telling, count - len(parting)), len(parting)


def _selection(shown: int, images: int, parting: int) -> str:
    """Say which images are shown: nobody shall take the worst for the usual."""
    looked = f"{shown} of {plural(images, 'image')}"
    if not parting:
        return f"{looked}, spread evenly; the two part in none of the {images}."
    first = (
        "the first is the one where the two part most, which looks"
        if parting == 1
        else f"the first {parting} are those where the two part most, which look"
    )
    return f"{looked}: {first} worse than the average; the others are spread evenly."


def _above(found: Detections, threshold: float) -> Detections:
    return found.take(found.scores >= threshold)


def _difference(result: AgreementResult) -> str:
    parts = []
    if result.missed:
        parts.append(f"{result.missed} missed")
    if result.extra:
        parts.append(f"{result.extra} extra")
    return ", ".join(parts)
