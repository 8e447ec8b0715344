"""What a graph claims of itself, held against what native libraries survive.

ONNX's checker accepts sizes, strides and slice steps that its own shape inference, its
simplifier and its reference evaluator then compute with, unchecked: a stride of 0 divides by
zero, a step of 2^31 - 1 overflows a C++ int and reads out of bounds, a padding of 2^31 makes a
tensor of gigabytes. All that happens below Python, where no exception can report it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import numpy_helper

_MAX_SIDE = 2**31 - 1
_MAX_STEP = 2**30
_WINDOW = {"strides", "dilations", "kernel_shape"}
_MAX_WINDOW = 65_536


def wrong_claim(model: onnx.ModelProto) -> str | None:
    """Return what a graph claims that can't be, or None.

    Sizes of -1, which some exporters write for an open axis, become open axes in ``model``.
    """
    for graph in graphs(model.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            found = _wrong_shape(value)
            if found is not None:
                return found
        steps = _slice_steps(graph)
        for node in graph.node:
            found = _wrong_window(node) or _wrong_step(node, steps)
            if found is not None:
                return found
    return None


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and every graph inside its nodes' attributes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            inner = [attribute.g] if attribute.HasField("g") else []
            for part in (*inner, *attribute.graphs):
                yield from graphs(part)


def tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor stored in a graph: initializers and attributes, subgraphs too."""
    for part in graphs(graph):
        yield from part.initializer
        for sparse in part.sparse_initializer:
            yield sparse.values
            yield sparse.indices
        for node in part.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors


def _wrong_shape(value: onnx.ValueInfoProto) -> str | None:
    for dim in value.type.tensor_type.shape.dim:
        if dim.dim_value == -1:
            dim.ClearField("dim_value")
        elif not 0 <= dim.dim_value <= _MAX_SIDE:
            return f"tensor '{value.name}' claims an axis of {dim.dim_value} elements"
    return None


def _wrong_window(node: onnx.NodeProto) -> str | None:
    for attribute in node.attribute:
        low, high = 0, _MAX_WINDOW
        if attribute.name in _WINDOW:
            low = 1
        elif attribute.name == "pads":
            low = -_MAX_WINDOW
        elif attribute.name == "group":
            if attribute.i < 1:
                return f"{node.op_type} '{_label(node)}' claims {attribute.i} groups"
            continue
        else:
            continue
        if any(not low <= number <= high for number in attribute.ints):
            return f"{node.op_type} '{_label(node)}' claims {attribute.name} {[*attribute.ints]}"
    return None


def _slice_steps(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Return the stored tensors that slices take as steps."""
    names = {node.input[4] for node in graph.node if len(node.input) > 4 and _is_slice(node)}
    found = {tensor.name: tensor for tensor in graph.initializer if tensor.name in names}
    for node in graph.node:
        if node.op_type == "Constant" and node.output and node.output[0] in names:
            for attribute in node.attribute:
                if attribute.name == "value":
                    found[node.output[0]] = attribute.t
    return found


def _wrong_step(node: onnx.NodeProto, steps: dict[str, onnx.TensorProto]) -> str | None:
    if not _is_slice(node) or len(node.input) < 5 or node.input[4] not in steps:
        return None
    tensor = steps[node.input[4]]
    if math.prod(tensor.dims) > 64 or tensor.data_type not in (
        onnx.TensorProto.INT32,
        onnx.TensorProto.INT64,
    ):
        return f"Slice '{_label(node)}' has no usable steps"
    values = np.asarray(numpy_helper.to_array(tensor), np.int64).ravel()
    if np.any(values == 0) or np.any(values > _MAX_STEP) or np.any(values < -_MAX_STEP):
        return f"Slice '{_label(node)}' claims steps {values.tolist()}"
    return None


def _is_slice(node: onnx.NodeProto) -> bool:
    return bool(node.op_type == "Slice")


def _label(node: onnx.NodeProto) -> str:
    return node.output[0] if node.output else node.name
