"""Whether a benchmark's intervals can be trusted: the same network against itself, many times.

    python benchmarks/ab_honesty.py [MODEL.onnx] [--runs 100] [--duration 2] [--launches 3]
        [--threads 1] [--load] [--json FILE]

Every run is a whole `edgecv benchmark` of three files: a network, the same again, and a twin with
one layer in twenty more, which is about 5 % of added work. The ratio to the same network is 1, and
a 95 % interval should hold it; that of the twin should leave 1 out. `--load` keeps another process
busy on one core meanwhile. Without a model a stack of equal convolutions is used; with one there
is no twin. Prints JSON: for `same` and `twin`, how many of the `runs` hold 1 (`covers_1`) and how
many do not, the median width of the interval as a share of the ratio, and the spread of the ratios
themselves.
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
from edgecv_cli.measure.latency_result import Ratio
from edgecv_cli.stages.benchmark import benchmark

_LAYERS, _CHANNELS, _SIDE = 40, 32, 28


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


def files(folder: Path, model: Path | None) -> dict[str, Path]:
    """Return the files by what they are: the first, the same again, and the twin."""
    made = {name: folder / f"{name}.onnx" for name in ("first", "same", "twin")}
    if model is not None:
        del made["twin"]
        for place in made.values():
            shutil.copy(model, place)
        return made
    for name, place in made.items():
        onnx.save(stack(_LAYERS + _LAYERS // 20 if name == "twin" else _LAYERS), place)
    return made


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
    rows: dict[str, list[Ratio]] = {}
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder, busy(options.load):
        made = files(Path(folder), options.model)
        for run in range(options.runs):
            config = BenchmarkConfig(
                models=tuple(made.values()),
                duration=options.duration,
                launches=options.launches,
                threads=options.threads,
                seed=run,
            )
            began = time.perf_counter()
            for ratio in benchmark(config, Context(seed=run)).ratios:
                rows.setdefault(Path(ratio.b).stem, []).append(ratio)
            seconds.append(time.perf_counter() - began)
            print(json.dumps({k: summary(v) for k, v in rows.items()}), file=sys.stderr, flush=True)
    return {
        "model": options.model.name if options.model else f"{_LAYERS} convolutions",
        "load": options.load,
        "threads": options.threads,
        "duration": options.duration,
        "launches": options.launches,
        **{name: summary(ratios) for name, ratios in rows.items()},
        "median_seconds": float(np.median(seconds)),
        "machine": machine(options.threads).model_dump(mode="json", exclude_none=True),
    }


def summary(ratios: list[Ratio]) -> dict[str, float]:
    covers = sum(one.low <= 1 <= one.high for one in ratios)
    return {
        "runs": len(ratios),
        "covers_1": covers,
        "excludes_1": len(ratios) - covers,
        "median_width": float(np.median([(one.high - one.low) / one.ratio for one in ratios])),
        "median_ratio": float(np.median([one.ratio for one in ratios])),
        "spread_of_ratios": float(np.std([one.ratio for one in ratios])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--duration", type=float, default=2.0)
    parser.add_argument("--launches", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--load", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = json.dumps(study(options), indent=2)
    if options.json:
        options.json.write_text(result)
    print(result)


if __name__ == "__main__":
    main()
