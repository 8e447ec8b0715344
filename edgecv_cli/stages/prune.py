"""prune: whole channels leave a detector, which is saved only if it is still good enough."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.sidecar import sidecar_path, sidecar_text
from edgecv_cli.config.prune import PruneConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError, ModelError
from edgecv_cli.core.files import Publication, sha256_file
from edgecv_cli.core.scratch import scratch
from edgecv_cli.graph.io import serialize
from edgecv_cli.measure.fitness import warnings_of
from edgecv_cli.media.dataset import open_dataset
from edgecv_cli.media.images import open_images
from edgecv_cli.stages.compose.prune import prune_document
from edgecv_cli.stages.compose.publishing import Draft, reporting
from edgecv_cli.stages.converting.gates import Gates, outcomes
from edgecv_cli.stages.converting.verify import Pair, verify
from edgecv_cli.stages.prune_choice import Given
from edgecv_cli.stages.prune_job import PruneJob, Smaller, flow_of
from edgecv_cli.stages.prune_report import judged_result, shown_result, unreached_result
from edgecv_cli.stages.prune_result import PruneResult
from edgecv_cli.stages.prune_speed import SpeedNotReachedError
from edgecv_cli.stages.rejected import keep, require_place
from edgecv_cli.stages.resuming import training_path

_ELSEWHERE = (
    "int8 (edgecv quantize) and a smaller input (edgecv reshape) cost less accuracy, and "
    "distillation (edgecv distill) teaches a smaller network on unlabelled images"
)
_KEPT = "; its training is kept beside the output, and --resume judges it anew by other gates"


def prune(config: PruneConfig, context: Context) -> PruneResult:
    """Take channels out of a detector, fit what stays, and save it if it passes the gates.

    Raises:
        GateNotMetError: a gate was not met, or no cut is as fast as asked; it carries the whole
            result, and nothing is saved.
        UsageError: the budget can't be met, or the output stands already.
        ModelError: the model is quantized, or holds nothing that could leave.
        DataError: images can't be read.
    """
    if config.show_groups:
        return shown_result(config, read_given(config, context))
    assert config.output is not None
    inputs = [config.model]
    with (
        reporting(config.report, force=config.force, inputs=[*inputs, config.output]) as draft,
        Publication(config.output, force=config.force, inputs=inputs) as output,
        scratch() as folder,
    ):
        place, sidecar = output.main, output.part(sidecar_path(config.output).name)
        require_place(
            config.keep_rejected, force=config.force, inputs=[config.model, config.output]
        )
        given = read_given(config, context)
        smaller = _smaller(config, given, folder, context, draft)
        path = folder / "pruned.onnx"
        path.write_bytes(serialize(smaller.model))
        result, refused = _judged(config, given, smaller, path, context)
        if refused:
            raise _refusal(config, smaller, _rejected(config, result, path), refused, draft)
        shutil.copyfile(path, place)
        update = {"saved": str(config.output), "sha256": sha256_file(place)}
        saved = result.model_copy(update=update)
        sidecar.write_text(sidecar_text(update["sha256"], saved.to_json()), encoding="utf-8")
        draft.write(prune_document(saved))
        output.commit()
        if smaller.tuned is not None:
            training_path(config.output).unlink(missing_ok=True)
        return saved


def read_given(config: PruneConfig, context: Context) -> Given:
    """Return what a run is given, read.

    Raises:
        ModelError: the model is quantized, or holds nothing that could leave.
        EdgeCVError: the model or the images can't be read.
    """
    artifact = Artifact.open(config.model)
    recognised = artifact.detector(config.spec, input_size=config.input_size)
    data = None if config.data is None else open_dataset(config.data, limit=config.limit)
    images = None if config.calibration is None else open_images(config.calibration, config.images)
    warnings = warnings_of(artifact, recognised)
    for text in warnings:
        context.progress.note(f"warning: {text}")
    flow = flow_of(artifact, config.input_size)
    if not flow.groups:
        raise ModelError(
            f"'{config.model}' has no channel that could leave",
            remedy="run it with --verbose, or `edgecv inspect`, to see its layers",
        )
    return Given(artifact, recognised.spec, flow, images, data, tuple(warnings))


def _smaller(
    config: PruneConfig, given: Given, folder: Path, context: Context, draft: Draft
) -> Smaller:
    job = PruneJob(given, config, folder, context)
    try:
        return job.run()
    except SpeedNotReachedError as error:
        nearest = error.nearest.speed
        result = unreached_result(config, given, job.looked)
        draft.write(prune_document(result))
        raise GateNotMetError(
            f"--target-speedup {config.target_speedup:g} can't be reached with --cap "
            f"{config.cap:g}: the fastest cut has {nearest.ratio:.2f}x, interval {nearest.low:.2f} "
            f"to {nearest.high:.2f}",
            remedy=f"ask for --target-speedup {max(nearest.ratio, 1):.2f}, or raise --cap; "
            + _ELSEWHERE,
            result=result,
        ) from error


def _judged(
    config: PruneConfig, given: Given, smaller: Smaller, path: Path, context: Context
) -> tuple[PruneResult, tuple[str, ...]]:
    """Return what was measured, and the names of the gates that were not met."""
    converted = Artifact.open(path)
    pair = Pair(
        original=given.artifact,
        source=given.artifact,
        converted=converted,
        spec=given.spec,
        stored=given.spec,
        engine="onnxruntime",
        exact=False,
        images=given.images.paths if given.images is not None and given.data is None else (),
        data=given.data,
        threads=config.threads,
        speed_seconds=config.speed_seconds,
    )
    seen = verify(pair, context)
    gates = Gates("ran", config.agreement_gate, None, config.drop_gate, config.speed_gate)
    made = outcomes(gates, seen)
    result = judged_result(config, given, smaller, converted, seen, made=made)
    return result, tuple(one.name for one in made if not one.met)


def _refusal(
    config: PruneConfig,
    smaller: Smaller,
    result: PruneResult,
    refused: tuple[str, ...],
    draft: Draft,
) -> GateNotMetError:
    draft.write(prune_document(result))
    said = "; ".join(f"{name} {result.gates[name]}" for name in refused)
    again = _KEPT if smaller.tuned is not None else ""
    return GateNotMetError(
        f"the pruned model is not saved: {said}",
        remedy=f"{_milder(config, result)}, or widen the gate; {_ELSEWHERE}; --keep-rejected "
        f"PATH.onnx keeps it{again}",
        result=result,
    )


def _milder(config: PruneConfig, result: PruneResult) -> str:
    """Say how to cut less, with what that costs where it was measured."""
    if config.target_speedup is not None:
        return "ask for less (--target-speedup)"
    if config.target_parameters is not None:
        return "keep more (--target-parameters)"
    if len(result.curve) < 2:
        return "keep more (--target-flops)"
    milder, taken = result.curve[len(result.curve) // 2 - 1], result.curve[-1]
    return (
        f"keep more (--target-flops {milder.flops_ratio:.2f}: before the recovery, the loss of "
        f"detections is {milder.damage:.3f} there, and {taken.damage:.3f} here)"
    )


def _rejected(config: PruneConfig, result: PruneResult, path: Path) -> PruneResult:
    if config.keep_rejected is None:
        return result
    keep(path, config.keep_rejected, force=config.force)
    return result.model_copy(update={"rejected": str(config.keep_rejected)})
