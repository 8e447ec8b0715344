"""Frames a second of ``edgecv detect`` beside what the machine could do at most, and a plain loop.

    python benchmarks/detect_throughput.py CLIP MODEL.onnx [MODEL.onnx ...] [--threads 2] [--video]

Three ways take turns, each in a process that stays and waits between its turns: *bare* runs the
network alone, *serial* reads, prepares (resize, copyMakeBorder, blobFromImage), runs, decodes and
writes one frame after the other, *detect* is edgecv. Both write JSON lines, which go to /dev/null;
with ``--video`` an annotated video, of the same encoder. The bound of a round is the smaller of the
bare rate and cores / CPU seconds a frame, where those are the network's own, decoding (with
``--video`` drawing and encoding too, with the boxes of the first frame) and a floor of pre- and
post-processing (resize, split, multiply into a buffer; one comparison of all outputs), each timed
alone in the bare process of that round. Rounds are short and many, so that what else the machine
does falls on all ways. Prints JSON: medians over the rounds, and the median, the lowest and the
highest of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.detect import DetectConfig
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import Context
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.detector.feeding import InputFeed
from edgecv_cli.detector.letterbox import Letterbox
from edgecv_cli.inference.exports import frame_record
from edgecv_cli.inference.frames import Frame, FrameResult
from edgecv_cli.inference.predictor import Predictor, open_predictor
from edgecv_cli.measure.hardware import machine
from edgecv_cli.media.draw import draw
from edgecv_cli.media.h264 import H264Writer, pyav
from edgecv_cli.media.video import VideoWriter
from edgecv_cli.stages.detect import run_detect
from edgecv_cli.stages.detect_model import load_model

_PARTS = ("network", "media", "floor")
_FLOOR_RUNS, _TRIED = 50, 30


def spent(work: Callable[[], int]) -> dict[str, Any]:
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


class Bare:
    """The network alone, and what else a frame needs, each on its own."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options, self._predictor = options, opened(options)
        self._feed = InputFeed(self._predictor.runner.inputs, self._predictor.spec)
        self._first = next(read(options.clip, 1))
        self._fit = self._feed.fill(self._first)
        self._outputs = self._predictor.runner.infer(self._feed.feeds)

    def turn(self, frames: int) -> dict[str, Any]:
        """Time every part."""
        return {
            "network": spent(lambda: self._network(frames)),
            "media": spent(lambda: self._media(frames)),
            "floor": spent(self._floor),
        }

    def _network(self, frames: int) -> int:
        for _ in range(frames):
            self._predictor.runner.infer(self._feed.feeds)
        return frames

    def _media(self, frames: int) -> int:
        if not self._options.video:
            return sum(1 for _ in read(self._options.clip, frames))
        found = self._predictor.read(self._outputs, self._fit)
        with annotated(self._first) as write:
            count = 0
            for image in read(self._options.clip, frames):
                write(draw(image, found, self._predictor.spec.classes))
                count += 1
        return count

    def _floor(self) -> int:
        for _ in range(_FLOOR_RUNS):
            least(self._first, self._predictor, self._outputs)
        return _FLOOR_RUNS


@contextmanager
def annotated(first: Any) -> Iterator[Callable[[Any], None]]:
    """Yield what appends a picture to a video that nobody keeps, by detect's own encoder."""
    size, av = (first.shape[1], first.shape[0]), pyav()
    with tempfile.TemporaryDirectory() as folder:
        stem = Path(folder) / "annotated"
        writer: Any = (
            VideoWriter(stem, frame_rate=25, size=size)
            if av is None
            else H264Writer(av, stem, frame_rate=25, size=size)
        )
        try:
            yield writer.write
            writer.close()
        finally:
            writer.abandon()


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


