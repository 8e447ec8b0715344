"""Frames a second of ``edgecv detect`` beside what the machine could do at most, and a plain loop.

    python benchmarks/detect_throughput.py CLIP MODEL.onnx [MODEL.onnx ...] [--threads 2]

Three ways take turns, each in a process of its own: *bare* runs the network alone, *serial* reads,
prepares (resize, copyMakeBorder, blobFromImage), runs, decodes and writes one frame after the
other, *detect* is edgecv. Both write JSON lines, which go to /dev/null. The bound of a round is
the smaller of the bare rate and cores / CPU seconds a frame, where those are the network's own,
decoding and a floor of pre- and post-processing (resize, split, multiply into a buffer; one
comparison of all outputs), each timed alone in the bare process of that round. Prints JSON: medians
over the rounds, and the median, the lowest and the highest of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.detect import DetectConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.detector.feeding import InputFeed
from edgecv_cli.detector.letterbox import Letterbox
from edgecv_cli.inference.exports import frame_record
from edgecv_cli.inference.frames import Frame, FrameResult
from edgecv_cli.inference.predictor import Predictor, open_predictor
from edgecv_cli.measure.hardware import machine
from edgecv_cli.stages.detect import load_model, run_detect

WAYS = ("bare", "serial", "detect")
_FLOOR_RUNS = 100


def spent(work: Callable[[], int]) -> dict[str, float]:
    """Return frames, and wall and CPU seconds a frame."""
    began, cpu = time.perf_counter(), time.process_time()
    frames = work()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    return {"frames": frames, "wall": seconds / frames, "cpu": cpu_seconds / frames}


def opened(options: argparse.Namespace) -> Predictor:
    artifact = Artifact.open(options.models[0])
    return open_predictor(artifact, artifact.detector().spec, threads=options.threads)


def read(clip: Path, frames: int) -> Iterator[Any]:
    capture = cv2.VideoCapture(str(clip))
    for _ in range(frames):
        there, image = capture.read()
        if not there:
            break
        yield image
    capture.release()


def bare(options: argparse.Namespace) -> dict[str, Any]:
    predictor = opened(options)
    feed = InputFeed(predictor.runner.inputs, predictor.spec)
    first = next(read(options.clip, 1))
    feed.fill(first)
    outputs = predictor.runner.infer(feed.feeds)

    def network() -> int:
        for _ in range(options.frames):
            predictor.runner.infer(feed.feeds)
        return options.frames

    def decode() -> int:
        return sum(1 for _ in read(options.clip, options.frames))

    def floor() -> int:
        for _ in range(_FLOOR_RUNS):
            least(first, predictor, outputs)
        return _FLOOR_RUNS

    return {"network": spent(network), "decode": spent(decode), "floor": spent(floor)}


def least(image: Any, predictor: Predictor, outputs: dict[str, Any]) -> None:
    wanted = predictor.spec.input
    tall, wide = Letterbox.fit(image.shape[:2], wanted).content
    planes = cv2.split(cv2.resize(image, (wide, tall)))
    for plane, out in zip(planes, buffers(tall, wide), strict=True):
        cv2.multiply(plane, 1 / wanted.scale, out, dtype=cv2.CV_32F)
    for output in outputs.values():
        np.flatnonzero(output >= predictor.profile.threshold)


_BUFFERS: dict[tuple[int, int], Any] = {}


def buffers(tall: int, wide: int) -> Any:
    return _BUFFERS.setdefault((tall, wide), np.empty((3, tall, wide), np.float32))


def serial(options: argparse.Namespace) -> dict[str, Any]:
    predictor = opened(options)
    name = predictor.spec.input.name or predictor.runner.inputs[0].name
    with Path(os.devnull).open("w", encoding="utf-8") as sink:

        def loop() -> int:
            count = 0
            for image in read(options.clip, options.frames):
                fit = Letterbox.fit(image.shape[:2], predictor.spec.input)
                outputs = predictor.runner.infer({name: blob(image, fit)})
                found = predictor.read(outputs, fit)
                frame = Frame(str(options.clip), count, image)
                record = frame_record(FrameResult(frame, found, predictor.spec.classes))
                sink.write(json.dumps(record) + "\n")
                sink.flush()
                count += 1
            return count

        return spent(loop)


def blob(image: Any, fit: Letterbox) -> Any:
    wanted = fit.input
    (tall, wide), (top, left) = fit.content, fit.offset
    small = cv2.resize(image, (wide, tall))
    below, right = wanted.size[0] - tall - top, wanted.size[1] - wide - left
    pad = (wanted.pad,) * 3
    whole = cv2.copyMakeBorder(small, top, below, left, right, cv2.BORDER_CONSTANT, value=pad)
    means = tuple(part * wanted.scale for part in wanted.mean)
    values = cv2.dnn.blobFromImage(
        whole, 1 / wanted.scale, mean=means, swapRB=wanted.color == "rgb"
    )
    if any(part != 1 for part in wanted.std):
        values /= np.asarray(wanted.std, np.float32).reshape(1, 3, 1, 1)
    return values if wanted.layout == "nchw" else values.transpose(0, 2, 3, 1)


def detect(options: argparse.Namespace) -> dict[str, Any]:
    config = DetectConfig(
        model=options.models[0],
        sources=(str(options.clip),),
        threads=options.threads,
        limit=options.frames,
    )
    loaded = load_model(config, options.threads)
    said: dict[str, Any] = {}
    with Path(os.devnull).open("w", encoding="utf-8") as sink:

        def emit(record: dict[str, Any]) -> None:
            sink.write(json.dumps(record) + "\n")
            sink.flush()

        def run() -> int:
            summary = run_detect(config, Context(), emit=emit, load=lambda _: loaded)
            said["limit"] = None if summary.limit is None else summary.limit.stage
            return summary.frames

        return {**spent(run), **said}


def child(way: str, model: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, str(options.clip), str(model), "--way", way]
    command += ["--threads", str(options.threads), "--frames", str(options.frames)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def study(model: Path, options: argparse.Namespace) -> dict[str, Any]:
    rounds = []
    for number in range(options.rounds):
        order = WAYS if number % 2 else WAYS[::-1]
        rounds.append({way: child(way, model, options) for way in order})
    bounds = [bound(one["bare"], options.threads) for one in rounds]
    rates = {way: [1 / one[way]["wall"] for one in rounds] for way in ("serial", "detect")}
    return {
        "model": model.name,
        "frames": rounds[0]["detect"]["frames"],
        "rounds": len(rounds),
        "limits": sorted({str(one["detect"]["limit"]) for one in rounds}),
        "bare_fps": round(median(1 / one["bare"]["network"]["wall"] for one in rounds), 2),
        "bound_fps": round(median(bounds), 2),
        "serial_fps": round(median(rates["serial"]), 2),
        "detect_fps": round(median(rates["detect"]), 2),
        "cpu_ms_a_frame": {
            **{
                part: round(1e3 * median(one["bare"][part]["cpu"] for one in rounds), 2)
                for part in ("network", "decode", "floor")
            },
            **{
                way: round(1e3 * median(one[way]["cpu"] for one in rounds), 2)
                for way in ("serial", "detect")
            },
        },
        "detect_to_bound": spread(rates["detect"], bounds),
        "detect_to_serial": spread(rates["detect"], rates["serial"]),
    }


def bound(found: dict[str, Any], threads: int) -> float:
    """Return frames a second that nothing on this machine could exceed."""
    cpu = sum(found[part]["cpu"] for part in ("network", "decode", "floor"))
    return float(min(1 / found["network"]["wall"], min(threads, usable_cores()) / cpu))


def spread(values: list[float], others: list[float]) -> dict[str, float]:
    ratios = [value / other for value, other in zip(values, others, strict=True)]
    found = {"median": median(ratios), "low": min(ratios), "high": max(ratios)}
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, default=480)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way is not None:
        way = {"bare": bare, "serial": serial, "detect": detect}[options.way]
        print(json.dumps(way(options)))
        return
    rows = [study(model, options) for model in options.models]
    shown = {"machine": machine(options.threads).model_dump(mode="json"), "models": rows}
    print(json.dumps(shown, indent=1))


if __name__ == "__main__":
    main()
