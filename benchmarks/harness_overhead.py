"""What the benchmark itself costs: its times against a plain loop's, in alternating blocks.

    python benchmarks/harness_overhead.py MODEL.onnx [--rounds 30] [--threads N]

Prints JSON. `ratio` is time(plain loop) / time(harness), median over rounds with its 95 %
bootstrap interval: 1 means that running in a child process behind edgecv's runner changes
nothing. `idle_share` is the share of a round's wall time in which the child was not inferring:
the price of handing a block back and forth.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from edgecv_cli.core.context import Context
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.measurement import bootstrap_ratio, paired_ratio
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.measure.hardware import machine
from edgecv_cli.measure.lane import BenchRow, Lane
from edgecv_cli.measure.latency import start_child
from edgecv_cli.measure.pictures import network_feeds
from edgecv_cli.measure.schedule import block_count


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
        lane.warm_up()
        if lane.failure:
            raise lane.failure
        lane.block = block_count(lane.inference_ns)
        plain_block(session, feeds, 2 * lane.block)
        for index in range(rounds):
            for side in (0, 1) if index % 2 else (1, 0):
                if side:
                    plain.append(float(np.median(plain_block(session, feeds, lane.block))))
                    continue
                began = time.perf_counter_ns()
                lane.run_round()
                idle.append(1 - sum(lane.rounds[-1]) / (time.perf_counter_ns() - began))
    finally:
        lane.end()
    timed = [float(np.median(block)) for block in lane.rounds]
    interval = bootstrap_ratio(plain, timed, seed=0)
    return {
        "model": model.name,
        "rounds": rounds,
        "block": lane.block,
        "threads": threads,
        "plain_p50_ms": float(np.median(plain)) / 1e6,
        "harness_p50_ms": float(np.median(timed)) / 1e6,
        "ratio": paired_ratio(plain, timed),
        "low": interval.low,
        "high": interval.high,
        "idle_share": float(np.median(idle)),
        "machine": machine(threads).model_dump(mode="json", exclude_none=True),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=usable_cores())
    options = parser.parse_args()
    print(json.dumps(measure(options.model, options.rounds, options.threads), indent=2))


if __name__ == "__main__":
    main()