class Serial:
    """One thing after the other."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options, self._predictor = options, opened(options)
        spec = self._predictor.spec
        self._name = spec.input.name or self._predictor.runner.inputs[0].name
        self._first = next(read(options.clip, 1))
        self._look(self._first)

    def turn(self, frames: int) -> dict[str, Any]:
        """Time the whole loop."""
        return spent(lambda: self._loop(frames))

    def _loop(self, frames: int) -> int:
        count = 0
        with ExitStack() as stack:
            sink = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            video = stack.enter_context(annotated(self._first)) if self._options.video else None
            for image in read(self._options.clip, frames):
                found = self._look(image)
                if video is not None:
                    video(draw(image, found, self._predictor.spec.classes))
                else:
                    frame = Frame(str(self._options.clip), count, image)
                    record = frame_record(FrameResult(frame, found, self._predictor.spec.classes))
                    sink.write(json.dumps(record) + "\n")
                    sink.flush()
                count += 1
        return count

    def _look(self, image: Any) -> Detections:
        fit = Letterbox.fit(image.shape[:2], self._predictor.spec.input)
        return self._predictor.read(
            self._predictor.runner.infer({self._name: blob(image, fit)}), fit
        )


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


class Detect:
    """edgecv."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._first = next(read(options.clip, 1))

    def turn(self, frames: int) -> dict[str, Any]:
        """Time a run; the model is loaded and warm before."""
        said: dict[str, Any] = {}
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            config = DetectConfig(
                model=self._options.models[0],
                sources=(str(self._options.clip),),
                threads=self._options.threads,
                limit=frames,
                output=Path(folder) / "found" if self._options.video else None,
                save=("video",) if self._options.video else (),
            )
            loaded = load_model(config, self._options.threads)
            for lane in loaded.lanes:
                lane.predict_timed(self._first)
            sink = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))

            def emit(record: dict[str, Any]) -> None:
                sink.write(json.dumps(record) + "\n")
                sink.flush()

            def run() -> int:
                kept = None if self._options.video else emit
                summary = run_detect(config, Context(), emit=kept, load=lambda _: loaded)
                said["limit"] = None if summary.limit is None else summary.limit.stage
                return summary.frames

            return {**spent(run), **said}


WAYS: dict[str, Any] = {"bare": Bare, "serial": Serial, "detect": Detect}


class Process:
    """One way, in a process that does nothing between its turns."""

    def __init__(self, way: str, model: Path, options: argparse.Namespace) -> None:
        command = [sys.executable, __file__, str(options.clip), str(model), "--way", way]
        command += ["--threads", str(options.threads), *(["--video"] if options.video else [])]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def turn(self, frames: int) -> dict[str, Any]:
        """Have it take its turn, and return what that took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{frames}\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def close(self) -> None:
        """End it."""
        self._process.communicate("")


def study(model: Path, options: argparse.Namespace) -> dict[str, Any]:
    with ExitStack() as stack:
        ways = {way: stack.enter_context(closing(Process(way, model, options))) for way in WAYS}
        wall = ways["bare"].turn(_TRIED)["network"]["wall"]
        frames = min(options.frames, max(_TRIED, round(options.seconds / wall)))
        rounds = []
        for number in range(options.rounds):
            order = list(ways) if number % 2 else list(ways)[::-1]
            rounds.append({way: ways[way].turn(frames) for way in order})
    return summary(model, rounds, options)


def summary(model: Path, rounds: list[dict[str, Any]], options: Any) -> dict[str, Any]:
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
                for part in _PARTS
            },
            **{
                way: round(1e3 * median(one[way]["cpu"] for one in rounds), 2)
                for way in ("serial", "detect")
            },
        },
        "detect_to_bound": spread(rates["detect"], bounds),
        "detect_to_serial": spread(rates["detect"], rates["serial"]),
        "serial_to_bound": spread(rates["serial"], bounds),
    }


def bound(found: dict[str, Any], threads: int) -> float:
    """Return frames a second that nothing on this machine could exceed."""
    cpu = sum(found[part]["cpu"] for part in _PARTS)
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
    parser.add_argument("--seconds", type=float, default=2.5, help="of a turn, about")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--video", action="store_true", help="write annotated videos")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way is not None:
        way = WAYS[options.way](options)
        for line in sys.stdin:
            print(json.dumps(way.turn(int(line))), flush=True)
        return
    rows = [study(model, options) for model in options.models]
    shown = {
        "machine": machine(options.threads).model_dump(mode="json"),
        "written": "annotated video" if options.video else "JSON lines",
        "models": rows,
    }
    print(json.dumps(shown, indent=1))


if __name__ == "__main__":
    main()
