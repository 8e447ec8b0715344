"""reshape: a detector gets another input, or NMS, and is saved if it still finds things."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.sidecar import sidecar_path, sidecar_text
from edgecv_cli.config.reshape import ReshapeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError, UsageError
from edgecv_cli.core.files import Publication, sha256_file
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.result import Interval
from edgecv_cli.core.scratch import scratch
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.measure.fitness import warnings_of
from edgecv_cli.measure.hardware import machine
from edgecv_cli.media.dataset import Dataset, open_dataset
from edgecv_cli.media.images import open_images
from edgecv_cli.stages.baking import bake
from edgecv_cli.stages.converting.gates import Gates, Outcome, outcomes, require_outcome
from edgecv_cli.stages.converting.sides import side_of
from edgecv_cli.stages.converting.verify import Seen
from edgecv_cli.stages.quantize_result import HowMade
from edgecv_cli.stages.reshape_make import Made, make
from edgecv_cli.stages.reshape_result import ReshapeResult
from edgecv_cli.stages.reshape_verify import ENGINE, Sized, compared, nearest

_FEW = 8  # images that tell how boxes are to be read once their NMS is gone
_ADVICE = (
    "take a size nearer to the original's, widen the gate (--max-drop, --min-agreement), or train "
    "and export at the new size"
)
_NMS_ADVICE = (
    "lower --nms-score or raise --max-detections, widen the gate (--max-drop, --min-agreement), or "
    "leave NMS outside the graph, as detect and evaluate have it"
)
_CUT_ADVICE = (
    "give more images, or export the model without NMS: its graph does to the boxes what can't be "
    "told from outside"
)


def reshape(config: ReshapeConfig, context: Context) -> ReshapeResult:
    """Give a detector another input size, NMS or a uint8 input, compare it, and save it.

    Raises:
        GateNotMetError: a gate was not met; it carries the whole result, and nothing is saved.
        UsageError: the size is no multiple of the largest stride, the output stands already, or
            the model selects boxes itself and NMS is asked for.
        ModelError: something that was baked for the old size can't be made for the new one.
        DataError: images can't be read.
    """
    with (
        Publication(config.output, force=config.force, inputs=[config.model]) as output,
        scratch() as folder,
    ):
        place, sidecar = output.main, output.part(sidecar_path(config.output).name)
        before = _original(config, context)
        pictures = _pictures(config)
        few = partial(
            nearest, before, paths=pictures.paths[:_FEW], threads=config.threads, context=context
        )
        baking = None
        start = before
        if config.bake_preprocess:
            baking = bake(
                config,
                before.artifact,
                before.spec,
                pictures.paths,
                folder=folder,
                context=context,
            )
            start = Sized(baking.artifact, baking.spec)
        made = make(config, start, folder, few)
        result, refused = _judged(config, before, made, pictures, context)
        result = result.model_copy(update={"baked": baking.said if baking else None})
        if refused:
            said = "; ".join(f"{name} {result.gates[name]}" for name in refused)
            problem = f"the reshaped model is not saved: {said}"
            raise GateNotMetError(problem, remedy=_advice(config, refused), result=result)
        shutil.copyfile(made.saved, place)
        update = {"saved": str(config.output), "sha256": sha256_file(place)}
        saved = result.model_copy(update=update)
        sidecar.write_text(sidecar_text(update["sha256"], saved.to_json()), encoding="utf-8")
        output.commit()
        return saved


def _original(config: ReshapeConfig, context: Context) -> Sized:
    artifact = Artifact.open(config.model)
    open_size = artifact.facts().input_size is None
    recognised = artifact.detector(config.spec, input_size=config.input_size if open_size else None)
    for text in warnings_of(artifact, recognised):
        context.progress.note(f"warning: {text}")
    spec = recognised.spec
    if config.input_size is not None:
        _check_size(config.input_size, spec)
    return Sized(artifact, spec)


def _check_size(size: tuple[int, int], spec: DetectorSpec) -> None:
    """Refuse sides that the largest stride does not divide, if it divides the old ones."""
    stride = max(spec.strides, default=32)
    if any(side % stride for side in spec.input.size):
        return
    if all(side % stride == 0 for side in size):
        return
    near = [
        "x".join(str(max(stride, stride * ((side + up) // stride))) for side in size)
        for up in (0, stride - 1)
    ]
    raise UsageError(
        f"{size[0]}x{size[1]} is no multiple of the detector's largest stride, {stride}",
        remedy=f"take --input-size {near[0]} or --input-size {near[1]}",
    )


@dataclass(frozen=True)
class _Pictures:
    """The images to look at, and their labels where there are any."""

    paths: Sequence[Path]
    data: Dataset | None


def _pictures(config: ReshapeConfig) -> _Pictures:
    if config.data is not None:
        data = open_dataset(config.data, limit=config.limit)
        return _Pictures([item.path for item in data.items], data)
    images = () if config.images is None else open_images(config.images, config.limit).paths
    return _Pictures(images, None)


def _judged(
    config: ReshapeConfig,
    before: Sized,
    made: Made,
    pictures: _Pictures,
    context: Context,
) -> tuple[ReshapeResult, tuple[str, ...]]:
    """Return what was measured, and the names of the gates that were not met."""
    seen = compared(
        before,
        made.compared,
        pictures.paths,
        pictures.data,
        threads=config.threads,
        speed_seconds=config.speed_seconds,
        context=context,
    )
    gates = Gates("ran", config.agreement_gate, None, config.drop_gate, config.min_speedup)
    # another interface is the point of it, and what is compared runs, else this is not reached
    found = [one for one in outcomes(gates, seen) if one.name not in ("structure", "require")]
    if config.nms is not None:
        found.append(require_outcome(config.require, replace(seen, verified=made.verified)))
    result = _result(config, before, made, seen, found)
    return result, tuple(one.name for one in found if not one.met)


def _result(
    config: ReshapeConfig, before: Sized, made: Made, seen: Seen, gates: Sequence[Outcome]
) -> ReshapeResult:
    runs = seen.speed.runs if seen.speed else (None, None)
    ratio = seen.speed.ratios[0] if seen.speed and seen.speed.ratios else None
    sizes = before.artifact.size_bytes, made.saved.stat().st_size
    method = "bootstrap over launches and rounds"
    unseen = not seen.agreement
    warnings = ["not compared with the original: add --data or --images"] if unseen else []
    if made.verified != "ran":
        warnings.append(
            "TensorRT's NMS was not run: what was compared is the same graph with ONNX's own NMS"
        )
    return ReshapeResult(
        model=str(config.model),
        family=before.spec.family,
        machine=machine(config.threads),
        from_size=before.spec.input.size,
        to_size=made.compared.spec.input.size,
        nms=config.nms,
        verified=made.verified,
        baseline=side_of(seen.before, runs[0], sizes[0]),
        optimized=side_of(seen.after, runs[1], sizes[1]),
        drop=seen.drop.drop if seen.drop else None,
        drop_interval=seen.drop.points if seen.drop else None,
        agreement=seen.agreement.agreement if seen.agreement else None,
        speedup=ratio.ratio if ratio else None,
        speedup_interval=Interval(low=ratio.low, high=ratio.high, method=method) if ratio else None,
        size_ratio=sizes[0] / sizes[1],
        gates={one.name: one.text for one in gates},
        warnings=(*warnings, *seen.warnings, *(one.warning for one in gates if one.warning)),
        how=_how(config, seen),
        provenance=made.lineage,
    )


def _advice(config: ReshapeConfig, refused: Sequence[str]) -> str:
    if "require" in refused:
        return "take --nms onnx, which runs here, or leave --require out"
    if config.nms == "none":
        return _CUT_ADVICE
    return _NMS_ADVICE if config.input_size is None else _ADVICE


def _how(config: ReshapeConfig, seen: Seen) -> HowMade:
    agreed = seen.agreement
    return HowMade(
        engine=ENGINE,
        threads=config.threads or usable_cores(),
        evaluation_images=seen.before.images if seen.before else None,
        agreement_images=agreed.images if agreed else None,
        agreement_source=None if agreed is None else "--data" if config.data else "--images",
        speed_rounds=seen.speed.rounds if seen.speed else None,
        speed_source="each in a child process, rounds interleaved" if seen.speed else None,
        seed=config.seed,
    )
