"""Pictures with pure red, green and blue rectangles, which planted test detectors find."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLASS_NAMES = ("red", "green", "blue")
MARGIN = 32  # a planted box branch looks 3 cells of 8 pixels to each side


def scene(
    size: tuple[int, int] = (64, 64), seed: int = 0, nc: int = 3, objects: int = 2
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]:
    """A noisy grey BGR picture [H, W, 3], boxes xyxy [n, 4] and class ids [n].

    At least one object; fewer than `objects` where no more fit.
    """
    rng = np.random.default_rng(seed)
    grey = rng.integers(60, 160)
    image = np.clip(rng.normal(grey, 2.0, (*size, 1)), 0, 255).astype(np.uint8)
    image = np.repeat(image, 3, axis=2)
    boxes: list[tuple[int, int, int, int]] = []
    ids: list[int] = []
    for _ in range(20 * objects):
        if len(boxes) == objects:
            break
        h, w = rng.integers(16, 33, 2)
        y = int(rng.integers(0, size[0] - h + 1))
        x = int(rng.integers(0, size[1] - w + 1))
        box = (x, y, x + int(w), y + int(h))
        if any(_near(box, other) for other in boxes):
            continue
        index = int(rng.integers(min(nc, 3)))
        image[box[1] : box[3], box[0] : box[2]] = 0
        image[box[1] : box[3], box[0] : box[2], 2 - index] = 255
        boxes.append(box)
        ids.append(index)
    return image, np.asarray(boxes, np.float32), np.asarray(ids, np.int64)


def _near(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    wide = a[0] < b[2] + MARGIN and b[0] < a[2] + MARGIN
    tall = a[1] < b[3] + MARGIN and b[1] < a[3] + MARGIN
    return wide and tall


def write_dataset(
    folder: Path, images: int = 8, size: tuple[int, int] = (64, 64), nc: int = 3, seed: int = 0
) -> Path:
    """Write `folder`/images/*.png and `folder`/instances.json (COCO, category ids from 1)."""
    import cv2

    (folder / "images").mkdir(parents=True)
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(images):
        image, boxes, ids = scene(size, seed + number, nc)
        name = f"{number:06d}.png"
        assert cv2.imwrite(str(folder / "images" / name), image)
        entries.append({"id": number + 1, "file_name": name, "height": size[0], "width": size[1]})
        for (x1, y1, x2, y2), index in zip(boxes.tolist(), ids.tolist(), strict=True):
            annotations.append({
                "id": len(annotations) + 1, "image_id": number + 1, "category_id": index + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0,
            })  # fmt: skip
    names = (CLASS_NAMES + tuple(f"class_{index}" for index in range(3, nc)))[:nc]
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(names)]
    instances = {"images": entries, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(instances))
    return folder
