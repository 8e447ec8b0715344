"""COCO accuracy of a detector, with its uncertainty, and the paired drop between two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.errors import DataError
from edgecv_cli.core.measurement import bootstrap_interval
from edgecv_cli.core.result import Drop, Interval, Part
from edgecv_cli.core.store import digest_key
from edgecv_cli.measure.coco import CocoFigures, coco_figures
from edgecv_cli.measure.resampling import mean_average_precision, multiplicities

if TYPE_CHECKING:
    from edgecv_cli.media.dataset import Dataset

_IOU50, _IOU75 = 0, 5  # places of 0.50 and 0.75 in 0.50:0.05:0.95


@dataclass(frozen=True)
class AccuracyResult:
    """COCO accuracy on one set of images; every figure 0..1.

    Attributes:
        map: mean over classes and over IoU 0.50:0.05:0.95, as pycocotools states it.
        map50, map75: at one IoU threshold.
        per_class: category name to AP; categories without an object in these images are absent.
        objects: labelled objects behind each of ``per_class``, crowds not counted.
        images: how many images were evaluated.
        interval: bootstrap over images of ``map``; None for one image or no resamples.
        unmapped: detections of classes that the data has no category for, which count nowhere.
        resampled: float64 [resamples], ``map`` of each resampled image set.
        pairing: digest of what two results must share to be compared image by image.
    """

    map: float
    map50: float
    map75: float
    per_class: dict[str, float]
    images: int
    interval: Interval | None
    unmapped: int
    resampled: NDArray[np.float64] = field(repr=False)
    pairing: str = field(repr=False)
    objects: dict[str, int] = field(default_factory=dict)


class PairedDrop(Part):
    """The drop between two artifacts on the same images, and its bootstrap intervals."""

    drop: Drop
    points: Interval | None = None
    relative: Interval | None = None


def evaluate_detections(
    dataset: Dataset,
    detections: Sequence[Detections],
    class_map: Mapping[int, int],
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> AccuracyResult:
    """Evaluate detections (source pixels, one entry for each of ``dataset.items``).

    Args:
        dataset: the labelled images.
        detections: what was found in each, in the dataset's order.
        class_map: the model's class index to category id.
        seed: of the bootstrap; two results are paired only under the same one.
        resamples: how many image sets the bootstrap draws; 0 leaves the interval out.

    Raises:
        DataError: no image holds an object, so that there is nothing to find.
        ValueError: detections are not one entry an image.
    """
    images = len(dataset.items)
    if len(detections) != images:
        raise ValueError(f"{len(detections)} detections for {images} images")
    figures = coco_figures(dataset, detections, class_map)
    if not (figures.precision > -1).any():
        raise DataError(
            f"none of the {images} images holds a labelled object",
            remedy="give more images, or annotations that belong to them",
        )
    point = _mean(figures.precision)
    weights = multiplicities(images, resamples=resamples, seed=seed)
    resampled = mean_average_precision(figures.matches, weights)
    several = images > 1 and resamples > 0
    return AccuracyResult(
        map=point,
        map50=_mean(figures.precision[_IOU50]),
        map75=_mean(figures.precision[_IOU75]),
        per_class=_per_class(figures, dataset.categories),
        images=images,
        interval=_within_unit(bootstrap_interval(resampled, point=point)) if several else None,
        unmapped=sum(_unmapped(found, class_map) for found in detections),
        resampled=resampled,
        pairing=digest_key(
            images=[item.image_id for item in dataset.items],
            truths=[item.boxes.tolist() for item in dataset.items],
            seed=seed,
            resamples=resamples,
        ),
        objects=_objects(figures, dataset.categories),
    )


def paired_drop(baseline: AccuracyResult, candidate: AccuracyResult) -> PairedDrop:
    """Return how much less the candidate finds, resampling the same images for both.

    Raises:
        DataError: the baseline finds nothing, so that nothing can be lost.
        ValueError: the two were not evaluated on the same images with the same seed.
    """
    if baseline.pairing != candidate.pairing:
        raise ValueError("accuracies of different images or seeds are not paired")
    if baseline.map <= 0:
        raise DataError(
            f"the baseline finds nothing in these {baseline.images} images (mAP 0)",
            remedy="check that the data shows what the model detects, and --spec",
        )
    lost = baseline.map - candidate.map
    drop = Drop(points=100 * lost, relative=lost / baseline.map)
    if baseline.interval is None:
        return PairedDrop(drop=drop)
    difference = baseline.resampled - candidate.resampled
    share = np.divide(
        difference,
        baseline.resampled,
        out=np.full_like(difference, np.nan),
        where=baseline.resampled > 0,
    )
    return PairedDrop(
        drop=drop,
        points=bootstrap_interval(100 * difference, point=drop.points),
        relative=bootstrap_interval(share, point=drop.relative),
    )


def _mean(precision: NDArray[np.float64]) -> float:
    return float(precision[precision > -1].mean())


def _within_unit(interval: Interval) -> Interval:
    return interval.model_copy(
        update={"low": max(0.0, interval.low), "high": min(1.0, interval.high)}
    )


def _per_class(figures: CocoFigures, categories: Mapping[int, str]) -> dict[str, float]:
    by_class = figures.precision.transpose(2, 0, 1)
    return {
        categories[key]: float(table.mean())
        for key, table in zip(figures.categories, by_class, strict=True)
        if (table > -1).all()
    }


def _objects(figures: CocoFigures, categories: Mapping[int, str]) -> dict[str, int]:
    counted = zip(figures.categories, figures.matches, strict=True)
    return {categories[key]: n for key, match in counted if (n := int(match.truths.sum()))}


def _unmapped(found: Detections, class_map: Mapping[int, int]) -> int:
    return int(np.isin(found.class_ids, list(class_map), invert=True).sum())
