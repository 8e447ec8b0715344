"""A detector's answers on a whole set of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import Context
from edgecv_cli.detector.profiles import EVALUATION, Profile
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.inference.predictor import open_predictor
from edgecv_cli.measure.accuracy import AccuracyResult, evaluate_detections
from edgecv_cli.media.class_map import map_classes
from edgecv_cli.media.images import read_image
from edgecv_cli.runtime.base import Execution

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgecv_cli.media.dataset import Dataset


class Predicts(Protocol):
    """Anything that finds objects in a picture."""

    def predict(self, image: NDArray[np.uint8]) -> Detections:
        """Return what is in a uint8 [H, W, 3] BGR picture, in its own pixels."""
        ...


def predict_images(
    predictor: Predicts, paths: Sequence[Path], context: Context, *, name: str = "detect"
) -> list[Detections]:
    """Run a detector on image files, one entry a file, in source pixels.

    Raises:
        DataError: a file can't be decoded.
        InterruptedByUser: the run was cancelled.
    """
    found = []
    with context.progress.task(name, len(paths), "image") as task:
        for path in paths:
            context.cancel.check()
            found.append(predictor.predict(read_image(path)))
            task.advance()
    return found


def predict_dataset(
    predictor: Predicts, dataset: Dataset, context: Context, *, name: str = "evaluate"
) -> list[Detections]:
    """Run a detector on every image of a dataset; as :func:`predict_images`."""
    return predict_images(predictor, [item.path for item in dataset.items], context, name=name)


class Evaluated(NamedTuple):
    """An artifact's accuracy, and what really ran to measure it."""

    accuracy: AccuracyResult
    execution: Execution


def evaluate_artifact(
    artifact: Artifact,
    spec: DetectorSpec,
    dataset: Dataset,
    context: Context,
    *,
    engine: str,
    threads: int | None,
    profile: Profile = EVALUATION,
) -> Evaluated:
    """Measure an artifact's mAP on a dataset; ``context.seed`` seeds its bootstrap.

    Raises:
        DataError: classes and categories do not fit, or images can't be read.
        EngineError: the engine can't load or run the model.
    """
    class_map = map_classes(spec.classes, dataset, background=spec.background)
    predictor = open_predictor(artifact, spec, engine=engine, threads=threads, profile=profile)
    execution = predictor.runner.execution
    try:
        found = predict_dataset(predictor, dataset, context, name=f"evaluate {artifact.path.name}")
    finally:
        predictor.close()
    return Evaluated(evaluate_detections(dataset, found, class_map, seed=context.seed), execution)
