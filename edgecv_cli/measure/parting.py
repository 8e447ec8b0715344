"""Where two artifacts part: which stage, and in the network which tensor.

A stage is blamed by putting it alone into the first artifact's pipeline: its input as the second
prepares it, the second's network, the second's reading of the outputs, the second's thresholds.
What agreement is left then is what that stage costs. Inside of the network, tensors that both
compute under one name are compared as they come, integers run as they are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray
from pydantic import Field

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import EdgeCVError, InterruptedByUser
from edgecv_cli.core.result import Part
from edgecv_cli.detector.feeding import InputFeed
from edgecv_cli.detector.profiles import detection_profile
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.expose import common_tensors, exposed
from edgecv_cli.graph.io import serialize
from edgecv_cli.inference.predictor import Predictor
from edgecv_cli.measure.agreement import agreement
from edgecv_cli.measure.prediction import predict_images
from edgecv_cli.measure.signal import Apart
from edgecv_cli.media.images import read_image
from edgecv_cli.runtime.base import Runner
from edgecv_cli.runtime.opening import open_runner

StageName = Literal["preprocess", "network", "decode", "thresholds"]
_READING = frozenset({"input", "score_threshold", "nms_iou", "classes"})
# Outputs of one run; a network's activations together can take gigabytes.
_MOST_ELEMENTS = 12_000_000


class StageParting(Part):
    """What one stage of the second artifact does in the first one's pipeline."""

    stage: StageName
    same: bool = Field(description="Whether the two do the same here; nothing was run then.")
    agreement: float | None = Field(
        default=None, description="With the first artifact as it is, if only this stage differs."
    )
    why: str | None = Field(default=None, description="What differs, or why it can't be told.")


class TensorParting(Part):
    """A tensor that both networks compute under one name."""

    tensor: str
    op: str = Field(description="The operator that makes it in the first artifact.")
    same: bool = Field(description="Whether all elements are equal.")
    snr_db: float | None = Field(
        default=None, description="10 log10 of signal to noise; absent where there is no noise."
    )
    largest: float | None = Field(default=None, description="The largest difference.")


def stages(
    runners: tuple[Runner, Runner],
    specs: tuple[DetectorSpec, DetectorSpec],
    found: tuple[Sequence[Detections], Sequence[Detections]],
    paths: Sequence[Path],
    context: Context,
) -> tuple[StageParting, ...]:
    """Return what each stage of the second artifact costs, put alone into the first's pipeline.

    Args:
        runners: both networks, loaded.
        specs: how both are fed and read.
        found: what both find in the images.
        paths: the images.
        context: progress and cancellation.

    Raises:
        DataError: an image can't be decoded.
        InterruptedByUser: the run was cancelled.
    """
    first = specs[0]
    parted = []
    for swap in _swaps(runners, specs):
        if not swap.differs:
            parted.append(StageParting(stage=swap.stage, same=True))
            continue
        name = f"with the other's {swap.stage}"
        try:
            # the other's network, fed and read alike, is the other itself
            known = swap.stage == "network" and specs[0] == specs[1]
            seen = found[1] if known else _seen(swap.runner, swap.spec, paths, context, name)
        except InterruptedByUser:
            raise
        except EdgeCVError as error:
            untold = f"can't be told: {error}"
            parted.append(StageParting(stage=swap.stage, same=False, why=untold))
            continue
        left = agreement(found[0], seen, first.score_threshold).agreement
        why = None if swap.stage == "network" else "; ".join(swap.differs)
        parted.append(StageParting(stage=swap.stage, same=False, agreement=left, why=why))
    return tuple(parted)


@dataclass(frozen=True)
class _Swap:
    """The first artifact's pipeline with one stage of the second, and what differs there."""

    stage: StageName
    runner: Runner
    spec: DetectorSpec
    differs: list[str]


def feeding_of(specs: tuple[DetectorSpec, DetectorSpec]) -> tuple[DetectorSpec, DetectorSpec]:
    """Return how two networks are fed alike: as the first, unless one of them takes bytes."""
    bytes_in = [spec.input.dtype == "uint8" for spec in specs]
    return (specs[0], specs[0]) if bytes_in[0] == bytes_in[1] else specs


