"""By what a preprocessing is judged: labels where there are any, else the mirror image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.context import Context, Task
from edgecv_cli.core.errors import DataError
from edgecv_cli.core.measurement import bootstrap_interval
from edgecv_cli.core.result import Interval
from edgecv_cli.detector.profiles import EVALUATION, Profile
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.inference.predictor import Predictor
from edgecv_cli.measure.accuracy import evaluate_detections
from edgecv_cli.measure.mirror import found_again, mirrored
from edgecv_cli.measure.preprocessing_result import Criterion
from edgecv_cli.media.class_map import map_classes
from edgecv_cli.media.dataset import Dataset, open_dataset
from edgecv_cli.media.images import open_images, read_image
from edgecv_cli.media.layouts import find_layouts

_RESAMPLES = 1000
_LOWEST_SCORE = 0.1
# A saturated network finds hundreds of things, all of them surely: by chance alone some come
# again. Its best few seldom do; those of a network that sees do.
_MOST = 20


@dataclass(frozen=True)
class Score:
    """How well a setting did, and on the same resampled image sets as every other.

    Attributes:
        value: on all images.
        resampled: float64 [resamples].
    """

    value: float
    resampled: NDArray[np.float64]

    def lead(self, other: Score) -> Interval:
        """Return how much more this is than another, by bootstrap over images."""
        difference = self.resampled - other.resampled
        return bootstrap_interval(difference, point=self.value - other.value)


class Labelled:
    """mAP50-95 against the labels of a dataset, as ``evaluate`` states it."""

    name: Criterion = "map"

    def __init__(self, dataset: Dataset, spec: DetectorSpec) -> None:
        self._dataset = dataset
        self._map = map_classes(spec.classes, dataset, background=spec.background)
        self.images = len(dataset.items)
        self.profile = EVALUATION

    def score(self, predictor: Predictor, task: Task, context: Context) -> Score:
        """Run the images and score what was found; one ``advance`` an image."""
        found = []
        for item in self._dataset.items:
            context.cancel.check()
            found.append(predictor.predict(read_image(item.path)))
            task.advance()
        result = evaluate_detections(self._dataset, found, self._map, seed=context.seed)
        return Score(result.map, np.nan_to_num(result.resampled))


class Mirrored:
    """What is found again in the mirror image; see :mod:`edgecv_cli.measure.mirror`."""

    name: Criterion = "mirror"

    def __init__(self, paths: Sequence[Path], spec: DetectorSpec) -> None:
        self._paths = paths
        self.images = len(paths)
        self.profile = Profile(
            threshold=_LOWEST_SCORE, iou=spec.nms_iou, candidates=3000, detections=_MOST,
            multi_label=False,
        )  # fmt: skip

    def score(self, predictor: Predictor, task: Task, context: Context) -> Score:
        """Run the images and score what was found; one ``advance`` an image."""
        values = []
        for path in self._paths:
            context.cancel.check()
            picture = read_image(path)
            plain, mirror = predictor.predict(picture), predictor.predict(mirrored(picture))
            values.append(found_again(plain, mirror, picture.shape[1]))
            task.advance()
        scores = np.asarray(values)
        rng = np.random.default_rng(context.seed)
        drawn = rng.integers(0, len(scores), (_RESAMPLES, len(scores)))
        return Score(float(scores.mean()), scores[drawn].mean(axis=1))


def open_criterion(
    path: Path, limit: int, spec: DetectorSpec, context: Context
) -> Labelled | Mirrored:
    """Take labels as the criterion if there are any that fit the model, else the mirror image.

    Args:
        path: a dataset of any layout, or a folder of images.
        limit: at most this many images.
        spec: the detector.
        context: where the reason is noted if labels are not used.

    Raises:
        DataError: there are no images, or labels that are broken.
    """
    try:
        find_layouts(path)
    except DataError as error:
        images = open_images(path, limit)
        context.progress.note(f"no labels are used: {error.problem}")
        return Mirrored(images.paths, spec)
    dataset = open_dataset(path, limit=limit)
    try:
        if any(len(item.boxes) for item in dataset.items):
            return Labelled(dataset, spec)
        problem = "these images hold no labelled object"
    except DataError as error:
        problem = error.problem
    context.progress.note(f"no labels are used: {problem}")
    return Mirrored([item.path for item in dataset.items], spec)
