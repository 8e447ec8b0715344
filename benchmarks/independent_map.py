"""mAP of `edgecv evaluate` against pycocotools on detections that share no code with edgecv.

    python benchmarks/independent_map.py coco/ yolov8=A.onnx yolox=B.onnx ssd=C.onnx

The data is in COCO's layout (images/ and instances.json). Each model is run by ONNX Runtime here,
fed as its family's reference feeds it, and its outputs are read number by number in plain loops:
scores from 0.01, several classes a box, the best 3000, class-wise suppression at IoU 0.65, the
best 100. The detections go into a COCO json, pycocotools reads that and the original annotations,
and `edgecv evaluate --json` is asked for the same. Prints JSON: both figures, and by how much they
differ.

Families: yolov8 (RGB / 255, centred letterbox; [1, 84, n]: cx, cy, w, h, scores), yolox (BGR,
letterbox at the top left; [1, n, 85] raw), ssd (RGB from -1 to 1, stretched; boxes ymin, xmin,
ymax, xmax in 0..1 and 91 scores, whose index is the category id).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort

THRESHOLD, CANDIDATES, IOU, KEPT = 0.01, 3000, 0.65, 100
AGREED = 0.00005
FIGURES = ("map", "map50", "map75", "map_small", "map_medium", "map_large")

# One candidate: score, class, left, top, right, bottom, in pixels of the picture.
Candidate = tuple[float, int, float, float, float, float]


def read_yolov8(picture: Any, session: ort.InferenceSession) -> list[Candidate]:
    """Read [1, 4 + classes, n]; as in Ultralytics' LetterBox and non_max_suppression."""
    side = session.get_inputs()[0].shape[2]
    high, wide = picture.shape[:2]
    ratio = min(side / high, side / wide)
    new_wide, new_high = round(wide * ratio), round(high * ratio)
    left, top = round((side - new_wide) / 2 - 0.1), round((side - new_high) / 2 - 0.1)
    canvas = np.full((side, side, 3), 114, np.uint8)
    canvas[top : top + new_high, left : left + new_wide] = cv2.resize(picture, (new_wide, new_high))
    rows = run(session, canvas[:, :, ::-1] / np.float32(255))[0][0].T.tolist()
    x_scale, y_scale = wide / new_wide, high / new_high
    found: list[Candidate] = []
    for cx, cy, w, h, *scores in rows:
        for kind, score in enumerate(scores):
            if score >= THRESHOLD:
                x1, y1 = (cx - w / 2 - left) * x_scale, (cy - h / 2 - top) * y_scale
                x2, y2 = (cx + w / 2 - left) * x_scale, (cy + h / 2 - top) * y_scale
                found.append((score, kind, x1, y1, x2, y2))
    return found


