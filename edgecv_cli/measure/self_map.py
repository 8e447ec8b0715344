"""How far a candidate is from its original, without labels, on a scale that moves smoothly.

The original's detections above its threshold are taken as the truth, and the candidate is
scored against them as COCO scores a detector: 1 is no difference. Unlike agreement at one
threshold and one IoU, boxes that drift and scores that change order show up early, which is
what ranking candidates needs. It ranks; it is not reported as accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError
from edgecv_cli.detector.profiles import EVALUATION, Profile, detection_profile
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.inference.predictor import Predictor, open_predictor
from edgecv_cli.measure.accuracy import evaluate_detections
from edgecv_cli.media.dataset import Dataset, DatasetItem
from edgecv_cli.media.images import read_image, read_size


def predict_profiles(
    predictor: Predictor,
    paths: Sequence[Path],
    profiles: Sequence[Profile],
    context: Context,
    *,
    name: str,
) -> list[list[Detections]]:
    """Run each image once and read its outputs under several profiles.

    Returns:
        One list a profile, one entry an image, in source pixels.

    Raises:
        DataError: an image can't be decoded.
        InterruptedByUser: the run was cancelled.
    """
    found: list[list[Detections]] = [[] for _ in profiles]
    with context.progress.task(name, len(paths), "image") as task:
        for path in paths:
            context.cancel.check()
            fit = predictor.prepare(read_image(path))
            outputs = predictor.infer()
            for entries, profile in zip(found, profiles, strict=True):
                entries.append(predictor.read(outputs, fit, profile))
            task.advance()
    return found


class Found(NamedTuple):
    """What one artifact finds in a set of images, one entry an image, in source pixels.

    ``plain`` by its own threshold and best class, as detect does; ``scored`` as accuracy wants it.
    """

    plain: list[Detections]
    scored: list[Detections]


def look(
    artifact: Artifact,
    spec: DetectorSpec,
    paths: Sequence[Path],
    context: Context,
    *,
    engine: str,
    threads: int | None,
    name: str,
    exact: bool = False,
) -> Found:
    """Load an artifact, run it once over the images, and close it.

    ``exact`` runs quantize and dequantize as they are written, without integer kernels: what
    the file finds on the machine that it was made for, whatever this one has.

    Raises:
        EdgeCVError: as :func:`open_predictor` and :func:`predict_profiles`.
    """
    predictor = open_predictor(artifact, spec, engine=engine, threads=threads, exact=exact)
    profiles = (detection_profile(spec), EVALUATION)
    try:
        return Found(*predict_profiles(predictor, paths, profiles, context, name=name))
    finally:
        predictor.close()


def truth_of(
    paths: Sequence[Path], detections: Sequence[Detections], classes: Sequence[str]
) -> Dataset:
    """Return a dataset whose objects are what the original found.

    Raises:
        DataError: it found nothing in any image, so that there is nothing to compare.
    """
    if not any(len(found) for found in detections):
        raise DataError(
            f"the model finds nothing in {len(paths)} calibration images above its score "
            "threshold, so candidates can't be compared",
            remedy="calibrate on images of the kind it was trained for, or lower "
            "score_threshold in --spec",
        )
    items = []
    for index, (path, found) in enumerate(zip(paths, detections, strict=True)):
        width, height = read_size(path)
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        items.append(
            DatasetItem(
                image_id=index + 1,
                path=path,
                width=width,
                height=height,
                boxes=found.boxes,
                category_ids=found.class_ids + 1,
                iscrowd=np.zeros(len(found), np.bool_),
                areas=sides.prod(axis=1).astype(np.float64),
            )
        )
    categories = {index + 1: name for index, name in enumerate(classes)}
    return Dataset(paths[0].parent, tuple(items), categories, paths[0])


def self_map(truth: Dataset, candidate: Sequence[Detections]) -> float:
    """Return mAP50-95 (0..1) of a candidate's detections against :func:`truth_of`."""
    class_map = {identifier - 1: identifier for identifier in truth.categories}
    return evaluate_detections(truth, candidate, class_map, resamples=0).map
