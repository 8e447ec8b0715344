"""What pre- and post-processing cost beside the usual way, in turns within one run.

    python benchmarks/pre_post_cost.py PICTURES MODEL.onnx:1920x1080 [MODEL.onnx:640x360 ...]

Pictures of a folder are brought to the size of a source. Each round takes one picture on the usual
way (resize, copyMakeBorder, blobFromImage; every box decoded, then thresholds and NMSBoxesBatched)
and on edgecv's, in changing order, on one thread; the network's outputs are computed before. With
``--before FOLDER`` an older checkout of edgecv joins the rounds, from a process of its own that is
stopped while the others run. Prints JSON: medians in ms and the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.inference.predictor import Predictor, open_predictor
from edgecv_cli.measure.hardware import machine
from edgecv_cli.media.images import read_image
from edgecv_cli.media.listing import list_files

_PICTURES, _ROUNDS = 12, 25


class Edgecv:
    """The predictor of the checkout that is imported."""

    def __init__(self, model: Path, size: tuple[int, int], folder: Path) -> None:
        artifact = Artifact.open(model)
        self.spec: DetectorSpec = artifact.detector().spec
        self.predictor: Predictor = open_predictor(artifact, self.spec, threads=1)
        self.pictures = pictures(folder, size)
        self.outputs = []
        for picture in self.pictures:
            fit = self.predictor.prepare(picture)
            found = {name: array.copy() for name, array in self.predictor.infer().items()}
            self.outputs.append((found, fit))

    def once(self, index: int) -> tuple[float, float]:
        """Return milliseconds before and after the network."""
        outputs, fit = self.outputs[index]
        began = time.perf_counter()
        self.predictor.prepare(self.pictures[index])
        prepared = time.perf_counter()
        self.predictor.read(outputs, fit)
        done = time.perf_counter()
        return (prepared - began) * 1e3, (done - prepared) * 1e3


class Usual:
    """What most scripts do, for YOLOv8 and YOLOX."""

    def __init__(self, edgecv: Edgecv) -> None:
        self.edgecv, self.spec = edgecv, edgecv.spec

    def once(self, index: int) -> tuple[float, float]:
        """Return milliseconds before and after the network."""
        outputs, _ = self.edgecv.outputs[index]
        began = time.perf_counter()
        self.prepare(self.edgecv.pictures[index])
        prepared = time.perf_counter()
        self.read(next(iter(outputs.values()))[0])
        done = time.perf_counter()
        return (prepared - began) * 1e3, (done - prepared) * 1e3

    def prepare(self, picture: Any) -> Any:
        wanted = self.spec.input
        ratio = min(
            side / given for side, given in zip(wanted.size, picture.shape[:2], strict=True)
        )
        tall, wide = (round(side * ratio) for side in picture.shape[:2])
        small = cv2.resize(picture, (wide, tall))
        above, left = (wanted.size[0] - tall) // 2, (wanted.size[1] - wide) // 2
        below, right = wanted.size[0] - tall - above, wanted.size[1] - wide - left
        whole = cv2.copyMakeBorder(
            small, above, below, left, right, cv2.BORDER_CONSTANT, value=(114,) * 3
        )
        return cv2.dnn.blobFromImage(whole, 1 / wanted.scale, swapRB=wanted.color == "rgb")

    def read(self, output: Any) -> Any:
        if self.spec.family == "yolov8":
            rows = output.T
            boxes, scores = rows[:, :4], rows[:, 4:]
        else:
            cells, strides = grid(self.spec)
            centres = (output[:, :2] + cells) * strides
            boxes = np.concatenate([centres, np.exp(output[:, 2:4]) * strides], axis=1)
            scores = output[:, 4:5] * output[:, 5:]
        kinds, best = scores.argmax(1), scores.max(1)
        kept = best > self.spec.score_threshold
        boxes = boxes[kept]
        boxes = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)
        return cv2.dnn.NMSBoxesBatched(
            boxes.tolist(),
            best[kept].tolist(),
            kinds[kept].tolist(),
            self.spec.score_threshold,
            self.spec.nms_iou,
        )


class Before:
    """The predictor of another checkout, in a process that only runs when asked."""

    def __init__(self, checkout: Path, case: str, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(folder), case, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(checkout)},
        )
        self._ask(0)

    def once(self, index: int) -> tuple[float, float]:
        """Return milliseconds before and after the network."""
        return self._ask(index)

    def close(self) -> None:
        self._process.communicate("")

    def _ask(self, index: int) -> tuple[float, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{index}\n")
        self._process.stdin.flush()
        before, after = json.loads(self._process.stdout.readline())
        return before, after


def grid(spec: DetectorSpec) -> tuple[Any, Any]:
    parts = []
    for stride in spec.strides:
        tall, wide = (side // stride for side in spec.input.size)
        y, x = np.mgrid[:tall, :wide]
        parts.append(np.stack([x.ravel(), y.ravel(), np.full(tall * wide, stride)], axis=1))
    table = np.concatenate(parts).astype(np.float32)
    return table[:, :2], table[:, 2:]


def pictures(folder: Path, size: tuple[int, int]) -> list[Any]:
    found = [read_image(path) for path in list_files(folder)[:_PICTURES]]
    return [cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC) for picture in found]


def parsed(case: str) -> tuple[Path, tuple[int, int]]:
    model, _, size = case.rpartition(":")
    wide, tall = size.split("x")
    return Path(model), (int(wide), int(tall))


def study(case: str, options: argparse.Namespace) -> dict[str, Any]:
    model, size = parsed(case)
    edgecv = Edgecv(model, size, options.pictures)
    ways: dict[str, Any] = {"usual": Usual(edgecv), "edgecv": edgecv}
    if options.before is not None:
        ways["before"] = Before(options.before, case, options.pictures)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(_ROUNDS * len(edgecv.pictures)):
        names = list(ways) if turn % 2 else list(ways)[::-1]
        for name in names:
            ways[name].once(turn % len(edgecv.pictures))  # finds the caches as others left them
            times[name].append(ways[name].once(turn % len(edgecv.pictures)))
    edgecv.predictor.close()
    if "before" in ways:
        ways["before"].close()
    return {"model": model.name, "source": f"{size[0]}x{size[1]}", **summary(times)}


def summary(times: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    sums = {name: [sum(one) for one in rows] for name, rows in times.items()}
    own = sums["edgecv"]
    return {
        "rounds": len(own),
        "ms": {
            name: {
                "before_network": round(median(one[0] for one in rows), 3),
                "after_network": round(median(one[1] for one in rows), 3),
                "both": round(median(sums[name]), 3),
                "both_p10": round(float(np.percentile(sums[name], 10)), 3),
            }
            for name, rows in times.items()
        },
        "ratio_to": {
            name: round(median(a / b for a, b in zip(own, rows, strict=True)), 3)
            for name, rows in sums.items()
            if name != "edgecv"
        },
    }


def serve(case: str, folder: Path) -> None:
    edgecv = Edgecv(*parsed(case), folder)
    for line in sys.stdin:
        print(json.dumps(edgecv.once(int(line))), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("cases", nargs="+", metavar="MODEL:WxH")
    parser.add_argument("--before", type=Path, help="folder of an older checkout")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.serve:
        serve(options.cases[0], options.pictures)
        return
    rows = [study(case, options) for case in options.cases]
    print(json.dumps({"machine": machine(1).model_dump(mode="json"), "cases": rows}, indent=1))


if __name__ == "__main__":
    main()
