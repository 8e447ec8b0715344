"""What a detector takes for what, at the score threshold that it detects with.

Objects and detections of one class are paired first, as COCO pairs them: by falling score, each
detection takes the free object that it overlaps best, at IoU 0.5 or above; what is left over and
lies on a crowd of its class counts nowhere. What then remains of both is paired in the same way
across classes: those are confusions. An object that was also found as what it is, is therefore
never one; the second detection on it is spurious. What still has no partner was missed, or is
spurious.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgecv_cli.core.boxes import Detections, FloatArray
from edgecv_cli.core.result import Part
from edgecv_cli.measure.coco import to_xywh

if TYPE_CHECKING:
    from edgecv_cli.media.dataset import Dataset, DatasetItem

IOU = 0.5
_NOBODY = -1
_CROWD = -2  # lies on a crowd of its class


class Confused(Part):
    """How often one thing was found as another; as itself where both names are equal."""

    truth: str | None = Field(default=None, description="As labelled; absent: nothing is there.")
    found: str | None = Field(default=None, description="As found; absent: it was missed.")
    count: int


@dataclass(frozen=True)
class ImagePairs:
    """One image's detections, best first, paired with its objects of the same class.

    Attributes:
        scores: float32 [n], as `detect` compares them with its threshold.
        categories: int64 [n].
        partner: int64 [n], place of the object that each takes; negative: none.
        overlaps: float64 [n, objects], IoU.
        truths: int64 [objects], their categories.
        crowd: bool [objects].
    """

    scores: FloatArray
    categories: NDArray[np.int64]
    partner: NDArray[np.int64]
    overlaps: NDArray[np.float64]
    truths: NDArray[np.int64]
    crowd: NDArray[np.bool_]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Detections that have a partner."""
        return np.asarray(self.partner >= 0, np.bool_)

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Detections that don't lie on a crowd."""
        return np.asarray(self.partner != _CROWD, np.bool_)


def pair_objects(
    dataset: Dataset, detections: Sequence[Detections], class_map: Mapping[int, int]
) -> list[ImagePairs]:
    """Pair detections with objects of their class, one entry an image.

    A higher score never gives way to a lower one, so that what is paired above a threshold is
    the same whatever lies below it.

    Args:
        dataset: the labelled images.
        detections: one entry an image, in source pixels.
        class_map: the model's class index to category id; other classes are left out.
    """
    return [
        _image_pairs(item, found, class_map)
        for item, found in zip(dataset.items, detections, strict=True)
    ]


def confusions(
    pairs: Iterable[ImagePairs], threshold: float, names: Mapping[int, str]
) -> tuple[Confused, ...]:
    """Count what is found as what, from a score on; the most frequent first.

    Args:
        pairs: of each image.
        threshold: lowest score that counts, 0..1.
        names: of the categories, by id.
    """
    counts: Counter[tuple[int | None, int | None]] = Counter()
    for image in pairs:
        counts.update(_of_image(image, threshold))
    told = [
        Confused(
            truth=None if truth is None else names[truth],
            found=None if found is None else names[found],
            count=count,
        )
        for (truth, found), count in counts.items()
    ]
    return tuple(sorted(told, key=lambda one: (-one.count, one.truth or "", one.found or "")))


def _image_pairs(item: DatasetItem, found: Detections, class_map: Mapping[int, int]) -> ImagePairs:
    known = found.take(np.isin(found.class_ids, list(class_map)))
    best_first = known.take(np.argsort(-known.scores, kind="stable"))
    categories = np.array([class_map[int(key)] for key in best_first.class_ids], np.int64)
    overlaps = _overlaps(best_first, item)
    return ImagePairs(
        scores=best_first.scores,
        categories=categories,
        partner=_partners(overlaps, categories, item),
        overlaps=overlaps,
        truths=item.category_ids,
        crowd=item.iscrowd,
    )


def _overlaps(found: Detections, item: DatasetItem) -> NDArray[np.float64]:
    """Return the IoU [n, objects]; of a crowd, the share of the detection that it covers."""
    from pycocotools import mask

    if not len(found) or not len(item.boxes):
        return np.zeros((len(found), len(item.boxes)))
    crowd = item.iscrowd.astype(np.uint8).tolist()
    ious = mask.iou(to_xywh(found.boxes), to_xywh(item.boxes), crowd)
    return np.asarray(ious, np.float64)


def _partners(
    overlaps: NDArray[np.float64], categories: NDArray[np.int64], item: DatasetItem
) -> NDArray[np.int64]:
    partner = np.full(len(categories), _NOBODY, np.int64)
    free = ~item.iscrowd
    for place, category in enumerate(categories):
        same = item.category_ids == category
        taken = _best(overlaps[place], free & same)
        if taken is not None:
            partner[place], free[taken] = taken, False
        elif _best(overlaps[place], item.iscrowd & same) is not None:
            partner[place] = _CROWD
    return partner


def _best(overlaps: NDArray[np.float64], open_: NDArray[np.bool_]) -> int | None:
    """Return the place of the largest overlap of at least 0.5 among those that are open."""
    allowed = np.where(open_ & (overlaps >= IOU), overlaps, 0)
    return int(allowed.argmax()) if allowed.any() else None


def _of_image(pairs: ImagePairs, threshold: float) -> Iterable[tuple[int | None, int | None]]:
    shown = pairs.scores >= threshold
    free = ~pairs.crowd
    free[pairs.partner[shown & pairs.right]] = False
    for place in np.flatnonzero(shown & pairs.counted):
        found, partner = int(pairs.categories[place]), int(pairs.partner[place])
        if partner < 0:
            other = _best(pairs.overlaps[place], free)
            if other is None:
                yield None, found
                continue
            partner, free[other] = other, False
        yield int(pairs.truths[partner]), found
    for missed in np.flatnonzero(free):
        yield int(pairs.truths[missed]), None
