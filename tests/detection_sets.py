"""Seeded sets of labelled images and of detections, as arrays: no files, no network."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgecv_cli.core.boxes import Detections
from edgecv_cli.media.dataset import Dataset, DatasetItem


def dataset(
    boxes: list[list[tuple[float, float, float, float]]],
    categories: list[list[int]],
    crowd: list[list[int]] | None = None,
    names: dict[int, str] | None = None,
) -> Dataset:
    """Return a dataset from xyxy boxes, category ids and crowd flags, one list an image."""
    crowd = crowd or [[0] * len(row) for row in boxes]
    ids = sorted({key for row in categories for key in row})
    items = tuple(
        _item(index, *parts)
        for index, parts in enumerate(zip(boxes, categories, crowd, strict=True))
    )
    return Dataset(
        Path("nowhere"),
        items,
        names or {key: f"class-{key}" for key in ids},
        Path("nowhere/instances.json"),
    )


def _item(index: int, boxes: list, categories: list[int], crowd: list[int]) -> DatasetItem:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return DatasetItem(
        image_id=100 + index,
        path=Path(f"nowhere/{index}.jpg"),
        width=640,
        height=480,
        boxes=array,
        category_ids=np.array(categories, np.int64),
        iscrowd=np.array(crowd, np.bool_),
        areas=(array[:, 2:] - array[:, :2]).prod(axis=1),
    )


def detections(rows: list[tuple[float, float, float, float, float, int]]) -> Detections:
    """Return detections from (x1, y1, x2, y2, score, class)."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(
        table[:, :4].astype(np.float32),
        table[:, 4].astype(np.float32),
        table[:, 5].astype(np.int64),
    )


def random_set(
    seed: int, *, images: int = 12, classes: int = 3, crowds: bool = True
) -> tuple[Dataset, list[Detections]]:
    """Return labelled images and imperfect detections of them: jitter, misses, doubles, ghosts."""
    rng = np.random.default_rng(seed)
    truths, categories, crowd, found = [], [], [], []
    for _ in range(images):
        boxes = _boxes(rng, int(rng.integers(0, 7)))
        kinds = rng.integers(1, classes + 1, len(boxes))
        truths.append([tuple(box) for box in boxes])
        categories.append([int(kind) for kind in kinds])
        crowd.append([int(crowds and rng.random() < 0.15) for _ in boxes])
        found.append(_imperfect(rng, boxes, kinds, classes))
    names = {key: f"class-{key}" for key in range(1, classes + 1)}
    return dataset(truths, categories, crowd, names), found


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, 300, (count, 2))
    return np.hstack([corner, corner + rng.uniform(10, 150, (count, 2))])


def _imperfect(
    rng: np.random.Generator, boxes: np.ndarray, kinds: np.ndarray, classes: int
) -> Detections:
    rows = []
    for box, kind in zip(boxes, kinds, strict=True):
        for _ in range(int(rng.integers(0, 3))):
            shown = kind if rng.random() < 0.85 else rng.integers(1, classes + 1)
            moved = box + rng.normal(0, 6, 4)
            rows.append((*moved[:2], *np.maximum(moved[2:], moved[:2] + 1), _score(rng), shown - 1))
    ghosts = _boxes(rng, int(rng.integers(0, 4)))
    rows += [(*box, _score(rng), rng.integers(0, classes)) for box in ghosts]
    return detections(rows)


def _score(rng: np.random.Generator) -> float:
    return float(rng.integers(1, 40)) / 40  # coarse, so that ties are common
