"""Give layers of a graph other weights and biases."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Weights = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]


def with_biases(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose convolutions all have a bias, of zeros where there was none."""
    work = onnx.ModelProto()
    work.CopyFrom(model)
    stored = {tensor.name: tensor for tensor in work.graph.initializer}
    for node in work.graph.node:
        bare = len(node.input) < 3 or not node.input[2]
        if node.op_type != "Conv" or not bare or node.input[1] not in stored:
            continue
        name = f"{node.output[0]}_bias"
        while name in stored:
            name += "_"
        made = numpy_helper.from_array(np.zeros(stored[node.input[1]].dims[0], np.float32), name)
        stored[name] = made
        work.graph.initializer.append(made)
        del node.input[2:]
        node.input.append(name)
    return work


def with_weights(model: onnx.ModelProto, weights: Weights) -> onnx.ModelProto:
    """Return a copy in which some layers have weights and biases of their own.

    Args:
        model: every one of these layers has a bias.
        weights: layer, by its output tensor, to both.
    """
    work = onnx.ModelProto()
    work.CopyFrom(model)
    taken = {tensor.name for tensor in work.graph.initializer}
    for node in work.graph.node:
        for index, value in enumerate(weights.get(node.output[0], ()), 1):
            name = f"{node.output[0]}_fitted{index}"
            while name in taken:
                name += "_"
            taken.add(name)
            node.input[index] = name
            work.graph.initializer.append(numpy_helper.from_array(value, name))
    read = {name for node in work.graph.node for name in node.input}
    left = [tensor for tensor in work.graph.initializer if tensor.name in read]
    del work.graph.initializer[:]
    work.graph.initializer.extend(left)
    return work
