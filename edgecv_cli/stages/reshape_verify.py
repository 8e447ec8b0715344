"""Run a detector before and after reshaping, and compare what both find in the same pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError, EngineError
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.measure.accuracy import evaluate_detections, paired_drop
from edgecv_cli.measure.agreement import agreement
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.latency import benchmark
from edgecv_cli.measure.self_map import look
from edgecv_cli.media.class_map import map_classes
from edgecv_cli.media.dataset import Dataset
from edgecv_cli.runtime.opening import open_runner
from edgecv_cli.stages.converting.verify import Seen, Sides

ENGINE = "onnxruntime"
_LAUNCHES = 3


@dataclass(frozen=True)
class Sized:
    """A detector with how it is fed and read, at its own input size."""

    artifact: Artifact
    spec: DetectorSpec


def nearest(
    before: Sized,
    options: Sequence[Sized],
    paths: Sequence[Path],
    *,
    threads: int | None,
    context: Context,
) -> Sized:
    """Return the one that finds most of what the original finds in a few images.

    Raises:
        DataError: images can't be read, or the original finds nothing in them.
        EngineError: one of them can't be run.
    """

    def found(one: Sized, name: str) -> list[Detections]:
        return look(
            one.artifact, one.spec, paths, context, engine=ENGINE, threads=threads, name=name
        ).plain

    reference = found(before, "original")
    if not any(len(one) for one in reference):
        raise DataError(
            f"the original finds nothing in {len(paths)} images, so that nothing tells how boxes "
            "are to be read without its NMS",
            remedy="give images with objects that it knows",
        )
    agreed = [
        agreement(reference, found(one, f"reading {at}"), before.spec.score_threshold)
        for at, one in enumerate(options, start=1)
    ]
    best = max(range(len(options)), key=lambda at: agreed[at].agreement or 0)
    return options[best]


def compared(
    before: Sized,
    after: Sized,
    images: Sequence[Path],
    data: Dataset | None,
    *,
    threads: int | None,
    speed_seconds: float,
    context: Context,
) -> Seen:
    """Measure accuracy and agreement on images, and the speed of both, in this run.

    Boxes are compared in the pixels of the pictures, so that the input size is of no matter.

    Raises:
        EngineError: the result can't be run.
        DataError: images can't be read.
    """
    open_runner(after.artifact, ENGINE, threads).close()
    seen = Seen("ran")
    paths = [item.path for item in data.items] if data else list(images)
    if paths:
        found = [
            look(one.artifact, one.spec, paths, context, engine=ENGINE, threads=threads, name=name)
            for one, name in ((before, "original"), (after, "result"))
        ]
        sides = Sides(found[0].plain, found[1].plain)
        agreed = agreement(sides.before, sides.after, before.spec.score_threshold)
        seen = replace(seen, plain=sides, agreement=agreed)
        if data is not None:
            spec = before.spec
            class_map = map_classes(spec.classes, data, background=spec.background)
            first, second = (
                evaluate_detections(data, one.scored, class_map, seed=context.seed) for one in found
            )
            seen = replace(seen, before=first, after=second, drop=paired_drop(first, second))
    return _timed((before, after), seen, threads, speed_seconds, context)


def _timed(
    sides: tuple[Sized, Sized], seen: Seen, threads: int | None, seconds: float, context: Context
) -> Seen:
    if not seconds:
        return seen
    rows = [
        BenchRow(one.artifact.path.absolute(), ENGINE, threads, one.spec, one.spec.input.size)
        for one in sides
    ]
    try:
        speed = benchmark(rows, duration_s=seconds / 2, launches=_LAUNCHES, context=context)
    except EngineError as error:
        return replace(seen, warnings=(f"the speed was not measured: {error.problem}",))
    return replace(seen, speed=speed, warnings=tuple(speed.warnings))
