"""Do two artifacts find the same things, and where do they part."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.scratch import scratch
from edgecv_cli.detector.profiles import detection_profile
from edgecv_cli.inference.predictor import Predictor
from edgecv_cli.measure.agreement import AgreementResult, agreement
from edgecv_cli.measure.fitness import warnings_of
from edgecv_cli.measure.hardware import machine
from edgecv_cli.measure.parting import (
    StageParting,
    TensorParting,
    first_apart,
    stages,
    steepest,
    tensors,
)
from edgecv_cli.measure.prediction import predict_images
from edgecv_cli.media.images import open_images
from edgecv_cli.runtime.opening import open_runner
from edgecv_cli.stages.compare_result import ClassAgreement, CompareResult
from edgecv_cli.stages.compose.compare import compare_csv, compare_document
from edgecv_cli.stages.compose.pictures import Pictured, evenly, pair_blocks
from edgecv_cli.stages.compose.result_files import result_files, write_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgecv_cli.config.compare import CompareConfig
    from edgecv_cli.detector.spec import DetectorSpec
    from edgecv_cli.report.blocks import Block

_SAME = {"onnx"}


def compare(config: CompareConfig, context: Context) -> CompareResult:
    """Compare what two detectors find, and say where they part.

    Raises:
        GateNotMetError: the agreement is below ``--min-agreement``; with the whole result.
        EdgeCVError: a model, the images or an engine can't be used.
    """
    places = {"report": config.report, "md": config.md, "csv": config.csv}
    inputs = [config.a, config.b, config.images]
    with result_files(places, force=config.force, inputs=inputs) as drafts:
        result, pictures = _compared(config, context, drawn=drafts["report"].wanted)
        write_document(drafts, lambda: compare_document(result, pictures))
        drafts["csv"].write_text(compare_csv(result))
        wanted, found = config.min_agreement, result.agreement
        if wanted is not None and (found is None or found < wanted):
            raise GateNotMetError(
                f"min_agreement {result.gates['min_agreement']}",
                remedy="look at `stages` for where the two part, or lower --min-agreement",
                result=result,
            )
    return result


@dataclass(frozen=True)
class _Looked:
    """What both find, and what each stage of the second costs."""

    first: list[Detections]
    second: list[Detections]
    stages: tuple[StageParting, ...]


def _compared(
    config: CompareConfig, context: Context, *, drawn: bool
) -> tuple[CompareResult, list[Block]]:
    began = context.clock()
    artifacts = Artifact.open(config.a), Artifact.open(config.b)
    specs = _specs(artifacts, config, context)
    paths = open_images(config.images, config.limit).paths
    looked = _look(artifacts, specs, paths, config, context)
    inner, why = _inner(artifacts, specs, paths, config, context)
    threshold = specs[0].score_threshold
    whole = agreement(looked.first, looked.second, threshold)
    begin, steep = first_apart(inner or ()), steepest(inner or ())
    result = CompareResult(
        machine=machine(config.threads),
        a=str(config.a),
        b=str(config.b),
        sha256_a=artifacts[0].sha256,
        sha256_b=artifacts[1].sha256,
        **_figures(whole),
        per_class=_by_class(looked, threshold, specs[0].classes),
        images=len(paths),
        threshold=threshold,
        stages=looked.stages,
        tensors=inner,
        tensor_images=None if inner is None else min(config.tensor_images, len(paths)),
        first_difference=None if begin is None else begin.tensor,
        steepest_loss=None if steep is None else steep.tensor,
        no_tensors=why,
        engine=config.engine,
        engine_b=config.engine_b or config.engine,
        threads=config.threads or usable_cores(),
        seconds=(context.clock() - began) / 1e9,
        gates=_gate(config.min_agreement, whole),
        report=None if config.report is None else str(config.report),
    )
    sides = Pictured("A", looked.first), Pictured("B", looked.second)
    pictures = pair_blocks(paths, *sides, specs[0].classes, threshold) if drawn else []
    return result, pictures


def _look(
    artifacts: tuple[Artifact, Artifact],
    specs: tuple[DetectorSpec, DetectorSpec],
    paths: Sequence[Path],
    config: CompareConfig,
    context: Context,
) -> _Looked:
    """Run both over the images, and each stage of the second alone."""
    engines = config.engine, config.engine_b or config.engine
    with ExitStack() as stack:
        runners = []
        for artifact, engine in zip(artifacts, engines, strict=True):
            runners.append(open_runner(artifact, engine, config.threads))
            stack.callback(runners[-1].close)
        found = [
            predict_images(
                Predictor(runner, spec, detection_profile(spec)),
                paths,
                context,
                name=f"detect, {name}",
            )
            for runner, spec, name in zip(runners, specs, "AB", strict=True)
        ]
        blamed = stages((runners[0], runners[1]), specs, (found[0], found[1]), paths, context)
    return _Looked(found[0], found[1], blamed)


def _figures(found: AgreementResult) -> dict[str, Any]:
    return {
        "agreement": found.agreement,
        "matched": found.matched,
        "missed": found.missed,
        "extra": found.extra,
        "mean_iou": found.mean_iou,
        "score_shift": found.score_shift,
    }


def _specs(
    artifacts: tuple[Artifact, Artifact], config: CompareConfig, context: Context
) -> tuple[DetectorSpec, DetectorSpec]:
    found = []
    for artifact, told in zip(artifacts, (config.spec, config.spec_b), strict=True):
        recognised = artifact.detector(told, input_size=config.input_size)
        for warning in warnings_of(artifact, recognised):
            context.progress.note(f"warning: {warning}")
        found.append(recognised.spec)
    return found[0], found[1]


def _inner(
    artifacts: tuple[Artifact, Artifact],
    specs: tuple[DetectorSpec, DetectorSpec],
    paths: Sequence[Path],
    config: CompareConfig,
    context: Context,
) -> tuple[tuple[TensorParting, ...] | None, str | None]:
    """Return the inner tensors compared, or why they are not."""
    if config.tensor_images == 0:
        return None, "--tensor-images 0"
    foreign = [artifact.path.name for artifact in artifacts if artifact.format not in _SAME]
    if foreign:
        return None, f"inner tensors are seen in .onnx files alone, not in {foreign[0]}"
    with scratch() as folder:
        found = tensors(
            artifacts,
            specs,
            evenly(paths, config.tensor_images),
            folder=folder,
            threads=config.threads,
            context=context,
        )
    return (found, None) if found else (None, "the two have no inner tensor of one name")


def _by_class(
    looked: _Looked, threshold: float, classes: Sequence[str]
) -> dict[str, ClassAgreement]:
    every = [*looked.first, *looked.second]
    present = sorted({int(index) for found in every for index in np.unique(found.class_ids)})
    rows = {}
    for index in present:
        first, second = (
            [found.take(found.class_ids == index) for found in side]
            for side in (looked.first, looked.second)
        )
        one = agreement(first, second, threshold)
        if one.matched or one.missed or one.extra:
            name = classes[index] if index < len(classes) else str(index)
            rows[name] = ClassAgreement(**_figures(one))
    return rows


def _gate(wanted: float | None, found: AgreementResult) -> dict[str, str]:
    if wanted is None:
        return {}
    value = "neither finds anything" if found.agreement is None else f"{found.agreement:.3f}"
    return {"min_agreement": f"at least {wanted:g}: {value}"}
