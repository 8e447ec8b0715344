"""The --width of distill: the detector that was given, with channels taken out as prune does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.training.checkpoint import load
from edgecv_cli.config.distill import DistillConfig
from edgecv_cli.config.prune import PruneConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError, ModelError, UsageError
from edgecv_cli.core.scratch import scratch
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.io import load_model, serialize
from edgecv_cli.media.images import open_images
from edgecv_cli.stages.prune_choice import Given
from edgecv_cli.stages.prune_job import PruneJob, flow_of
from edgecv_cli.stages.resuming import training_path

_LEAST_CAP, _MOST_CAP = 0.5, 0.9
_STEP, _WIDE = 8, 32  # channels that leave together, where a group has so many


@dataclass(frozen=True)
class Thin:
    """A detector with channels taken out, before any training.

    Attributes:
        model: its weights fitted by least squares.
        share: multiply-accumulates that stayed, 0..1.
    """

    model: onnx.ModelProto = field(repr=False)
    share: float

    def kept(self, asked: float, whole: str) -> tuple[dict[str, NDArray[Any]], dict[str, object]]:
        """Return arrays and notes for the checkpoint, so that channels are not chosen again.

        Args:
            asked: part that was to stay.
            whole: digest of the detector.
        """
        arrays = {"thin": np.frombuffer(serialize(self.model), np.uint8)}
        return arrays, {"width": asked, "whole": whole, "share": self.share}


def thinner(
    config: DistillConfig, artifact: Artifact, spec: DetectorSpec, context: Context
) -> Thin:
    """Return the detector with channels taken out until ``--width`` of its work stays.

    Args:
        config: its ``images`` choose channels and fit weights; with ``resume``, the detector comes
            from the checkpoint.
        artifact: the whole detector, float.
        spec: how it is fed and read.
        context: progress, cancellation, seed.

    Raises:
        UsageError: so little can't stay.
        ModelError: no channel can leave.
        DataError: images can't be read, or the checkpoint is of another width or detector.
    """
    assert config.width is not None
    if config.resume:
        return _resumed(config, artifact)
    flow = flow_of(artifact, config.input_size)
    if not flow.groups:
        raise ModelError(
            f"'{config.model}' has no channel that could leave",
            remedy="leave --width out, or look with `edgecv prune --show-groups`",
        )
    asked = _as_prune(config, max(len(group.units) for group in flow.groups))
    given = Given(artifact, spec, flow, open_images(config.images, asked.images), None, ())
    with scratch() as folder:
        try:
            made = PruneJob(given, asked, folder, context).run()
        except UsageError as error:
            raise UsageError(
                f"--width {config.width:g} can't be met: too few channels can leave",
                remedy="ask for a larger --width; a smaller input size saves more",
            ) from error
    return Thin(made.model, made.share)


def _as_prune(config: DistillConfig, widest: int) -> PruneConfig:
    assert config.width is not None
    # what little stays has to come from somewhere: training brings back what a deep cut costs
    cap = min(_MOST_CAP, max(_LEAST_CAP, 1 - 0.8 * config.width))
    return PruneConfig(
        model=config.model,
        output=config.output,
        calibration=config.images,
        target_flops=config.width,
        cap=cap,
        round_to=_STEP if widest >= _WIDE else 1,
        input_size=config.input_size,
        seed=config.seed,
        threads=config.threads,
    )


def _resumed(config: DistillConfig, artifact: Artifact) -> Thin:
    path = training_path(config.output)
    held = load(path)
    notes = held.header.get("notes")
    known = notes if isinstance(notes, Mapping) else {}
    if known.get("width") != config.width or known.get("whole") != artifact.content_digest:
        raise DataError(
            f"the training kept in '{path}' was begun with another --width or another model",
            remedy="give the command that began it, or leave --resume out and add --force",
        )
    with scratch() as folder:
        place = folder / "thin.onnx"
        place.write_bytes(held.arrays.get("thin", np.zeros(0)).astype(np.uint8).tobytes())
        return Thin(load_model(place), float(known["share"]))
