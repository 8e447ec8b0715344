"""Run a converted file beside its original, as far as this machine can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.conversion import Verified
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import EdgeCVError, EngineError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.measure.accuracy import (
    AccuracyResult,
    PairedDrop,
    evaluate_detections,
    paired_drop,
)
from edgecv_cli.measure.agreement import AgreementResult, agreement
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.latency import benchmark
from edgecv_cli.measure.latency_result import LatencyResult
from edgecv_cli.measure.parity import Parity, outputs_of, parity, pictures_for
from edgecv_cli.measure.self_map import Found, look
from edgecv_cli.media.class_map import map_classes
from edgecv_cli.media.dataset import Dataset
from edgecv_cli.runtime.base import Execution, Runner
from edgecv_cli.runtime.opening import open_runner

REFERENCE = "onnxruntime"
_LAUNCHES = 3


@dataclass(frozen=True)
class Pair:
    """What is compared, and on what.

    Attributes:
        original: the model that was given, which the converted file is held against.
        source: the model that was converted: the original, or another form of it.
        converted: the file that was made.
        spec: how the original is fed and read.
        stored: the spec that the converted file carries.
        engine: what runs the converted file; the original runs on ONNX Runtime.
        exact: run the original's QDQ as it is written, whatever integer kernels are here.
        images: files to compare detections on.
        data: labelled images.
        threads: of both engines.
        speed_seconds: timed inference, both together; 0 times nothing.
        presents: the converted file's outputs where they are others than the source's, such as
            what an NMS leaves: raw outputs are then not compared; None: the source's.
    """

    original: Artifact
    source: Artifact
    converted: Artifact
    spec: DetectorSpec
    stored: DetectorSpec
    engine: str
    exact: bool
    images: Sequence[Path]
    data: Dataset | None
    threads: int | None
    speed_seconds: float
    presents: tuple[TensorSpec, ...] | None = None

    @property
    def read_as(self) -> DetectorSpec:
        """How the converted file is read."""
        return self.spec if self.presents is None else self.stored

    @property
    def looked_at(self) -> list[Path]:
        """The images that agreement is taken on: those that were given, else the labelled."""
        labelled = self.data.items if self.data else ()
        return list(self.images) or [item.path for item in labelled]


@dataclass(frozen=True)
class Sides:
    """Something of the original and of the converted."""

    before: list[Detections]
    after: list[Detections]


@dataclass(frozen=True)
class Seen:
    """What came out; what was not measured is None.

    Attributes:
        differs: how the converted file's interface is not the original's.
    """

    verified: Verified
    unverified: str | None = None
    differs: str | None = None
    execution: Execution | None = None
    parity: Parity | None = None
    agreement: AgreementResult | None = None
    plain: Sides | None = None
    before: AccuracyResult | None = None
    after: AccuracyResult | None = None
    drop: PairedDrop | None = None
    speed: LatencyResult | None = None
    warnings: tuple[str, ...] = ()


def verify(pair: Pair, context: Context) -> Seen:
    """Read the converted file back, compile it, run it, and compare what it gives.

    A device that is not here, or refuses the file, ends this early: the answer says how far it
    came and why not further.

    Raises:
        EdgeCVError: the original can't be run, or images can't be read.
    """
    seen = _run(pair, context)
    if seen.verified != "ran":
        return seen
    seen = _labelled(pair, _compared(pair, seen, context), context)
    return _timed(pair, seen, context) if pair.speed_seconds else seen


def _run(pair: Pair, context: Context) -> Seen:
    reference = open_runner(pair.original, REFERENCE, pair.threads, exact=pair.exact)
    try:
        differs = _difference(pair)
        try:
            converted = open_runner(pair.converted, pair.engine, pair.threads)
        except EngineError as error:
            return Seen("structure", error.problem, differs)
        try:
            outputs = _raw(pair, reference, converted, context)
        except EngineError as error:
            return Seen("built", error.problem, differs, converted.execution)
        finally:
            converted.close()
        return Seen("ran", None, differs, converted.execution, outputs)
    finally:
        reference.close()


def _raw(pair: Pair, reference: Runner, converted: Runner, context: Context) -> Parity | None:
    """Run the converted file, and compare raw outputs where both have the same."""
    pictures, source = pictures_for(pair.looked_at, pair.spec, context.seed)
    if pair.presents is None:
        return parity(reference, converted, pair.spec, pictures, context, source=source)
    next(iter(outputs_of(converted, pair.stored, pictures[:1], context)))
    return None


def _difference(pair: Pair) -> str | None:
    """Say how what was read back differs from what was converted; None where it does not."""
    size = pair.spec.input.size
    before, after = pair.source.facts(size), pair.converted.facts()
    for word, theirs, ours in (
        ("input", before.inputs, after.inputs),
        ("output", pair.presents or before.outputs, after.outputs),
    ):
        there = {tensor.name: tensor for tensor in ours}
        for tensor in theirs:
            if tensor.name not in there:
                return f"{word} {tensor} is missing"
            if not _fits(tensor, there[tensor.name]):
                return f"{word} {tensor} became {there[tensor.name]}"
    try:
        told = pair.converted.detector().spec
    except EdgeCVError as error:
        return f"its detector spec can't be read back: {error.problem}"
    return None if told == pair.stored else "its detector spec is another"


def _fits(a: TensorSpec, b: TensorSpec) -> bool:
    """Whether two are one tensor, where either may know sizes that the other leaves open."""
    return (
        a.dtype == b.dtype
        and len(a.shape) == len(b.shape)
        and all(x is None or y is None or x == y for x, y in zip(a.shape, b.shape, strict=True))
    )


def _compared(pair: Pair, seen: Seen, context: Context) -> Seen:
    """Compare detections, where images without labels were given."""
    if not pair.images:
        return seen
    sides = Sides(*(found.plain for found in _look(pair, pair.images, "compare", context)))
    found = agreement(sides.before, sides.after, pair.spec.score_threshold)
    return replace(seen, plain=sides, agreement=found)


def _labelled(pair: Pair, seen: Seen, context: Context) -> Seen:
    """Measure accuracy, where labelled images were given; and agreement on them if need be."""
    data = pair.data
    if data is None:
        return seen
    class_map = map_classes(pair.spec.classes, data, background=pair.spec.background)
    paths = [item.path for item in data.items]
    found = _look(pair, paths, "evaluate", context)
    before, after = (
        evaluate_detections(data, one.scored, class_map, seed=context.seed) for one in found
    )
    seen = replace(seen, before=before, after=after, drop=paired_drop(before, after))
    if seen.agreement is not None:
        return seen
    sides = Sides(found[0].plain, found[1].plain)
    agreed = agreement(sides.before, sides.after, pair.spec.score_threshold)
    return replace(seen, plain=sides, agreement=agreed)


def _look(pair: Pair, paths: Sequence[Path], word: str, context: Context) -> list[Found]:
    return [
        look(
            artifact,
            spec,
            paths,
            context,
            engine=engine,
            threads=pair.threads,
            name=f"{word} {name}",
            exact=exact,
        )
        for artifact, spec, engine, name, exact in (
            (pair.original, pair.spec, REFERENCE, "original", pair.exact),
            (pair.converted, pair.read_as, pair.engine, "converted", False),
        )
    ]


def _timed(pair: Pair, seen: Seen, context: Context) -> Seen:
    size = pair.spec.input.size
    rows = [
        BenchRow(artifact.path.absolute(), engine, pair.threads, spec, size)
        for artifact, engine, spec in (
            (pair.original, REFERENCE, pair.spec),
            (pair.converted, pair.engine, pair.read_as),
        )
    ]
    try:
        speed = benchmark(
            rows, duration_s=pair.speed_seconds / 2, launches=_LAUNCHES, context=context
        )
    except EngineError as error:
        return replace(seen, warnings=(f"the speed was not measured: {error.problem}",))
    failed = tuple(
        f"the speed of {Path(run.model).name} was not measured: {run.error}"
        for run in speed.runs
        if run.error
    )
    return replace(seen, speed=speed, warnings=(*speed.warnings, *failed))
