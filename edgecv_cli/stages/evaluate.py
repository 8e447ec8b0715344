"""How accurate a detector is on labelled images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.context import Context
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.result import Interval, Part, Result
from edgecv_cli.detector.profiles import EVALUATION, Profile
from edgecv_cli.measure.fitness import misfit
from edgecv_cli.measure.hardware import machine
from edgecv_cli.measure.prediction import evaluate_artifact
from edgecv_cli.media.dataset import open_dataset

if TYPE_CHECKING:
    from edgecv_cli.config.evaluate import EvaluateConfig


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
    interval: Interval | None = Field(default=None, description="Of map, by bootstrap over images.")
    unmapped: int = Field(description="Detections of classes that the data does not label.")
    profile: ProfileUsed
    engine: str
    provider: str = Field(description="What really ran, as the engine reports it.")
    threads: int
    seconds: float = Field(description="Reading, detecting and matching all images.")


def evaluate(config: EvaluateConfig, context: Context) -> EvaluateResult:
    """Run a detector on labelled images and state its mAP.

    Raises:
        EdgeCVError: model, data or engine can't be used.
    """
    began = context.clock()
    artifact = Artifact.open(config.model)
    dataset = open_dataset(config.data, limit=config.limit)
    warned = misfit(artifact)
    if warned:
        context.progress.note(f"warning: {warned}")
    spec = artifact.detector(config.spec, input_size=config.input_size).spec
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
        interval=accuracy.interval,
        unmapped=accuracy.unmapped,
        profile=_used(profile),
        engine=config.engine,
        provider=execution.provider,
        threads=config.threads or usable_cores(),
        seconds=(context.clock() - began) / 1e9,
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
