"""Forward, gradients and write-back of the training layer on real detectors.

Usage: python benchmarks/training_parity.py MODEL.onnx [...]

The input is one picture of seeded noise. Prints, for each model, the largest difference from ONNX
Runtime as a part of that output's range, how many weights take a gradient, and the same difference
for the model written back after one small step of gradient descent, against torch's own outputs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

from edgecv_cli.compress.training.network import Network
from edgecv_cli.compress.training.program import program_of
from edgecv_cli.compress.training.write_back import with_weights_of
from edgecv_cli.graph.io import load_model
from edgecv_cli.graph.normalise import normalise


def run(model, feeds):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def worst(made, wanted):
    return max(
        float(np.abs(made[name] - value).max() / max(np.ptp(value), 1e-12))
        for name, value in wanted.items()
    )


def numbers(outputs):
    return {name: value.detach().numpy() for name, value in outputs.items()}


def row(path):
    import torch

    torch.manual_seed(0)
    original = load_model(path)
    model = normalise(original)
    network = Network(program_of(model), trained=True)
    value = model.graph.input[0]
    shape = [one.dim_value for one in value.type.tensor_type.shape.dim]
    feeds = {value.name: np.random.default_rng(0).random(shape, np.float32)}
    made = network(feeds)
    forward = worst(numbers(made), run(original, feeds))
    sum((one * torch.randn_like(one)).sum() for one in made.values()).backward()
    taken = sum(one.grad is not None and bool(one.grad.any()) for one in network.weights.values())
    with torch.no_grad():
        for one in network.weights.values():
            if one.grad is not None:
                one.sub_(1e-3 * one.grad / (one.grad.norm() + 1e-9))
        after = numbers(network(feeds))
    written = worst(run(with_weights_of(model, network.arrays()), feeds), after)
    return forward, taken, len(network.weights), written


def main(paths):
    print(f"{'model':28} {'forward':>9} {'gradients':>11} {'write-back':>11}")
    for path in paths:
        forward, taken, whole, written = row(Path(path))
        print(
            f"{Path(path).stem:28} {forward:9.1e} {taken:5}/{whole:<5} {written:11.1e}", flush=True
        )


if __name__ == "__main__":
    main(sys.argv[1:])
