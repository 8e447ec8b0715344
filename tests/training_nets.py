"""Tiny seeded graphs for training: one with most operators, and a whole and a cut network."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def graph_of(nodes, stored, outputs, size=(1, 4, 8, 8), opset=13):
    """Return a checked model with input ``x`` and outputs of any shape."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(size))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def bent(seed=0):
    """Convolutions of every kind, a BatchNormalization, sizes computed from Shape, two outputs."""
    rng = np.random.default_rng(seed)

    def drawn(*shape):
        return rng.normal(0, 0.4, shape).astype(np.float32)

    stored = {
        "w1": drawn(8, 4, 3, 3), "b1": drawn(8), "wd": drawn(8, 1, 3, 3), "wt": drawn(8, 4, 2, 2),
        "g": drawn(8), "be": drawn(8), "mu": drawn(8), "va": np.abs(drawn(8)) + 0.1,
        "sl": np.abs(drawn(8, 1, 1)), "fc": drawn(4, 3), "fb": drawn(3),
        "zero": np.asarray([0], np.int64), "rest": np.asarray([-1], np.int64),
        "sizes": np.asarray([1, 8, 7, 5], np.int64), "halves": np.asarray([4, 4], np.int64),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], auto_pad="SAME_UPPER", strides=[2, 2]),
        node("BatchNormalization", ["c1", "g", "be", "mu", "va"], ["n"], epsilon=1e-3),
        node("PRelu", ["n", "sl"], ["p"]),
        node("Conv", ["p", "wd"], ["d"], group=8, pads=[0, 1, 2, 1]),
        node("HardSigmoid", ["d"], ["hs"]),
        node("Mul", ["d", "hs"], ["m"]),
        node("MaxPool", ["m"], ["mp"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("AveragePool", ["m"], ["ap"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Add", ["mp", "ap"], ["s"]),
        node("Resize", ["s", "", "", "sizes"], ["r"], mode="linear"),
        node("ConvTranspose", ["r", "wt"], ["t"], strides=[2, 2], pads=[0, 1, 1, 0]),
        node("Shape", ["t"], ["sh"]),
        node("Gather", ["sh", "zero"], ["first"]),
        node("Concat", ["first", "rest"], ["flat"], axis=0),
        node("Reshape", ["t", "flat"], ["y1"]),
        node("Split", ["r", "halves"], ["ra", "rb"], axis=1),
        node("Sub", ["ra", "rb"], ["df"]),
        node("GlobalAveragePool", ["df"], ["ga"]),
        node("Flatten", ["ga"], ["fl"]),
        node("Gemm", ["fl", "fc", "fb"], ["y2"]),
    ]
    return graph_of(nodes, stored, ["y1", "y2"])


def pair(seed=0):
    """Return a whole network and one of half its width, with the same head ``y``."""
    made = []
    for width in (8, 4):
        rng = np.random.default_rng(seed)
        stored = {
            "w1": rng.normal(0, 0.4, (8, 3, 3, 3)).astype(np.float32)[:width],
            "b1": np.zeros(width, np.float32),
            "w2": rng.normal(0, 0.4, (6, 8, 1, 1)).astype(np.float32)[:, :width],
            "b2": np.zeros(6, np.float32),
        }
        nodes = [
            helper.make_node("Conv", ["x", "w1", "b1"], ["h"], pads=[1] * 4, strides=[2, 2]),
            helper.make_node("Relu", ["h"], ["a"]),
            helper.make_node("Conv", ["a", "w2", "b2"], ["y"]),
        ]
        made.append(graph_of(nodes, stored, ["y"], size=(1, 3, 32, 32)))
    return tuple(made)
