"""What the benchmark itself costs each inference: its times against a plain loop's.

    python benchmarks/harness_overhead.py [MODEL.onnx] [--rounds 200] [--threads N]

Blocks of the benchmark's child process and of a plain `session.run` loop in this process
alternate. Without a model a network of one Relu on 16 numbers is used, whose inference is next to
nothing: what is left is overhead. Prints JSON: `overhead_us` is the median over rounds of (a
harness inference - a plain one) in microseconds, with its 95 % bootstrap interval; `ratio` is
time(plain loop) / time(harness); `idle_share` is the share of a round's wall time in which the
child was not inferring: the price of handing a block back and forth.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from edgecv_cli.core.context import Context
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.measurement import bootstrap_interval
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.measure.hardware import machine
from edgecv_cli.measure.lane import BenchRow, Lane
from edgecv_cli.measure.latency import start_child
from edgecv_cli.measure.latency_ratio import ratio_over_launches
from edgecv_cli.measure.pictures import network_feeds
from edgecv_cli.measure.schedule import BLOCK_SECONDS, block_count

_MOST = 2000  # inferences of a block: a network of nothing would fill it with tens of thousands


def next_to_nothing(folder: str) -> Path:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    path = Path(folder) / "relu.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def plain_session(model: Path, threads: int) -> ort.InferenceSession:
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])


def plain_feeds(session: ort.InferenceSession) -> list[dict[str, Any]]:
    inputs = tuple(
        TensorSpec(
            value.name,
            tuple(size if isinstance(size, int) else None for size in value.shape),
            "float32",
        )
        for value in session.get_inputs()
    )
    return network_feeds(inputs, count=4, seed=0)


def plain_block(
    session: ort.InferenceSession, feeds: list[dict[str, Any]], count: int
) -> list[int]:
    times = []
    for index in range(count):
        started = time.perf_counter_ns()
        session.run(None, feeds[index % len(feeds)])
        times.append(time.perf_counter_ns() - started)
    return times


def measure(model: Path, rounds: int, threads: int) -> dict[str, Any]:
    context = Context()
    lane = Lane(BenchRow(model, threads=threads), lambda row: start_child(row, context))
    session = plain_session(model, threads)
    feeds = plain_feeds(session)
    plain: list[float] = []
    idle: list[float] = []
    try:
        lane.open(seed=0)
        lane.warm_up(BLOCK_SECONDS)
        if lane.failure:
            raise lane.failure
        lane.block, lane.settling = min(_MOST, block_count(lane.inference_ns)), 1
        plain_block(session, feeds, 2 * lane.block)
        for index in range(rounds):
            for side in (0, 1) if index % 2 else (1, 0):
                if side:
                    plain.append(float(np.median(plain_block(session, feeds, lane.block + 1)[1:])))
                    continue
                began = time.perf_counter_ns()
                lane.run_round()
                idle.append(1 - sum(lane.rounds[-1]) / (time.perf_counter_ns() - began))
    finally:
        lane.end()
    timed = [float(np.median(block)) for block in lane.rounds]
    extra = (np.array(timed) - np.array(plain)) / 1e3
    drawn = np.random.default_rng(0).integers(0, rounds, (2000, rounds))
    interval = bootstrap_interval(np.median(extra[drawn], axis=1))
    ratio = ratio_over_launches([plain], [timed])
    return {
        "model": model.name,
        "rounds": rounds,
        "block": lane.block,
        "threads": threads,
        "plain_p50_us": float(np.median(plain)) / 1e3,
        "harness_p50_us": float(np.median(timed)) / 1e3,
        "overhead_us": float(np.median(extra)),
        "overhead_low_us": interval.low,
        "overhead_high_us": interval.high,
        "ratio": ratio.ratio,
        "low": ratio.low,
        "high": ratio.high,
        "idle_share": float(np.median(idle)),
        "machine": machine(threads).model_dump(mode="json", exclude_none=True),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--threads", type=int, default=usable_cores())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or next_to_nothing(folder)
        print(json.dumps(measure(model, options.rounds, options.threads), indent=2))


if __name__ == "__main__":
    main()
