"""Write the calibration and validation images of the built-in detector, in COCO format."""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
from dataset import CALIBRATION_SEED, VALIDATION_SEED, encode
from parts import CLASSES
from scenes import SIZE, Scene, draw_scene

SPLITS = {"calibration": (CALIBRATION_SEED, 120), "validation": (VALIDATION_SEED, 440)}
"""Folder name to (seed of the series, number of images)."""
UNLABELLED_SEED = 45
"""Series to learn from without labels; nothing else uses it."""
LIMIT = 6_000_000
"""Most bytes that all images together may take in the repository."""


def annotate(scene: Scene, image_id: int, first_id: int) -> list[dict[str, Any]]:
    """Return the COCO annotations of one scene, numbered from `first_id`; lengths in pixels."""
    rows = zip(scene.boxes.tolist(), scene.labels.tolist(), scene.areas.tolist(), strict=True)
    return [
        {
            "id": first_id + number,
            "image_id": image_id,
            "category_id": label + 1,
            "bbox": [left, top, right - left, bottom - top],
            "area": area,
            "iscrowd": 0,
        }
        for number, ((left, top, right, bottom), label, area) in enumerate(rows)
    ]


def write_split(folder: Path, seed: int, count: int) -> int:
    """Replace `folder` by freshly drawn images and annotations; return the images' bytes."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    total = 0
    for index in range(count):
        scene, name = draw_scene(seed, index), f"{index:04d}.jpg"
        data = encode(scene)
        (folder / "images" / name).write_bytes(data)
        total += len(data)
        images.append({"id": index + 1, "file_name": name, "width": SIZE, "height": SIZE})
        boxes += annotate(scene, index + 1, len(boxes) + 1)
    document = {
        "info": {"description": f"edgecv drawn industrial parts, {folder.name}, seed {seed}"},
        "licenses": [{"id": 1, "name": "Apache-2.0"}],
        "images": images,
        "annotations": boxes,
        "categories": [
            {"id": number, "name": name, "supercategory": "part"}
            for number, name in enumerate(CLASSES, 1)
        ],
    }
    # one annotation a line: small, and a change of one box is a change of one line
    text = json.dumps(document, separators=(",", ":")).replace("},{", "},\n{")
    (folder / "instances.json").write_text(text + "\n", encoding="utf-8")
    return total


def main() -> None:
    """Write every split below the chosen folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    parser.add_argument(
        "--training", type=int, metavar="N", help="draw N further scenes to learn from, no split"
    )
    options = parser.parse_args()
    output: Path = options.output
    cv2.setNumThreads(1)
    if options.training:
        write_split(output / "training", UNLABELLED_SEED, options.training)
        return
    total = 0
    for name, (seed, count) in SPLITS.items():
        total += write_split(output / name, seed, count)
        print(f"{name}: {count} images, seed {seed}")
    print(f"{total} bytes of images")
    if total > LIMIT:
        raise SystemExit(f"the images take {total} bytes, more than {LIMIT}")


if __name__ == "__main__":
    main()
