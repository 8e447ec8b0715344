"""How accurate a detector is on labelled images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import Step
from edgecv_cli.core.context import Context
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.result import Interval, Part, Result
from edgecv_cli.detector.profiles import EVALUATION, Profile, detection_profile
from edgecv_cli.measure.fitness import warnings_of
from edgecv_cli.measure.hardware import machine
from edgecv_cli.measure.prediction import evaluate_artifact
from edgecv_cli.media.dataset import open_dataset
from edgecv_cli.stages.compose.evaluate import evaluate_document
from edgecv_cli.stages.compose.labels import labels_of
from edgecv_cli.stages.compose.pictures import LOOKED_AT, Pictured, evenly, find, pair_blocks
from edgecv_cli.stages.compose.publishing import reporting

if TYPE_CHECKING:
    from edgecv_cli.config.evaluate import EvaluateConfig
    from edgecv_cli.detector.spec import DetectorSpec
    from edgecv_cli.media.dataset import Dataset
    from edgecv_cli.report.blocks import Block


class ProfileUsed(Part):
    """Post-processing that the figures hold for."""

    score_threshold: float
    nms_iou: float
    candidates: int = Field(description="Kept before suppression, best first.")
    detections: int = Field(description="Kept after suppression.")
    multi_label: bool = Field(description="Whether one box can give several classes.")


class EvaluateResult(Result):
    """COCO accuracy of one detector; all figures 0..1."""

    schema_: str = Field(
        default="edgecv.evaluate/1", serialization_alias="schema", validation_alias="schema"
    )
    model: str
    sha256: str
    family: str
    map: float = Field(description="Mean over classes and IoU 0.50:0.05:0.95 (pycocotools).")
    map50: float
    map75: float
    images: int
    per_class: dict[str, float] = Field(description="AP by category that occurs in the images.")
    objects: dict[str, int] = Field(
        default_factory=dict, description="Labelled objects behind each of per_class."
    )
    interval: Interval | None = Field(default=None, description="Of map, by bootstrap over images.")
    unmapped: int = Field(description="Detections of classes that the data does not label.")
    profile: ProfileUsed
    engine: str
    provider: str = Field(description="What really ran, as the engine reports it.")
    threads: int
    seconds: float = Field(description="Reading, detecting and matching all images.")
    provenance: tuple[Step, ...] = Field(
        default=(), description="The steps that made the model, oldest first."
    )
    report: str | None = Field(default=None, description="Path of the HTML report.")


def evaluate(config: EvaluateConfig, context: Context) -> EvaluateResult:
    """Run a detector on labelled images and state its mAP.

    Raises:
        EdgeCVError: model, data or engine can't be used, or the report can't be written.
    """
    inputs = [config.model, config.data]
    with reporting(config.report, force=config.force, inputs=inputs) as draft:
        artifact = Artifact.open(config.model)
        dataset = open_dataset(config.data, limit=config.limit)
        for note in dataset.notes:
            context.progress.note(note)
        recognised = artifact.detector(config.spec, input_size=config.input_size)
        spec = recognised.spec
        for warning in warnings_of(artifact, recognised):
            context.progress.note(f"warning: {warning}")
        result = _measured(artifact, spec, dataset, config, context)
        if draft.wanted:
            pictures = _pictures(artifact, spec, dataset, config, context)
            draft.write(evaluate_document(result, pictures))
    return result


def _measured(
    artifact: Artifact,
    spec: DetectorSpec,
    dataset: Dataset,
    config: EvaluateConfig,
    context: Context,
) -> EvaluateResult:
    began = context.clock()
    profile = _profile(config)
    accuracy, execution = evaluate_artifact(
        artifact,
        spec,
        dataset,
        context,
        engine=config.engine,
        threads=config.threads,
        profile=profile,
    )
    return EvaluateResult(
        machine=machine(config.threads),
        model=str(config.model),
        sha256=artifact.sha256,
        family=spec.family,
        map=accuracy.map,
        map50=accuracy.map50,
        map75=accuracy.map75,
        images=accuracy.images,
        per_class=accuracy.per_class,
        objects=accuracy.objects,
        interval=accuracy.interval,
        unmapped=accuracy.unmapped,
        profile=_used(profile),
        engine=config.engine,
        provider=execution.provider,
        threads=config.threads or usable_cores(),
        seconds=(context.clock() - began) / 1e9,
        provenance=artifact.lineage,
        report=None if config.report is None else str(config.report),
    )


def _pictures(
    artifact: Artifact,
    spec: DetectorSpec,
    dataset: Dataset,
    config: EvaluateConfig,
    context: Context,
) -> list[Block]:
    """Draw labels and detections of some images, at the threshold that detect would use."""
    items = evenly(dataset.items, LOOKED_AT)
    paths = [item.path for item in items]
    profile = detection_profile(spec, config.conf, config.iou)
    found = find(
        artifact, spec, paths, context, profile, engine=config.engine, threads=config.threads
    )
    labels, names = labels_of(items, dataset, spec.classes, background=spec.background)
    return pair_blocks(
        paths,
        Pictured("labels", labels, scored=False),
        Pictured("detections", found),
        names,
        profile.threshold,
    )


def _profile(config: EvaluateConfig) -> Profile:
    return replace(
        EVALUATION,
        threshold=EVALUATION.threshold if config.conf is None else config.conf,
        iou=EVALUATION.iou if config.iou is None else config.iou,
    )


def _used(profile: Profile) -> ProfileUsed:
    return ProfileUsed(
        score_threshold=profile.threshold,
        nms_iou=profile.iou,
        candidates=profile.candidates,
        detections=profile.detections,
        multi_label=profile.multi_label,
    )
