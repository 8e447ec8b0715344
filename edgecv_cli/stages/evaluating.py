"""One artifact on labelled images: what it finds, and everything that is counted in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import Context
from edgecv_cli.detector.profiles import EVALUATION, Profile, detection_profile
from edgecv_cli.inference.predictor import open_predictor
from edgecv_cli.measure.confusion import ImagePairs, pair_objects
from edgecv_cli.measure.detailed_accuracy import DetailedAccuracy, detailed_accuracy
from edgecv_cli.measure.fitness import warnings_of
from edgecv_cli.measure.self_map import predict_profiles
from edgecv_cli.media.class_map import map_classes
from edgecv_cli.runtime.base import Execution

if TYPE_CHECKING:
    from pathlib import Path

    from edgecv_cli.config.evaluate import EvaluateConfig
    from edgecv_cli.detector.spec import DetectorSpec
    from edgecv_cli.media.dataset import Dataset

_LOWEST = 0.01  # score down to which other thresholds are looked at


@dataclass(frozen=True)
class Opened:
    """An artifact that can be run on the images.

    Attributes:
        class_map: its class index to category id.
    """

    artifact: Artifact
    spec: DetectorSpec
    class_map: dict[int, int]


@dataclass(frozen=True)
class Measured:
    """What came out.

    Attributes:
        accuracy: of its detections as mAP wants them.
        plain: its detections as ``detect`` reads them, one entry an image, in source pixels.
        threshold: the score that ``detect`` starts at.
        pairs: of detections down to a lower score, so that other thresholds can be tried.
        execution: what really ran.
    """

    accuracy: DetailedAccuracy
    plain: list[Detections]
    threshold: float
    pairs: list[ImagePairs]
    execution: Execution


def open_side(
    path: Path, spec: Path | None, dataset: Dataset, config: EvaluateConfig, context: Context
) -> Opened:
    """Open an artifact and say what there is to warn of.

    Raises:
        EdgeCVError: it is no detector, or its classes don't fit the data.
    """
    artifact = Artifact.open(path)
    recognised = artifact.detector(spec, input_size=config.input_size)
    for warning in warnings_of(artifact, recognised):
        context.progress.note(f"warning: {warning}")
    found = recognised.spec
    return Opened(artifact, found, map_classes(found.classes, dataset, background=found.background))


def measure_side(
    side: Opened, dataset: Dataset, config: EvaluateConfig, context: Context
) -> Measured:
    """Run an artifact once over the images, and count.

    Raises:
        DataError: images can't be read, or hold no object.
        EngineError: the engine can't load or run it.
    """
    predictor = open_predictor(
        side.artifact, side.spec, engine=config.engine, threads=config.threads
    )
    plain = detection_profile(side.spec, config.conf, config.iou)
    lower = replace(plain, threshold=min(_LOWEST, plain.threshold))
    paths = [item.path for item in dataset.items]
    name = f"evaluate {side.artifact.path.name}"
    try:
        profiles = (scoring_profile(config), lower)
        scored, low = predict_profiles(predictor, paths, profiles, context, name=name)
        execution = predictor.runner.execution
    finally:
        predictor.close()
    return Measured(
        accuracy=detailed_accuracy(dataset, scored, side.class_map, seed=context.seed),
        plain=[found.take(found.scores >= plain.threshold) for found in low],
        threshold=plain.threshold,
        pairs=pair_objects(dataset, low, side.class_map),
        execution=execution,
    )


def scoring_profile(config: EvaluateConfig) -> Profile:
    """Return how detections are read for mAP."""
    return replace(
        EVALUATION,
        threshold=EVALUATION.threshold if config.conf is None else config.conf,
        iou=EVALUATION.iou if config.iou is None else config.iou,
    )
