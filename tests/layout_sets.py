"""The same labelled pictures written as COCO, YOLO txt and Pascal VOC."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any


def read_instances(coco: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((coco / "instances.json").read_text())
    return content


def _boxes_by_image(content: dict[str, Any]) -> dict[int, list[dict[str, Any]]]:
    boxes: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
    for entry in content["annotations"]:
        boxes[entry["image_id"]].append(entry)
    return boxes


def as_yolo(coco: Path, folder: Path, *, names: bool = True) -> Path:
    """Write images/val, labels/val and data.yaml."""
    content = read_instances(coco)
    index = {entry["id"]: at for at, entry in enumerate(content["categories"])}
    for part in ("images", "labels"):
        (folder / part / "val").mkdir(parents=True)
    listed = [entry["name"] for entry in content["categories"]] if names else None
    lines = ["path: .", "val: images/val", f"nc: {len(index)}"]
    lines += [f"names: {json.dumps(listed)}"] if listed else []
    (folder / "data.yaml").write_text("\n".join(lines))
    boxes = _boxes_by_image(content)
    for image in content["images"]:
        shutil.copy(coco / "images" / image["file_name"], folder / "images" / "val")
        rows = []
        for entry in boxes[image["id"]]:
            x, y, w, h = entry["bbox"]
            wide, high = image["width"], image["height"]
            row = ((x + w / 2) / wide, (y + h / 2) / high, w / wide, h / high)
            rows.append(f"{index[entry['category_id']]} " + " ".join(f"{v:.6f}" for v in row))
        stem = Path(image["file_name"]).stem
        (folder / "labels" / "val" / f"{stem}.txt").write_text("\n".join(rows))
    return folder


def voc_xml(
    objects: list[tuple[str, tuple[float, float, float, float]]],
    size: tuple[int, int] | None = (40, 30),
    difficult: int = 0,
    filename: str = "",
) -> str:
    """One annotation; boxes are xmin, ymin, xmax, ymax as they are to be written."""
    parts = [f"<filename>{filename}</filename>"] if filename else []
    if size:
        parts.append(f"<size><width>{size[0]}</width><height>{size[1]}</height></size>")
    for name, box in objects:
        corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        inner = "".join(f"<{key}>{value:g}</{key}>" for key, value in corners)
        parts.append(
            f"<object><name>{name}</name><difficult>{difficult}</difficult>"
            f"<bndbox>{inner}</bndbox></object>"
        )
    return f"<annotation>\n{''.join(parts)}\n</annotation>"


def as_voc(coco: Path, folder: Path, *, first_pixel: int = 1) -> Path:
    """Write JPEGImages and Annotations; pixels are counted from `first_pixel`."""
    content = read_instances(coco)
    names = {entry["id"]: entry["name"] for entry in content["categories"]}
    for part in ("JPEGImages", "Annotations"):
        (folder / part).mkdir(parents=True)
    boxes = _boxes_by_image(content)
    for image in content["images"]:
        shutil.copy(coco / "images" / image["file_name"], folder / "JPEGImages")
        objects = []
        for entry in boxes[image["id"]]:
            x, y, w, h = entry["bbox"]
            box = (x + first_pixel, y + first_pixel, x + w, y + h)
            objects.append((names[entry["category_id"]], box))
        text = voc_xml(objects, (image["width"], image["height"]), filename=image["file_name"])
        stem = Path(image["file_name"]).stem
        (folder / "Annotations" / f"{stem}.xml").write_text(text)
    return folder
