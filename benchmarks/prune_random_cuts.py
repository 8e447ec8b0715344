"""Whether channels that leave at random leave a graph that computes what the masked one does.

    python benchmarks/prune_random_cuts.py MODEL.onnx [...] [--cuts 200] [--share 0.4]

From each group of channels a share leaves, drawn anew each time; the smaller graph is checked and
run on a picture of noise, and held against the whole graph with the weights that read those
channels at zero. Prints one line a model: cuts that were equal within 1e-5 of the largest value
of an output (of 1, where that is smaller: scores), and the worst difference.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from edgecv_cli.compress.pruning.analyse import analyse
from edgecv_cli.compress.pruning.cut import cut
from edgecv_cli.compress.pruning.flow import Flow
from edgecv_cli.graph.io import load_model
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.shuffle import with_gathered_shuffles
from edgecv_cli.graph.topology import Topology

TOLERANCE = 1e-5


def run(model: onnx.ModelProto, feed: dict[str, Any]) -> list[Any]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found: list[Any] = session.run(None, feed)
    return found


def masked(flow: Flow, removed: frozenset[int]) -> onnx.ModelProto:
    """Return the whole graph with the weights that read removed channels at zero."""
    topology = flow.topology
    model = onnx.ModelProto()
    model.CopyFrom(topology.model)
    for node in model.graph.node:
        layer = topology.layers.get(node.output[0])
        read = None if layer is None else flow.channels.get(layer.data)
        if layer is None or read is None or layer.depthwise:
            continue
        gone = np.isin(read.labels, sorted(removed))
        weight = np.array(topology.constants.value(layer.weight))
        if layer.op == "Conv":
            groups = len(gone) // weight.shape[1]
            for rows, part in zip(
                np.split(weight, groups), np.split(gone, groups), strict=True
            ):  # views: written in place
                rows[:, part] = 0
        elif layer.op == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute):
            weight[:, gone] = 0
        else:
            weight[gone] = 0
        name = f"{node.output[0]}_masked"
        model.graph.initializer.append(numpy_helper.from_array(weight, name))
        node.input[1] = name
    return model


def drawn(flow: Flow, rng: np.random.Generator, share: float) -> frozenset[int]:
    removed: list[int] = []
    for group in flow.groups:
        count = round(share * len(group.units))
        removed += [int(unit) for unit in rng.choice(group.units, count, replace=False)]
    return flow.survivable(removed)


def difference(flow: Flow, removed: frozenset[int], rng: np.random.Generator) -> float:
    """Return the largest difference as a part of the largest output, or of 1."""
    smaller = cut(flow, removed)
    onnx.checker.check_model(smaller, full_check=True)
    feed = {}
    for value in flow.topology.model.graph.input:
        shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        feed[value.name] = rng.random(shape, np.float32)
    worst = 0.0
    for expected, got in zip(run(masked(flow, removed), feed), run(smaller, feed), strict=True):
        if got.shape != expected.shape:
            return float("inf")
        scale = max(float(np.abs(expected).max()), 1.0)
        worst = max(worst, float(np.abs(got - expected).max()) / scale)
    return worst


def study(path: Path, cuts: int, share: float) -> dict[str, Any]:
    flow = analyse(Topology.of(with_gathered_shuffles(normalise(load_model(path)))))
    began = time.perf_counter()
    found, left = [], []
    for seed in range(cuts):
        rng = np.random.default_rng(seed)
        removed = drawn(flow, rng, share)
        found.append(difference(flow, removed, rng))
        left.append(flow.macs(removed) / flow.macs(()))
    return {
        "model": path.name,
        "groups": len(flow.groups),
        "units": sum(len(group.units) for group in flow.groups),
        "cuts": cuts,
        "equal": sum(one <= TOLERANCE for one in found),
        "worst": max(found),
        "kept_macs": [min(left), max(left)],
        "seconds": time.perf_counter() - began,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--share", type=float, default=0.4)
    options = parser.parse_args()
    for model in options.models:
        print(json.dumps(study(model, options.cuts, options.share)), flush=True)


if __name__ == "__main__":
    main()
