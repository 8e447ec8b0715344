"""mAP: `edgecv evaluate` against pycocotools on detections of a decoder that shares no code with it.

    python benchmarks/independent_map.py --data DIR [--yolov8 M.onnx] [--yolox M.onnx] [--ssd M.onnx]

Everything between the picture and the detections is done again here, in plain loops over one
number at a time: resizing and padding, decoding, suppression, and the way back to the picture.
The detections are written as COCO's results.json, and pycocotools' own summary is taken of them
and DIR/instances.json as it stands. Layouts that are read: YOLOv8 [1,84,8400] of boxes in input
pixels and scores (640, RGB / 255, padded on both sides); YOLOX [1,3549,85] raw (416, BGR, padded
at the right and below); SSD of decoded boxes [1,1917,4] and scores [1,1917,91] (300, RGB around 0,
stretched). Prints JSON: both figures and their difference. Fails where they part in four digits.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import onnxruntime as ort
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

_SCORE, _IOU, _ENTER, _LEAVE = 0.01, 0.65, 3000, 100  # what `edgecv evaluate` says it uses
_AGREES = 0.00005
_FIGURES = {"map": 0, "map50": 1, "map75": 2}  # places in pycocotools' summary
_SIZES = {"small": 3, "medium": 4, "large": 5}


class Candidate(NamedTuple):
    score: float
    kind: int
    box: tuple[float, float, float, float]  # x1, y1, x2, y2 in input pixels


class Fitted(NamedTuple):
    feed: np.ndarray
    scale: tuple[float, float]  # source pixels of one input pixel, across and down
    left: int
    top: int


def centred(image: np.ndarray) -> Fitted:
    """640 x 640, RGB / 255."""
    fitted = padded(image, 640, math.ceil, middle=True)
    return fitted._replace(feed=planes(fitted.feed[:, :, ::-1] / 255))


def top_left(image: np.ndarray) -> Fitted:
    """416 x 416, BGR as it is."""
    fitted = padded(image, 416, math.floor, middle=False)
    return fitted._replace(feed=planes(fitted.feed))


def stretched(image: np.ndarray) -> Fitted:
    """300 x 300 whatever the proportions, RGB from -1 to 1."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (300, 300), interpolation=cv2.INTER_LINEAR)
    feed = planes((small[:, :, ::-1].astype(np.float64) - 128) / 128)
    return Fitted(feed, (width / 300, height / 300), 0, 0)


def padded(image: np.ndarray, side: int, whole: Callable[[float], int], *, middle: bool) -> Fitted:
    """Resize into a grey square; ``whole`` says what a half or less of a pixel becomes."""
    height, width = image.shape[:2]
    ratio = min(side / height, side / width)
    if middle:
        across, down = int(width * ratio + 0.5), int(height * ratio + 0.5)
        left, top = (side - across) // 2, (side - down) // 2
    else:
        across, down = whole(width * ratio), whole(height * ratio)
        left = top = 0
    canvas = np.full((side, side, 3), 114, np.uint8)
    canvas[top : top + down, left : left + across] = cv2.resize(
        image, (across, down), interpolation=cv2.INTER_LINEAR
    )
    return Fitted(canvas, (width / across, height / down), left, top)


def planes(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels.astype(np.float32).transpose(2, 0, 1)[None])


def yolov8(outputs: dict[str, np.ndarray]) -> Iterator[Candidate]:
    for cx, cy, wide, tall, *scores in outputs["output0"][0].T.tolist():
        box = (cx - wide / 2, cy - tall / 2, cx + wide / 2, cy + tall / 2)
        for kind, score in enumerate(scores):
            if score >= _SCORE:
                yield Candidate(score, kind, box)


