"""What tiles bring on 4K pictures with small objects.

    python benchmarks/tiles_4k.py coco/ MODEL.onnx [MODEL.onnx ...] [--tile 640] [--overlap 0.2]

Pictures of 3840 x 2160 are put together from labelled ones (COCO's layout), 24 to a picture, none
enlarged. Each model looks at them as they are, and in tiles; pycocotools judges both, with up to
1000 detections a picture (a picture has more than COCO's 100 objects). Prints JSON: mAP50-95 of
both over all objects and over small ones (below 32 x 32 pixels), tiles a picture, and how many
times longer a picture took, by the median.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.detector.profiles import Profile
from edgecv_cli.inference.predictor import Predictor, open_predictor
from edgecv_cli.inference.tiles import TiledPredictor, tiles_of
from edgecv_cli.measure.hardware import machine
from edgecv_cli.media.class_map import map_classes
from edgecv_cli.media.dataset import Dataset, DatasetItem, open_dataset
from edgecv_cli.media.images import read_image

_WIDE, _TALL, _COLUMNS, _ROWS = 3840, 2160, 6, 4
_MOST = 1000
_PROFILE = Profile(threshold=0.01, iou=0.65, candidates=3000, detections=_MOST, multi_label=True)


def composed(dataset: Dataset) -> tuple[list[Any], dict[str, Any]]:
    """Return pictures (uint8 BGR [2160, 3840, 3]) and their labels as COCO json."""
    each = _COLUMNS * _ROWS
    groups = [dataset.items[at : at + each] for at in range(0, len(dataset.items), each)]
    pictures, labels = [], []
    for number, group in enumerate((one for one in groups if len(one) == each), 1):
        canvas = np.full((_TALL, _WIDE, 3), 114, np.uint8)
        for place, item in enumerate(group):
            labels += [{"image_id": number, **one} for one in pasted(canvas, item, place)]
        pictures.append(canvas)
    truth = {
        "images": [
            {"id": number, "width": _WIDE, "height": _TALL}
            for number in range(1, len(pictures) + 1)
        ],
        "annotations": [{"id": number, **one} for number, one in enumerate(labels, 1)],
        "categories": [{"id": key, "name": name} for key, name in dataset.categories.items()],
    }
    return pictures, truth


def pasted(canvas: Any, item: DatasetItem, place: int) -> list[dict[str, Any]]:
    """Put one picture into its field; returns its labels there."""
    wide, tall = _WIDE // _COLUMNS, _TALL // _ROWS
    left, top = place % _COLUMNS * wide, place // _COLUMNS * tall
    picture = read_image(item.path)
    scale = min(1, wide / picture.shape[1], tall / picture.shape[0])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    labels = []
    for box, kind, crowd, area in zip(
        item.boxes, item.category_ids, item.iscrowd, item.areas, strict=True
    ):
        x1, y1, x2, y2 = (box * scale + [left, top, left, top]).tolist()
        labels.append(
            {
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "category_id": int(kind),
                "iscrowd": int(crowd),
                "area": float(area * scale**2),
            }
        )
    return labels


def judged(truth: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return mAP50-95 over all objects and over small ones."""
    with contextlib.redirect_stdout(io.StringIO()):
        labels = COCO()
        labels.dataset = truth
        labels.createIndex()
        judge = COCOeval(labels, labels.loadRes(rows), "bbox")
        judge.params.maxDets = [1, 10, _MOST]
        judge.evaluate()
        judge.accumulate()
    found = judge.eval["precision"][..., -1]  # IoU, recall, class, area
    return {
        name: float(found[..., area][found[..., area] > -1].mean())
        for name, area in (("map", 0), ("map_small", 1))
    }


def looked(predictor: Predictor | TiledPredictor, pictures: list[Any], ids: dict[int, int]) -> Any:
    """Return detections as rows of COCO json, and the seconds that each picture took."""
    rows, seconds = [], []
    for number, picture in enumerate(pictures, 1):
        began = time.perf_counter()
        found, _ = predictor.predict_timed(picture)
        seconds.append(time.perf_counter() - began)
        rows += [
            {
                "image_id": number,
                "category_id": ids[kind],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": score,
            }
            for x1, y1, x2, y2, score, kind in found
            if kind in ids
        ]
    return rows, seconds


def study(model: Path, dataset: Dataset, options: argparse.Namespace) -> dict[str, Any]:
    artifact = Artifact.open(model)
    spec = artifact.detector().spec
    ids = map_classes(spec.classes, dataset, background=spec.background)
    pictures, truth = composed(dataset)
    plain = open_predictor(artifact, spec, threads=options.threads, profile=_PROFILE)
    tile = (options.tile, options.tile)
    tiled = TiledPredictor(plain, tile, options.overlap, iou=_PROFILE.iou)
    before, whole = looked(plain, pictures, ids)
    after, parts = looked(tiled, pictures, ids)
    plain.close()
    return {
        "model": model.name,
        "pictures": len(pictures),
        "tiles": len(tiles_of((_TALL, _WIDE), tile, options.overlap)),
        "whole": judged(truth, before),
        "tiled": judged(truth, after),
        "times_longer": median(b / a for a, b in zip(whole, parts, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--tile", type=int, default=640)
    parser.add_argument("--overlap", type=float, default=0.2)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    dataset = open_dataset(options.data)
    rows = [study(model, dataset, options) for model in options.models]
    about = machine(options.threads).model_dump(mode="json", exclude_none=True)
    print(json.dumps({"rows": rows, "tile": options.tile, "machine": about}, indent=2))


if __name__ == "__main__":
    main()
