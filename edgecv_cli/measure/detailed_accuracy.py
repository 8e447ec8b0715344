"""A detector's accuracy in detail: by size of object, by class, and with every interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.result import Interval
from edgecv_cli.measure.accuracy import (
    IOU50,
    IOU75,
    AccuracyResult,
    accuracy_of,
    bootstrap_of_unit,
    check_entries,
    defined_mean,
    per_class,
    unmapped_in,
)
from edgecv_cli.measure.coco import SIZES, AreaFigures, CocoFigures, coco_figures
from edgecv_cli.measure.pr_curves import PrCurves, pr_curves
from edgecv_cli.measure.resampling import mean_average_precision, multiplicities

if TYPE_CHECKING:
    from edgecv_cli.media.dataset import Dataset

_RESAMPLES = 1000


@dataclass(frozen=True)
class SizeAccuracy:
    """Accuracy on objects of one size.

    Attributes:
        map: over the classes that have an object of this size, 0..1.
        objects: how many there are, crowds not counted.
        interval: bootstrap over images of ``map``; None for one image.
    """

    map: float
    objects: int
    interval: Interval | None


@dataclass(frozen=True)
class DetailedAccuracy:
    """Everything that one matching says.

    Attributes:
        accuracy: the main figures.
        ar100: recall at up to 100 detections, mean over IoU 0.50:0.05:0.95 and classes, 0..1.
        per_class50, per_class75: AP at one IoU by class.
        sizes: by name of ``SIZES``; absent where no object has that size.
        curves: precision over recall.
        class_names: of the matching's classes, in their order.
        figures: the matching itself, for a paired test.
    """

    accuracy: AccuracyResult
    ar100: float
    per_class50: dict[str, float]
    per_class75: dict[str, float]
    sizes: dict[str, SizeAccuracy]
    curves: PrCurves
    class_names: tuple[str, ...]
    figures: CocoFigures

    def intervals(self) -> dict[str, Interval]:
        """Return the interval of each figure that has one, by the figure's name."""
        named = {
            "map": self.accuracy.interval,
            "map50": self.accuracy.interval50,
            "map75": self.accuracy.interval75,
            **{f"map_{name}": size.interval for name, size in self.sizes.items()},
        }
        return {name: interval for name, interval in named.items() if interval is not None}


def detailed_accuracy(
    dataset: Dataset,
    detections: Sequence[Detections],
    class_map: Mapping[int, int],
    *,
    seed: int = 0,
) -> DetailedAccuracy:
    """Evaluate detections as :func:`evaluate_detections`, and keep what else there is to say.

    Raises:
        DataError: no image holds an object, so that there is nothing to find.
        ValueError: detections are not one entry an image.
    """
    check_entries(dataset, detections)
    figures = coco_figures(dataset, detections, class_map, sizes=True)
    unmapped = unmapped_in(detections, class_map)
    accuracy = accuracy_of(figures, dataset, unmapped, seed=seed, resamples=_RESAMPLES)
    names, keys = dataset.categories, figures.categories
    sized = {name: _of_size(figures.sizes[name], accuracy.images, seed) for name in SIZES}
    return DetailedAccuracy(
        accuracy=accuracy,
        ar100=defined_mean(figures.every.recall),
        per_class50=per_class(figures.precision[IOU50], keys, names),
        per_class75=per_class(figures.precision[IOU75], keys, names),
        sizes={name: size for name, size in sized.items() if size is not None},
        curves=pr_curves(figures, names, accuracy.objects),
        class_names=tuple(names[key] for key in keys),
        figures=figures,
    )


def objects_by_size(dataset: Dataset) -> dict[str, int]:
    """Return how many objects of each of ``SIZES`` there are, crowds not counted.

    An object on a limit (32 x 32 or 96 x 96) counts on both sides of it, as in pycocotools.
    """
    counted = dict.fromkeys(SIZES, 0)
    for item in dataset.items:
        areas = item.areas[~item.iscrowd]
        counted["small"] += int((areas <= 32**2).sum())
        counted["medium"] += int(((areas >= 32**2) & (areas <= 96**2)).sum())
        counted["large"] += int((areas >= 96**2).sum())
    return counted


def _of_size(figures: AreaFigures, images: int, seed: int) -> SizeAccuracy | None:
    objects = sum(int(match.truths.sum()) for match in figures.matches)
    if not objects:
        return None
    point = defined_mean(figures.precision)
    weights = multiplicities(images, resamples=_RESAMPLES, seed=seed)
    resampled = mean_average_precision(figures.matches, weights)
    interval = bootstrap_of_unit(resampled, point) if images > 1 else None
    return SizeAccuracy(point, objects, interval)