def _swaps(
    runners: tuple[Runner, Runner], specs: tuple[DetectorSpec, DetectorSpec]
) -> tuple[_Swap, ...]:
    first, second = specs
    ours, theirs = first.model_dump(), second.model_dump()
    limits = ("score_threshold", "nms_iou")
    reading = sorted(key for key in theirs if key not in _READING and theirs[key] != ours[key])
    kept = {key: getattr(first, key) for key in _READING}
    fed = feeding_of(specs)[1].input  # of bytes: what prepares them is inside of the network
    return (
        _Swap(
            "preprocess",
            runners[0],
            first.model_copy(update={"input": second.input}),
            _differing(ours["input"], theirs["input"], ours["input"].keys() - {"name"}),
        ),
        _Swap("network", runners[1], first.model_copy(update={"input": fed}), ["the model file"]),
        _Swap("decode", runners[0], second.model_copy(update=kept), reading),
        _Swap(
            "thresholds",
            runners[0],
            first.model_copy(update={key: getattr(second, key) for key in limits}),
            _differing(ours, theirs, limits),
        ),
    )


def _differing(
    one: Mapping[str, object], other: Mapping[str, object], keys: Iterable[str]
) -> list[str]:
    return [f"{key} {one[key]} and {other[key]}" for key in sorted(keys) if one[key] != other[key]]


def _seen(
    runner: Runner, spec: DetectorSpec, paths: Sequence[Path], context: Context, name: str
) -> list[Detections]:
    predictor = Predictor(runner, spec, detection_profile(spec))
    return predict_images(predictor, paths, context, name=name)


def tensors(
    artifacts: tuple[Artifact, Artifact],
    specs: tuple[DetectorSpec, DetectorSpec],
    paths: Sequence[Path],
    *,
    folder: Path,
    threads: int | None,
    context: Context,
) -> tuple[TensorParting, ...]:
    """Compare every tensor that two ONNX networks compute under one name, in graph order.

    Both are run by ONNX Runtime with quantize and dequantize as they are written: what is seen is
    what the file means, not what a kernel of this machine makes of it.

    Args:
        artifacts: two .onnx files.
        specs: how both are fed: as the first, unless one of them takes bytes.
        paths: images to look at; a few are enough.
        folder: for files in passing.
        threads: of the engine; None is one per usable core.
        context: progress and cancellation.

    Raises:
        EdgeCVError: a network can't be run, or an image can't be decoded.
    """
    common = common_tensors(artifacts[0].model, artifacts[1].model)
    apart = {name: Apart() for name, _, _ in common}
    parts = list(_parts(common))
    with context.progress.task("tensors", len(parts) * len(paths), "image") as task:
        for names in parts:
            runners = [
                _opened(artifact, names, folder / f"side{side}.onnx", threads)
                for side, artifact in enumerate(artifacts)
            ]
            try:
                feeds = [
                    InputFeed(runner.inputs, spec)
                    for runner, spec in zip(runners, feeding_of(specs), strict=True)
                ]
                for path in paths:
                    context.cancel.check()
                    made = [
                        _made(runner, feed, path)
                        for runner, feed in zip(runners, feeds, strict=True)
                    ]
                    for name in names:
                        apart[name].add(made[0][name], made[1][name])
                    task.advance()
            finally:
                for runner in runners:
                    runner.close()
    return tuple(_parting(name, op, apart[name]) for name, op, _ in common)


def _parting(name: str, op: str, seen: Apart) -> TensorParting:
    return TensorParting(
        tensor=name,
        op=op,
        same=seen.same,
        snr_db=seen.decibels,
        largest=None if seen.same else seen.largest,
    )


def _made(runner: Runner, feed: InputFeed, path: Path) -> dict[str, NDArray[Any]]:
    feed.fill(read_image(path))
    return runner.infer(feed.feeds)


def first_apart(found: Sequence[TensorParting]) -> TensorParting | None:
    """Return the first tensor that is not the same on both sides."""
    return next((tensor for tensor in found if not tensor.same), None)


def steepest(found: Sequence[TensorParting]) -> TensorParting | None:
    """Return the tensor whose SNR falls furthest below the lowest before it."""
    best: TensorParting | None = None
    most = 0.0
    lowest: float | None = None
    for tensor in found:
        if tensor.snr_db is None:
            continue
        if lowest is not None and lowest - tensor.snr_db > most:
            best, most = tensor, lowest - tensor.snr_db
        lowest = tensor.snr_db if lowest is None else min(lowest, tensor.snr_db)
    return best


def _parts(common: Sequence[tuple[str, str, int]]) -> Iterator[list[str]]:
    names: list[str] = []
    elements = 0
    for name, _, size in common:
        if names and elements + size > _MOST_ELEMENTS:
            yield names
            names, elements = [], 0
        names.append(name)
        elements += size
    if names:
        yield names


def _opened(artifact: Artifact, names: Sequence[str], path: Path, threads: int | None) -> Runner:
    path.write_bytes(serialize(exposed(artifact.model, names)))
    return open_runner(Artifact.open(path), "onnxruntime", threads, exact=True)
