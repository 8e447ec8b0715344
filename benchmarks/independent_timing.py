"""The ratio between two models: `edgecv benchmark` against timing that shares no code with it.

    python benchmarks/independent_timing.py A.onnx B.onnx [--threads 1] [--seconds 20]
        [--engine onnxruntime|openvino]

The peer is a plain loop over `session.run` in the manner of onnxruntime_perf_test: both sessions
in one process, half a second of one and half a second of the other in turn, the same settings as
the engine gets from edgecv, random input. For OpenVINO it is OpenVINO's own benchmark_app, in
turns of a few seconds. Prints JSON: both ratios time(A) / time(B), and by how much they differ.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime as ort

_TURN_SECONDS = 0.5
_APP_SECONDS = 4
_TYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(float16)": np.float16}


def session(model: Path, threads: int) -> ort.InferenceSession:
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])


def feed(made: ort.InferenceSession) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    filled = {}
    for value in made.get_inputs():
        shape = [size if isinstance(size, int) else 1 for size in value.shape]
        kind = _TYPES[value.type]
        top = 255 if kind == np.uint8 else 1
        filled[value.name] = (rng.random(shape) * top).astype(kind)
    return filled


def turn(made: ort.InferenceSession, filled: dict[str, Any]) -> float:
    times = []
    until = time.perf_counter() + _TURN_SECONDS
    while time.perf_counter() < until:
        began = time.perf_counter()
        made.run(None, filled)
        times.append(time.perf_counter() - began)
    return median(times)


def plain_ratio(models: list[Path], threads: int, seconds: float) -> tuple[float, list[float]]:
    made = [session(model, threads) for model in models]
    filled = [feed(one) for one in made]
    for one, values in zip(made, filled, strict=True):
        turn(one, values)
    pairs = [
        [turn(one, values) for one, values in zip(made, filled, strict=True)]
        for _ in range(max(3, round(seconds / _TURN_SECONDS)))
    ]
    medians = [1000 * median(column) for column in zip(*pairs, strict=True)]
    return median(a / b for a, b in pairs), medians


def app_ratio(models: list[Path], threads: int, seconds: float) -> tuple[float, list[float]]:
    app = Path(sys.executable).with_name("benchmark_app")
    pairs = []
    for _ in range(max(3, round(seconds / _APP_SECONDS))):
        pair = []
        for model in models:
            said = subprocess.run(
                [app, "-m", model, "-d", "CPU", "-hint", "none", "-api", "sync", "-nstreams", "1",
                 "-nthreads", str(threads), "-infer_precision", "f32", "-pin", "NO",
                 "-t", str(_APP_SECONDS)],
                check=True, capture_output=True, text=True,
            ).stdout  # fmt: skip
            pair.append(float(re.search(r"Median:\s+([0-9.]+) ms", said)[1]))
        pairs.append(pair)
    medians = [median(column) for column in zip(*pairs, strict=True)]
    return median(a / b for a, b in pairs), medians


def edgecv_ratio(models: list[Path], engine: str, threads: int, seconds: float) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "edgecv_cli", "benchmark", *models, "--engine", engine,
         "--threads", str(threads), "--duration", str(seconds), "--json", "--quiet"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--engine", default="onnxruntime", choices=("onnxruntime", "openvino"))
    options = parser.parse_args()
    peer = plain_ratio if options.engine == "onnxruntime" else app_ratio
    found, medians = peer(options.models, options.threads, options.seconds)
    ours = edgecv_ratio(options.models, options.engine, options.threads, options.seconds)
    (ratio,) = ours["ratios"]
    print(
        json.dumps(
            {
                "models": [model.name for model in options.models],
                "engine": options.engine,
                "threads": options.threads,
                "peer": {"ratio": found, "p50_ms": medians},
                "edgecv": {
                    "ratio": ratio["ratio"],
                    "low": ratio["low"],
                    "high": ratio["high"],
                    "p50_ms": [run["p50_ms"] for run in ours["runs"]],
                },
                "difference": ratio["ratio"] / found - 1,
                "machine": ours["machine"],
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
