"""Tiny networks of one quantized layer, in the forms that engines have kernels for, and others."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SHAPE = (1, 3, 8, 8)


def _value(name: str, shape: tuple[int | None, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _model(
    nodes: list[onnx.NodeProto], stored: dict[str, np.ndarray], shape: tuple[int, ...]
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()]
    output = _value("y", tuple(None for _ in shape))
    graph = helper.make_graph(nodes, "quantized", [_value("images", shape)], [output], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def quantized_layer(
    kind: str = "Conv",
    *,
    bits: int = 8,
    name: str = "layer",
    data: bool = True,
    clamped: bool = False,
) -> onnx.ModelProto:
    """A layer between QuantizeLinear and DequantizeLinear.

    Args:
        kind: Conv (``images`` [1, 3, 8, 8]) or MatMul ([4, 16]).
        bits: of the activations; 16 have no integer kernel on a processor.
        name: of the layer's node.
        data: whether the layer's data is quantized too, and not its weights alone.
        clamped: put a Relu behind it that cuts off part of the grid: ONNX Runtime has no integer
            kernel for the two.
    """
    rng = np.random.default_rng(0)
    shape, weights = (SHAPE, (4, 3, 3, 3)) if kind == "Conv" else ((4, 16), (16, 8))
    stored = {
        "s": np.float32(0.01),
        "z": np.uint16(100) if bits == 16 else np.uint8(100),
        "w": rng.integers(-60, 60, weights).astype(np.int8),
        "ws": np.float32(0.02),
        "wz": np.int8(0),
    }
    weight = helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], name="dw")
    if not data:
        layer = helper.make_node(kind, ["images", "wd"], ["y"], name=name)
        return _model([weight, layer], stored, shape)
    nodes = [
        helper.make_node("QuantizeLinear", ["images", "s", "z"], ["q"], name="q1"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], name="d1"),
        weight,
        helper.make_node(kind, ["d", "wd"], ["c"], name=name),
        helper.make_node("Relu" if clamped else "Identity", ["c"], ["r"], name="between"),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], ["rq"], name="q2"),
        helper.make_node("DequantizeLinear", ["rq", "s", "z"], ["y"], name="d2"),
    ]
    return _model(nodes, stored, shape)
