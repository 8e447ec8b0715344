"""Labelled objects in the model's own class numbers, to be drawn beside its detections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgecv_cli.core.boxes import Detections
from edgecv_cli.media.class_map import map_classes
from edgecv_cli.media.dataset import Dataset, DatasetItem


def labels_of(
    items: Sequence[DatasetItem],
    dataset: Dataset,
    class_names: Sequence[str],
    *,
    background: int | None = None,
) -> tuple[list[Detections], tuple[str, ...]]:
    """Return the labels of images as detections of score 1, and the class names that fit both.

    A category that the model does not know gets a number after the model's last class; crowd
    boxes, which stand for no single object, are left out.

    Raises:
        DataError: the model's classes do not fit the categories.
    """
    mapped = map_classes(class_names, dataset, background=background)
    numbers = {category: index for index, category in mapped.items()}
    strangers = [category for category in dataset.categories if category not in numbers]
    numbers |= {category: len(class_names) + n for n, category in enumerate(strangers)}
    names = (*class_names, *(dataset.categories[category] for category in strangers))
    return [_labels(item, numbers) for item in items], names


def _labels(item: DatasetItem, numbers: dict[int, int]) -> Detections:
    single = ~item.iscrowd
    classes = [numbers[category] for category in item.category_ids[single].tolist()]
    boxes = item.boxes[single]
    return Detections(boxes, np.ones(len(boxes), np.float32), np.array(classes, np.int64))
