"""Precision over recall, as pycocotools reads it at 101 recalls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgecv_cli.core.result import Part
from edgecv_cli.measure.accuracy import IOU50, IOU75
from edgecv_cli.measure.coco import CocoFigures

Curve = tuple[float, ...]

_CLASSES = 8  # as many lines as can be told apart
_DIGITS = 5


class PrCurves(Part):
    """Precision at the recalls 0.00, 0.01, ... 1.00; the mean of a curve is its AP."""

    iou50: Curve = Field(description="At IoU 0.50, mean over classes.")
    iou75: Curve = Field(description="At IoU 0.75, mean over classes.")
    mean: Curve = Field(description="Mean over classes and over IoU 0.50:0.05:0.95.")
    by_class: dict[str, Curve] = Field(
        description="At IoU 0.50, of the classes with the most objects."
    )


def pr_curves(
    figures: CocoFigures, names: Mapping[int, str], objects: Mapping[str, int]
) -> PrCurves:
    """Return the curves of a matching.

    Args:
        figures: with an object of at least one class.
        names: of the categories, by id.
        objects: how many there are to be found, by name.
    """
    there = [place for place, key in enumerate(figures.categories) if names[key] in objects]
    defined = figures.precision[:, :, there]
    most = sorted(there, key=lambda place: -objects[names[figures.categories[place]]])
    return PrCurves(
        iou50=_curve(defined[IOU50].mean(axis=1)),
        iou75=_curve(defined[IOU75].mean(axis=1)),
        mean=_curve(defined.mean(axis=(0, 2))),
        by_class={
            names[figures.categories[place]]: _curve(figures.precision[IOU50, :, place])
            for place in most[:_CLASSES]
        },
    )


def points(curve: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """Return a curve as (recall, precision), without what is never reached."""
    return tuple((place / 100, value) for place, value in enumerate(curve) if value > 0)


def _curve(values: NDArray[np.float64]) -> Curve:
    return tuple(round(float(value), _DIGITS) for value in values)
