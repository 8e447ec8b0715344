"""Labelled images in two halves: forms are chosen on one, and judged on the other."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from edgecv_cli.media.dataset import Dataset, DatasetItem, open_dataset

RULE = (
    "images sorted by sha256 of `SEED/file name`: the first half is for choosing, the rest judges"
)


@dataclass(frozen=True)
class Halves:
    """The data, the folder of the half that choices may see, and the half that judges.

    Attributes:
        everything: all labelled images.
        choice: a COCO folder with copies of the first half.
        judged: places in ``everything.items`` of the other half.
    """

    everything: Dataset
    choice: Path
    judged: tuple[int, ...]

    @property
    def judge(self) -> Dataset:
        """The half that was not seen."""
        return _part(self.everything, self.judged)


def split(data: Path, folder: Path, seed: int) -> Halves:
    """Divide a dataset and write the half to choose on as a folder of its own."""
    everything = open_dataset(data)
    order = sorted(
        range(len(everything.items)),
        key=lambda place: _rank(everything.items[place].path.name, seed),
    )
    middle = len(order) // 2
    chosen = _part(everything, tuple(sorted(order[:middle])))
    target = folder / f"choice-{everything.digest[:12]}-{seed}"
    if not (target / "instances.json").is_file():
        _write(chosen, target)
    return Halves(everything, target, tuple(sorted(order[middle:])))


def _rank(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()


def _part(data: Dataset, places: tuple[int, ...]) -> Dataset:
    return replace(data, items=tuple(data.items[place] for place in places))


def _write(data: Dataset, target: Path) -> None:
    images = target / "images"
    images.mkdir(parents=True, exist_ok=True)
    for item in data.items:
        shutil.copyfile(item.path, images / item.path.name)
    annotations = [entry for item in data.items for entry in _annotations(item)]
    content = {
        "images": [
            {
                "id": item.image_id,
                "file_name": item.path.name,
                "width": item.width,
                "height": item.height,
            }
            for item in data.items
        ],
        "annotations": [{"id": place + 1, **entry} for place, entry in enumerate(annotations)],
        "categories": [{"id": key, "name": name} for key, name in data.categories.items()],
    }
    (target / "instances.json").write_text(json.dumps(content), encoding="utf-8")


def _annotations(item: DatasetItem) -> list[dict[str, object]]:
    return [
        {
            "image_id": item.image_id,
            "category_id": int(category),
            "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
            "area": float(area),
            "iscrowd": int(crowd),
        }
        for (x1, y1, x2, y2), category, area, crowd in zip(
            item.boxes, item.category_ids, item.areas, item.iscrowd, strict=True
        )
    ]
