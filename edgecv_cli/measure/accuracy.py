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
from edgecv_cli.measure.resampling import multiplicities, precision_by_iou

if TYPE_CHECKING:
    from edgecv_cli.media.dataset import Dataset

IOU50, IOU75 = 0, 5  # places of 0.50 and 0.75 in 0.50:0.05:0.95


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
        resampled_by_iou: float64 [10 IoUs, resamples], of each resampled image set.
        pairing: digest of what two results must share to be compared image by image.
    """

    map: float
    map50: float
    map75: float
    per_class: dict[str, float]
    images: int
    interval: Interval | None
    unmapped: int
    resampled_by_iou: NDArray[np.float64] = field(repr=False)
    pairing: str = field(repr=False)
    objects: dict[str, int] = field(default_factory=dict)

    @property
    def resampled(self) -> NDArray[np.float64]:
        """``map`` of each resampled image set: float64 [resamples]."""
        means: NDArray[np.float64] = self.resampled_by_iou.mean(axis=0)
        return means

    @property
    def interval50(self) -> Interval | None:
        """Bootstrap over images of ``map50``."""
        return self._of(IOU50, self.map50)

    @property
    def interval75(self) -> Interval | None:
        """Bootstrap over images of ``map75``."""
        return self._of(IOU75, self.map75)

    def _of(self, place: int, point: float) -> Interval | None:
        known = self.interval is not None
        return bootstrap_of_unit(self.resampled_by_iou[place], point) if known else None


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
    check_entries(dataset, detections)
    figures = coco_figures(dataset, detections, class_map)
    unmapped = unmapped_in(detections, class_map)
    return accuracy_of(figures, dataset, unmapped, seed=seed, resamples=resamples)


def check_entries(dataset: Dataset, detections: Sequence[Detections]) -> None:
    """Refuse detections that are not one entry an image.

    Raises:
        ValueError: they are not.
    """
    if len(detections) != len(dataset.items):
        raise ValueError(f"{len(detections)} detections for {len(dataset.items)} images")


def accuracy_of(
    figures: CocoFigures, dataset: Dataset, unmapped: int, *, seed: int, resamples: int = 1000
) -> AccuracyResult:
    """Return the accuracy that a matching says; as :func:`evaluate_detections`."""
    images = len(dataset.items)
    if not (figures.precision > -1).any():
        raise DataError(
            f"none of the {images} images holds a labelled object",
            remedy="give more images, or annotations that belong to them",
        )
    point = defined_mean(figures.precision)
    weights = multiplicities(images, resamples=resamples, seed=seed)
    resampled = precision_by_iou(figures.matches, weights)
    several = images > 1 and resamples > 0
    return AccuracyResult(
        map=point,
        map50=defined_mean(figures.precision[IOU50]),
        map75=defined_mean(figures.precision[IOU75]),
        per_class=per_class(figures.precision, figures.categories, dataset.categories),
        images=images,
        interval=bootstrap_of_unit(resampled.mean(axis=0), point) if several else None,
        unmapped=unmapped,
        resampled_by_iou=resampled,
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
    before = baseline.resampled
    difference = before - candidate.resampled
    share = np.divide(
        difference,
        before,
        out=np.full_like(difference, np.nan),
        where=before > 0,
    )
    return PairedDrop(
        drop=drop,
        points=bootstrap_interval(100 * difference, point=drop.points),
        relative=bootstrap_interval(share, point=drop.relative),
    )


def defined_mean(precision: NDArray[np.float64]) -> float:
    """Return the mean of what is defined; pycocotools marks with -1 what is not."""
    return float(precision[precision > -1].mean())


def bootstrap_of_unit(resampled: NDArray[np.float64], point: float) -> Interval:
    """Return the bootstrap interval of a figure that lies within 0..1."""
    interval = bootstrap_interval(resampled, point=point)
    return interval.model_copy(
        update={"low": max(0.0, interval.low), "high": min(1.0, interval.high)}
    )


def per_class(
    precision: NDArray[np.float64], categories: Sequence[int], names: Mapping[int, str]
) -> dict[str, float]:
    """Return the mean precision of each class that has an object.

    Args:
        precision: float64 [..., classes], -1 where a class has no object.
        categories: the category id of each class.
        names: by category id.
    """
    by_class = np.moveaxis(precision, -1, 0)
    return {
        names[key]: float(table.mean())
        for key, table in zip(categories, by_class, strict=True)
        if (table > -1).all()
    }


def _objects(figures: CocoFigures, categories: Mapping[int, str]) -> dict[str, int]:
    counted = zip(figures.categories, figures.matches, strict=True)
    return {categories[key]: n for key, match in counted if (n := int(match.truths.sum()))}


def unmapped_in(detections: Sequence[Detections], class_map: Mapping[int, int]) -> int:
    """Return how many detections are of classes that the data has no category for."""
    known = list(class_map)
    return sum(int(np.isin(one.class_ids, known, invert=True).sum()) for one in detections)
