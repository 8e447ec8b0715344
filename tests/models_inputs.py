"""Any float32 NCHW test detector, made to take something else by surgery at its front."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_TYPES = {
    "float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8,
}  # fmt: skip
_NOT_HALVED = {"Resize": (1, 2)}  # operands that stay float32 by ONNX


def fed_with(
    model: onnx.ModelProto,
    dtype: str = "float32",
    layout: str = "nchw",
    *,
    scale: float = 1.0,
    flipped: bool = False,
    name: str = "pixels",
) -> onnx.ModelProto:
    """A copy whose input is of another type and layout, and perhaps of the other colour order.

    A uint8 input is divided by `scale` inside the graph.
    """
    copy = _copied(model)
    graph = copy.graph
    image = graph.input[0]
    batch, channels, height, width = (_dim(dim) for dim in image.type.tensor_type.shape.dim)
    steps: list[tuple[str, list[str], dict[str, object]]] = []
    if dtype != "float32":
        steps.append(("Cast", [], {"to": TensorProto.FLOAT}))
    if dtype == "uint8":
        graph.initializer.append(numpy_helper.from_array(np.float32(scale), "front_scale"))
        steps.append(("Div", ["front_scale"], {}))
    if layout == "nhwc":
        steps.append(("Transpose", [], {"perm": [0, 3, 1, 2]}))
    if flipped:
        order = numpy_helper.from_array(np.array([2, 1, 0], np.int64), "front_order")
        graph.initializer.append(order)
        steps.append(("Gather", ["front_order"], {"axis": 1}))
    _insert_front(graph, name, image.name, steps)
    sides = [height, width, channels] if layout == "nhwc" else [channels, height, width]
    given = helper.make_tensor_value_info(name, _TYPES[dtype], [batch, *sides])
    graph.input.remove(image)
    graph.input.insert(0, given)
    onnx.checker.check_model(copy, full_check=True)
    return copy


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that stores and computes everything in float16, inputs and outputs too."""
    copy = _copied(model)
    graph = copy.graph
    kept = {
        node.input[place]
        for node in graph.node
        for place in _NOT_HALVED.get(node.op_type, ())
        if place < len(node.input)
    }
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in kept:
            narrow = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(narrow, tensor.name))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    del graph.value_info[:]
    onnx.checker.check_model(copy, full_check=True)
    return copy


def batched(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """A copy of a fixed batch."""
    copy = _copied(model)
    for value in (*copy.graph.input, *copy.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del copy.graph.value_info[:]
    onnx.checker.check_model(copy, full_check=True)
    return copy


def with_size_input(
    model: onnx.ModelProto, name: str = "sizes", dtype: str = "float32"
) -> onnx.ModelProto:
    """A copy that also takes [1, 2] numbers, and sees nothing unless they are its input's size."""
    copy = _copied(model)
    graph = copy.graph
    image = graph.input[0]
    _, _, height, width = (_dim(dim) for dim in image.type.tensor_type.shape.dim)
    number = _TYPES.get(dtype, TensorProto.INT64)
    wanted = np.array([[height, width]], np.int64)
    graph.initializer.append(numpy_helper.from_array(wanted, "wanted"))
    nodes = [
        helper.make_node("Cast", [name], ["size_given"], to=TensorProto.INT64),
        helper.make_node("Equal", ["size_given", "wanted"], ["size_equal"]),
        helper.make_node("Cast", ["size_equal"], ["size_right"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMin", ["size_right"], ["size_all"], keepdims=0),
        helper.make_node("Mul", [image.name, "size_all"], ["image_seen"]),
    ]
    for node in graph.node:
        node.input[:] = ["image_seen" if part == image.name else part for part in node.input]
    for place, node in enumerate(nodes):
        graph.node.insert(place, node)
    graph.input.append(helper.make_tensor_value_info(name, number, [1, 2]))
    onnx.checker.check_model(copy, full_check=True)
    return copy


def _insert_front(
    graph: onnx.GraphProto,
    first: str,
    last: str,
    steps: Sequence[tuple[str, list[str], dict[str, object]]],
) -> None:
    """Chain unary steps from the new input to the tensor that the old one was."""
    steps = steps or [("Identity", [], {})]
    source = first
    for place, (kind, operands, attributes) in enumerate(steps):
        target = last if place == len(steps) - 1 else f"front_{place}"
        node = helper.make_node(kind, [source, *operands], [target], **attributes)
        graph.node.insert(place, node)
        source = target


def _copied(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _dim(dim: onnx.TensorShapeProto.Dimension) -> int | str:
    return dim.dim_param or dim.dim_value
