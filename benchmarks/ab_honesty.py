"""Whether a benchmark's intervals can be trusted: the same network against itself, many times.

    python benchmarks/ab_honesty.py [MODEL.onnx] [--runs 100] [--duration 2] [--threads 1]
        [--twin] [--load] [--json FILE]

Every run is a whole `edgecv benchmark` of two files. Without `--twin` both hold the same network,
so that the ratio is 1 and a 95 % interval should hold it; with `--twin` the second has one layer
in twenty more, about 5 % of added work, which an interval should tell from 1. `--load` keeps
another process busy on one core meanwhile. Without a model, a stack of equal convolutions is used
(and `--twin` needs that). Prints JSON: `covers_1` and `excludes_1` out of `runs`, and the median
width of the interval as a share of the ratio.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.core.context import Context
from edgecv_cli.measure.hardware import machine
from edgecv_cli.stages.benchmark import benchmark

_LAYERS, _CHANNELS, _SIDE = 40, 32, 56


def stack(layers: int) -> onnx.ModelProto:
    """Equal 3x3 convolutions, one after the other."""
    rng = np.random.default_rng(0)
    nodes, weights, value = [], [], "image"
    for index in range(layers):
        wide = 3 if index == 0 else _CHANNELS
        kernel = rng.normal(0, (2 / (9 * wide)) ** 0.5, (_CHANNELS, wide, 3, 3))
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), f"w{index}"))
        nodes.append(
            helper.make_node("Conv", [value, f"w{index}"], [f"c{index}"], pads=[1, 1, 1, 1])
        )
        value = f"c{index}"
    side = [1, 3, _SIDE, _SIDE]
    graph = helper.make_graph(
        nodes,
        "stack",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, side)],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, [1, _CHANNELS, *side[2:]])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def two_files(folder: Path, model: Path | None, *, twin: bool) -> tuple[Path, Path]:
    a, b = folder / "a.onnx", folder / "b.onnx"
    if model is not None:
        for place in (a, b):
            shutil.copy(model, place)
        return a, b
    onnx.save(stack(_LAYERS), a)
    onnx.save(stack(_LAYERS + _LAYERS // 20 if twin else _LAYERS), b)
    return a, b


@contextmanager
def busy(wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as loop:
        try:
            yield
        finally:
            loop.kill()


def study(options: argparse.Namespace) -> dict[str, Any]:
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, busy(options.load):
        a, b = two_files(Path(folder), options.model, twin=options.twin)
        for run in range(options.runs):
            config = BenchmarkConfig(
                models=(a, b), duration=options.duration, threads=options.threads, seed=run
            )
            began = time.perf_counter()
            ratio = benchmark(config, Context(seed=run)).ratios[0]
            rows.append(
                {
                    "ratio": ratio.ratio,
                    "low": ratio.low,
                    "high": ratio.high,
                    "seconds": time.perf_counter() - began,
                }
            )
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    low, high, ratios = (np.array([row[key] for row in rows]) for key in ("low", "high", "ratio"))
    covers = (low <= 1) & (high >= 1)
    return {
        "model": options.model.name if options.model else f"{_LAYERS} convolutions",
        "twin": options.twin,
        "load": options.load,
        "threads": options.threads,
        "duration": options.duration,
        "runs": len(rows),
        "covers_1": int(covers.sum()),
        "excludes_1": int((~covers).sum()),
        "median_width": float(np.median((high - low) / ratios)),
        "median_ratio": float(np.median(ratios)),
        "ratio_spread": float(ratios.std()),
        "median_seconds": float(np.median([row["seconds"] for row in rows])),
        "machine": machine(options.threads).model_dump(mode="json", exclude_none=True),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--duration", type=float, default=2.0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--twin", action="store_true")
    parser.add_argument("--load", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.twin and options.model:
        parser.error("--twin makes its own networks: leave MODEL out")
    result = json.dumps(study(options), indent=2)
    if options.json:
        options.json.write_text(result)
    print(result)


if __name__ == "__main__":
    main()
