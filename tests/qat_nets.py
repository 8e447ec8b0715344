"""A tiny network with what int8 finds hard (depthwise, SiLU, a clamp), and its plan."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import helper
from training_nets import graph_of

from edgecv_cli.compress.quantization.grids import tensors_of
from edgecv_cli.compress.quantization.observe import observe
from edgecv_cli.compress.quantization.placement import place
from edgecv_cli.compress.quantization.propose import propose
from edgecv_cli.compress.quantization.recipe import Recipe
from edgecv_cli.compress.quantization.targets import TargetRules
from edgecv_cli.core.context import Context
from edgecv_cli.graph.io import content_digest

SIZE = (1, 3, 32, 32)


def small(seed=0, uneven=1.0):
    """Return a network with the head ``h``; its depthwise channels differ by ``uneven``."""
    rng = np.random.default_rng(seed)

    def drawn(*shape):
        return rng.normal(0, 0.5, shape).astype(np.float32)

    spread = np.geomspace(1, uneven, 8, dtype=np.float32).reshape(8, 1, 1, 1)
    stored = {
        "w1": drawn(8, 3, 3, 3), "b1": drawn(8), "wd": drawn(8, 1, 3, 3) * spread,
        "w2": drawn(6, 8, 1, 1) / spread.reshape(1, 8, 1, 1), "b2": drawn(6),
        "low": np.float32(0), "high": np.float32(6), "two": np.float32(2),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c"], pads=[1] * 4, strides=[2, 2]),
        node("Sigmoid", ["c"], ["g"]),
        node("Mul", ["c", "g"], ["a"]),
        node("MaxPool", ["a"], ["m"], kernel_shape=[3, 3], pads=[1] * 4),
        node("Conv", ["m", "wd"], ["d"], pads=[1] * 4, group=8),
        node("Clip", ["d", "low", "high"], ["r"]),
        node("Conv", ["r", "w2", "b2"], ["h"]),
        node("Mul", ["h", "two"], ["y"]),
        node("Abs", ["x"], ["z"]),
    ]
    return graph_of(nodes, stored, ["y", "z"], size=SIZE)


def pictures(count=4, seed=3):
    return [np.random.default_rng(seed + i).random(SIZE, np.float32) for i in range(count)]


def opened(data):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda feed: session.run(None, {name: feed})


def planned(topology, *, correction=False, rules=None):
    """Return the plan that puts every op onto a grid; its sums saturate on no machine."""
    tensors = tensors_of(topology, place(topology, "all").nodes)
    seen = observe(topology, pictures(), tensors=tensors, open_model=opened, context=Context())
    return propose(
        topology,
        seen,
        Recipe("all", "minmax", correction),
        rules or TargetRules("cpu-x86", 16, here=True),
        source=content_digest(topology.model),
        input_size=None,
    )


def head_of(model: onnx.ModelProto, name: str):
    """Return what an integer model's readers of a tensor read of it."""
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] == name:
            back = next(one for one in model.graph.node if one.input[:1] == node.output[:1])
            return back.output[0]
    return name
