"""Make what reshape was asked for: another input size, NMS inside, or both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import LINEAGE_KEY, SPEC_KEY, Step, dump_lineage
from edgecv_cli.config.conversion import Verified
from edgecv_cli.config.reshape import ReshapeConfig
from edgecv_cli.core.errors import EdgeCVError, ModelError
from edgecv_cli.core.store import digest_key
from edgecv_cli.core.version import __version__
from edgecv_cli.detector.nms_cut import without_nms
from edgecv_cli.detector.nms_in_graph import Suppression, with_plugin, with_rows
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.io import serialize, with_metadata
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.reshape import resized
from edgecv_cli.stages.reshape_verify import Sized

if TYPE_CHECKING:
    import onnx

_SAME_ANCHOR = 0.02  # of a side, between anchors read off the old and off the new graph


@dataclass(frozen=True)
class Made:
    """What came of it.

    Attributes:
        saved: the result's file.
        compared: what runs beside the original: the result, or where it ends in a plugin that
            nothing here runs, the same graph with ONNX's own NMS.
        lineage: the steps that made the result, oldest first.
        verified: how far the result itself can be verified here.
    """

    saved: Path
    compared: Sized
    lineage: tuple[Step, ...]
    verified: Verified


Nearest = Callable[[Sequence[Sized]], Sized]
"""Which of several readings finds what the original finds."""


def make(config: ReshapeConfig, before: Sized, folder: Path, nearest: Nearest) -> Made:
    """Make the result in a folder.

    Args:
        config: what was asked for; where it is neither a size nor NMS, ``before`` is the result.
        before: the model, with its preprocessing inside if that was asked for.
        folder: for the result.
        nearest: tells readings apart.

    Raises:
        UsageError: the model selects boxes itself, so that NMS has nothing to do, or has no NMS to
            take out.
        ModelError: something that was baked for the old size can't be made for the new one, or
            the outputs contradict the spec.
    """
    if config.input_size is None and config.nms is None:
        return Made(before.artifact.path, before, before.artifact.lineage, "ran")
    write = _Writer(config, before)
    plain = _at_size(config, before, folder)
    if config.nms == "none":
        cut = without_nms(plain.model, plain.spec)
        options = [
            Sized(Artifact.open(write(folder / f"cut{at}.onnx", cut.model, spec)), spec)
            for at, spec in enumerate(cut.readings)
        ]
        best = nearest(options)
        return Made(best.artifact.path, best, write.lineage, "ran")
    if config.nms is None:
        path = write(folder / "reshaped.onnx", plain.model, plain.spec)
        return Made(path, Sized(Artifact.open(path), plain.spec), write.lineage, "ran")
    facts = Artifact.open(write(folder / "plain.onnx", plain.model, plain.spec)).facts()
    how = Suppression(
        score=config.nms_score,
        iou=config.nms_iou if config.nms_iou is not None else before.spec.nms_iou,
        limit=config.max_detections,
    )
    model, spec = with_rows(plain.model, plain.spec, facts.outputs, how)
    path = write(folder / "reshaped.onnx", model, spec)
    compared = Sized(Artifact.open(path), spec)
    if config.nms == "onnx":
        return Made(path, compared, write.lineage, "ran")
    plugin = write(
        folder / "plugin.onnx", *with_plugin(plain.model, plain.spec, facts.outputs, how)
    )
    return Made(plugin, compared, write.lineage, "structure")


class _Writer:
    """Writes graphs with their spec and with the step that makes them."""

    def __init__(self, config: ReshapeConfig, before: Sized) -> None:
        asked = config.model_dump(
            mode="json",
            include={"input_size", "nms", "nms_score", "nms_iou", "max_detections"},
        )
        step = Step(
            stage="reshape",
            config=digest_key(**asked),
            parents=(before.artifact.content_digest,),
            versions={"edgecv": __version__},
        )
        self.lineage = (*before.artifact.lineage, step)

    def __call__(self, path: Path, model: onnx.ModelProto, spec: DetectorSpec) -> Path:
        entries = {SPEC_KEY: spec.dumps(), LINEAGE_KEY: dump_lineage(self.lineage)}
        path.write_bytes(serialize(with_metadata(model, entries)))
        return path


@dataclass(frozen=True)
class _Plain:
    """A graph of the wanted size, without NMS."""

    model: onnx.ModelProto
    spec: DetectorSpec


def _at_size(config: ReshapeConfig, before: Sized, folder: Path) -> _Plain:
    if config.input_size is None:
        return _Plain(
            normalise(before.artifact.model, input_size=before.spec.input.size), before.spec
        )
    model = resized(before.artifact.model, config.input_size)
    spec = before.spec.replace(
        input=before.spec.input.model_copy(update={"size": config.input_size})
    )
    if config.spec is None and SPEC_KEY not in before.artifact.metadata:
        _check_read_alike(folder / "untold.onnx", serialize(model), spec)
    return _Plain(model, spec)


def _check_read_alike(model_at: Path, content: bytes, spec: DetectorSpec) -> None:
    """Recognise the new graph without being told, and hold it against what it should be."""
    model_at.write_bytes(content)
    remedy = "export the model at the size you want"
    try:
        found = Artifact.open(model_at).detector().spec
    except EdgeCVError as error:
        raise ModelError(
            f"at the new size the detector is not recognised: {error.problem}", remedy=remedy
        ) from error
    ours, theirs = (
        {key: value for key, value in one.model_dump().items() if key != "anchors"}
        for one in (spec, found)
    )
    unlike = sorted(key for key, value in ours.items() if theirs[key] != value)
    if not _alike_anchors(spec.anchors, found.anchors):
        unlike.append("anchors")
    if unlike:
        raise ModelError(
            f"at the new size the detector reads differently: {', '.join(unlike)}", remedy=remedy
        )


def _alike_anchors(
    a: Sequence[Sequence[tuple[float, float]]], b: Sequence[Sequence[tuple[float, float]]]
) -> bool:
    ours, theirs = (
        [side for level in one for anchor in level for side in anchor] for one in (a, b)
    )
    return len(ours) == len(theirs) and all(
        abs(x - y) <= _SAME_ANCHOR * max(x, y) for x, y in zip(ours, theirs, strict=True)
    )
