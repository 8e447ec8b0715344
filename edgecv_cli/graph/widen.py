"""Half precision made float32: every stored tensor, cast and declared type of a graph."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import numpy_helper

HALF, SINGLE = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
_TYPED = ("to", "dtype")  # attributes that name an element type: Cast, EyeLike, RandomNormal, ...


def holds_half(model: onnx.ModelProto) -> bool:
    """Whether a float16 tensor is stored, declared or cast to anywhere in a model."""
    graphs = list(_graphs(model.graph))
    return any(tensor.data_type == HALF for graph in graphs for tensor in _tensors(graph)) or any(
        kind.elem_type == HALF for graph in graphs for kind in _declared(graph)
    )


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that computes in float32 what the model computes in float16.

    Stored numbers stay the same numbers; inputs and outputs become float32 as well.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for graph in _graphs(copy.graph):
        for tensor in _tensors(graph):
            if tensor.data_type == HALF:
                wide = numpy_helper.to_array(tensor).astype(np.float32)
                tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
        for kind in _declared(graph):
            if kind.elem_type == HALF:
                kind.elem_type = SINGLE
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.name in _TYPED and attribute.i == HALF:
                    attribute.i = SINGLE
    return copy


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _declared(graph: onnx.GraphProto) -> Iterator[onnx.TypeProto.Tensor]:
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.HasField("tensor_type"):
            yield value.type.tensor_type
