"""One box for a thing that was found in several parts of a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections, FloatArray, IntArray

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Parted:
    """What was found in parts of one picture.

    Attributes:
        detections: in the picture's pixels, in any order.
        parts: int64 [n], which part each was found in.
        cut: bool [n], whether it ends where its part does, inside the picture: it may go on.
    """

    detections: Detections
    parts: IntArray
    cut: BoolArray


def merge(found: Parted, *, iou: float, share: float) -> Detections:
    """Join boxes of one class that are one thing, seen from different parts.

    Two boxes that are seen whole are one thing if they overlap as far as suppression asks. A box
    that was cut lies in the whole one, or overlaps with what the next part saw of it: there the
    share of the smaller box decides, as in SAHI (Akyon et al., ICIP 2022), because its union with
    a whole box says little. Boxes of one part are never joined: suppression has told them apart
    already, and so a child in front of a parent stays.

    Whole boxes take what matches them first, best first, and stay as they are; of cut boxes that
    are left over, the best grows by what it takes. Each gets the best score of those that it took.

    Args:
        found: boxes, and where they come from.
        iou: two whole boxes are one above this intersection over union.
        share: a cut box joins another above this intersection over the smaller area.

    Returns:
        Merged boxes, by falling score; equal scores stay in the order they came in.
    """
    classes = found.detections.class_ids
    merged = [
        _merge_class(found, np.flatnonzero(classes == one), iou, share)
        for one in np.unique(classes)
    ]
    if not merged:
        return found.detections
    boxes, scores, places = (np.concatenate(columns) for columns in zip(*merged, strict=True))
    order = np.lexsort((places, -scores))
    return Detections(boxes[order], scores[order], classes[places[order]])


def _merge_class(
    found: Parted, places: NDArray[np.intp], iou: float, share: float
) -> tuple[FloatArray, FloatArray, NDArray[np.intp]]:
    """Return boxes, scores and places of what is left of the boxes at these places."""
    boxes = found.detections.boxes[places].astype(np.float64)
    scores = found.detections.scores[places]
    parts, cut = found.parts[places], found.cut[places]
    left = np.ones(len(places), np.bool_)
    kept = []
    for index in np.lexsort((-scores, cut)):
        if not left[index]:
            continue
        taken = left & (parts != parts[index])
        taken &= _match(boxes, cut, index, iou, share)
        taken[index] = True
        left &= ~taken
        scores[index] = scores[taken].max()
        if cut[index]:
            corners = boxes[taken]
            boxes[index] = [*corners[:, :2].min(axis=0), *corners[:, 2:].max(axis=0)]
        kept.append(index)
    return boxes[kept].astype(np.float32), scores[kept], places[kept]


def _match(
    boxes: NDArray[np.float64], cut: BoolArray, index: int, iou: float, share: float
) -> BoolArray:
    """Return which boxes could be the same thing as that of an index."""
    box = boxes[index]
    wide = np.minimum(boxes[:, 2], box[2]) - np.maximum(boxes[:, 0], box[0])
    tall = np.minimum(boxes[:, 3], box[3]) - np.maximum(boxes[:, 1], box[1])
    inter = np.clip(wide, 0, None) * np.clip(tall, 0, None)
    areas = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
    smaller, union = np.minimum(areas, areas[index]), areas + areas[index] - inter
    same: BoolArray = np.where(cut | cut[index], inter > share * smaller, inter > iou * union)
    return same