def read_yolox(picture: Any, session: ort.InferenceSession) -> list[Candidate]:
    """Read [1, n, 5 + classes] raw; as in YOLOX's preproc and demo_postprocess."""
    side = session.get_inputs()[0].shape[2]
    high, wide = picture.shape[:2]
    ratio = min(side / high, side / wide)
    new_wide, new_high = int(wide * ratio), int(high * ratio)
    canvas = np.full((side, side, 3), 114, np.uint8)
    canvas[:new_high, :new_wide] = cv2.resize(picture, (new_wide, new_high))
    rows = run(session, canvas.astype(np.float32))[0][0].tolist()
    x_scale, y_scale = wide / new_wide, high / new_high
    found: list[Candidate] = []
    place = 0
    for stride in (8, 16, 32):
        for row in range(side // stride):
            for column in range(side // stride):
                x, y, w, h, objectness, *scores = rows[place]
                place += 1
                cx, cy = (x + column) * stride, (y + row) * stride
                for kind, score in enumerate(scores):
                    if objectness * score >= THRESHOLD:
                        half_w, half_h = math.exp(w) * stride / 2, math.exp(h) * stride / 2
                        box = (
                            (cx - half_w) * x_scale,
                            (cy - half_h) * y_scale,
                            (cx + half_w) * x_scale,
                            (cy + half_h) * y_scale,
                        )
                        found.append((objectness * score, kind, *box))
    return found


def read_ssd(picture: Any, session: ort.InferenceSession) -> list[Candidate]:
    """Read boxes [1, n, 4] and scores [1, n, 91]; fed as by TensorFlow models' preprocess()."""
    side = session.get_inputs()[0].shape[2]
    high, wide = picture.shape[:2]
    square = cv2.resize(picture, (side, side))[:, :, ::-1].astype(np.float32)
    outputs = {out.shape[2]: out[0].tolist() for out in run(session, square * (2 / 255) - 1)}
    found: list[Candidate] = []
    for (y1, x1, y2, x2), scores in zip(outputs[4], outputs[91], strict=True):
        for kind, score in enumerate(scores):
            if kind > 0 and score >= THRESHOLD:
                found.append((score, kind, x1 * wide, y1 * high, x2 * wide, y2 * high))
    return found


READERS = {"yolov8": read_yolov8, "yolox": read_yolox, "ssd": read_ssd}


def run(session: ort.InferenceSession, pixels: Any) -> list[Any]:
    tensor = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)
    return session.run(None, {session.get_inputs()[0].name: tensor})


def overlap(a: Candidate, b: Candidate) -> float:
    wide = min(a[4], b[4]) - max(a[2], b[2])
    high = min(a[5], b[5]) - max(a[3], b[3])
    if wide <= 0 or high <= 0:
        return 0.0
    areas = (a[4] - a[2]) * (a[5] - a[3]) + (b[4] - b[2]) * (b[5] - b[3])
    return wide * high / (areas - wide * high)


def suppressed(candidates: list[Candidate]) -> list[Candidate]:
    kept: list[Candidate] = []
    for one in sorted(candidates, key=lambda row: -row[0])[:CANDIDATES]:
        if len(kept) == KEPT:
            break
        if all(one[1] != other[1] or overlap(one, other) <= IOU for other in kept):
            kept.append(one)
    return kept


def detections(family: str, model: Path, data: Path) -> list[dict[str, Any]]:
    """Return what the model finds, as COCO's result format has it."""
    annotations = json.loads((data / "instances.json").read_text())
    by_order = sorted(entry["id"] for entry in annotations["categories"])
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    rows = []
    for image in annotations["images"]:
        picture = cv2.imread(str(data / "images" / image["file_name"]))
        high, wide = picture.shape[:2]
        for score, kind, x1, y1, x2, y2 in suppressed(READERS[family](picture, session)):
            left, right = max(0.0, x1), min(float(wide), x2)
            top, bottom = max(0.0, y1), min(float(high), y2)
            category = kind if family == "ssd" else by_order[kind]
            box = [left, top, right - left, bottom - top]
            row = {"image_id": image["id"], "category_id": category, "bbox": box, "score": score}
            rows.append(row)
    return rows


def by_pycocotools(rows: list[dict[str, Any]], annotations: Path) -> dict[str, float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        results = Path(folder) / "detections.json"
        results.write_text(json.dumps(rows))
        truth = COCO(str(annotations))
        found = COCOeval(truth, truth.loadRes(str(results)), "bbox")
        found.evaluate()
        found.accumulate()
        found.summarize()
    return dict(zip(FIGURES, map(float, found.stats[:6]), strict=True))


def by_edgecv(model: Path, data: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "edgecv_cli", "evaluate", model, "--data", data, "--json",
         "--quiet"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    said = json.loads(done.stdout)
    return {name: said[name] for name in FIGURES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("models", nargs="+", help=f"FAMILY=MODEL.onnx; {', '.join(READERS)}")
    options = parser.parse_args()
    said = []
    for named in options.models:
        family, _, path = named.partition("=")
        began = time.perf_counter()
        rows = detections(family, Path(path), options.data)
        independent = by_pycocotools(rows, options.data / "instances.json")
        read = time.perf_counter() - began
        ours = by_edgecv(Path(path), options.data)
        apart = {name: ours[name] - independent[name] for name in FIGURES}
        said.append(
            {
                "model": Path(path).name,
                "detections": len(rows),
                "independent": independent,
                "edgecv": ours,
                "difference": apart,
                "agrees": abs(apart["map"]) < AGREED,
                "seconds": {"independent": read, "edgecv": time.perf_counter() - began - read},
            }
        )
    print(json.dumps(said, indent=2))
    sys.exit(0 if all(one["agrees"] for one in said) else 1)


if __name__ == "__main__":
    main()