def yolox(outputs: dict[str, np.ndarray]) -> Iterator[Candidate]:
    rows = iter(outputs["output"][0].tolist())
    for stride in (8, 16, 32):
        for y in range(416 // stride):
            for x in range(416 // stride):
                right, down, wide, tall, certain, *scores = next(rows)
                if certain < _SCORE:
                    continue
                cx, cy = (right + x) * stride, (down + y) * stride
                w, h = math.exp(wide) * stride, math.exp(tall) * stride
                box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
                for kind, score in enumerate(scores):
                    if certain * score >= _SCORE:
                        yield Candidate(certain * score, kind, box)


def ssd(outputs: dict[str, np.ndarray]) -> Iterator[Candidate]:
    boxes, scores = outputs["boxes"][0].tolist(), outputs["scores"][0].tolist()
    for (top, left, bottom, right), row in zip(boxes, scores, strict=True):
        box = (300 * left, 300 * top, 300 * right, 300 * bottom)
        for kind, score in enumerate(row):
            if kind > 0 and score >= _SCORE:  # 0 is the background
                yield Candidate(score, kind, box)


def survivors(candidates: Iterator[Candidate]) -> list[Candidate]:
    """Let the best of each class go first, and drop what overlaps it by more than the limit."""
    best = sorted(candidates, key=lambda one: -one.score)[:_ENTER]
    kept: list[Candidate] = []
    for one in best:
        if len(kept) == _LEAVE:
            break
        if all(one.kind != other.kind or overlap(one.box, other.box) <= _IOU for other in kept):
            kept.append(one)
    return kept


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    if across <= 0 or down <= 0:
        return 0.0
    both = across * down
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def on_picture(one: Candidate, fitted: Fitted, width: int, height: int) -> list[float]:
    """Return x, y, width, height in the picture's pixels, cut off at its edges."""
    (across, down), (x1, y1, x2, y2) = fitted.scale, one.box
    left = min(max((x1 - fitted.left) * across, 0.0), width)
    right = min(max((x2 - fitted.left) * across, 0.0), width)
    top = min(max((y1 - fitted.top) * down, 0.0), height)
    bottom = min(max((y2 - fitted.top) * down, 0.0), height)
    return [left, top, right - left, bottom - top]


LAYOUTS: dict[str, tuple[Callable, Callable]] = {
    "yolov8": (centred, yolov8),
    "yolox": (top_left, yolox),
    "ssd": (stretched, ssd),
}


def detect(layout: str, model: Path, data: Path, truths: COCO) -> list[dict[str, Any]]:
    fit, decode = LAYOUTS[layout]
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    # SSD's classes are COCO's ids; the others number the categories without gaps
    categories = list(range(91)) if layout == "ssd" else sorted(truths.getCatIds())
    rows = []
    for entry in truths.loadImgs(sorted(truths.getImgIds())):
        image = cv2.imread(str(data / "images" / entry["file_name"]))
        height, width = image.shape[:2]
        fitted = fit(image)
        outputs = session.run(None, {given.name: fitted.feed})
        for one in survivors(decode(dict(zip(names, outputs, strict=True)))):
            rows.append(
                {
                    "image_id": entry["id"],
                    "category_id": categories[one.kind],
                    "bbox": on_picture(one, fitted, width, height),
                    "score": one.score,
                }
            )
    return rows


def independent(layout: str, model: Path, data: Path) -> tuple[dict[str, float], int]:
    with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        truths = COCO(str(data / "instances.json"))
        rows = detect(layout, model, data, truths)
        results = Path(folder, "results.json")
        results.write_text(json.dumps(rows))
        run = COCOeval(truths, truths.loadRes(str(results)), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    figures = {name: float(run.stats[place]) for name, place in (_FIGURES | _SIZES).items()}
    return figures, len(rows)


def by_edgecv(model: Path, data: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "edgecv_cli", "evaluate", model, "--data", data, "--json",
         "--quiet"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    said = json.loads(done.stdout)
    return {name: said[name] for name in _FIGURES}


def compare(layout: str, model: Path, data: Path) -> dict[str, Any]:
    began = time.monotonic()
    theirs, count = independent(layout, model, data)
    half = time.monotonic()
    ours = by_edgecv(model, data)
    apart = {name: ours[name] - theirs[name] for name in ours}
    return {
        "model": model.name,
        "detections": count,
        "independent": theirs,
        "edgecv": ours,
        "difference": apart,
        "agrees": all(abs(value) < _AGREES for value in apart.values()),
        "seconds": [round(half - began, 1), round(time.monotonic() - half, 1)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    for layout in LAYOUTS:
        parser.add_argument(f"--{layout}", type=Path, metavar="MODEL.onnx")
    options = parser.parse_args()
    named = {layout: getattr(options, layout) for layout in LAYOUTS}
    found = [compare(layout, model, options.data) for layout, model in named.items() if model]
    if not found:
        parser.error("name a model: --yolov8, --yolox or --ssd")
    print(json.dumps({"largest_allowed": _AGREES, "models": found}, indent=2))
    if not all(one["agrees"] for one in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
