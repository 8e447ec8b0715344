"""Read a graph's facts: interface, size, precision, cost, decode tail."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import onnx

from edgecv_cli.core.tensors import Shape, TensorSpec, is_nhwc
from edgecv_cli.graph.closing import close_shapes
from edgecv_cli.graph.facts import GraphFacts
from edgecv_cli.graph.io import read_metadata
from edgecv_cli.graph.probe import OPEN_SIZES, probe_tail
from edgecv_cli.graph.shapes import (
    fixed,
    graph_inputs,
    image_input,
    infer_shapes,
    value_shape,
)
from edgecv_cli.graph.tail import INTEGER_WEIGHTED, Constants, find_tail, is_head

_WEIGHT_TYPES = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.INT8,
    onnx.TensorProto.UINT8,
    onnx.TensorProto.INT32,
}
_QDQ = {"QuantizeLinear", "DequantizeLinear"}


def read_facts(model: onnx.ModelProto, *, input_size: tuple[int, int] | None = None) -> GraphFacts:
    """Look at a model structurally; nothing is decided by a node's or tensor's name.

    Args:
        model: a model from :func:`edgecv_cli.graph.io.load_model`; it is not changed.
        input_size: [height, width] for a graph that takes any size.

    Raises:
        UsageError: ``input_size`` contradicts the graph.
        ModelError: shapes contradict each other.
    """
    concrete = fixed(model, input_size)
    shapes = infer_shapes(concrete)
    probe, problem = probe_tail(concrete.graph, list(concrete.opset_import), shapes)
    if problem == OPEN_SIZES and _input_size(concrete) is not None:
        shapes |= close_shapes(concrete)
        probe, problem = probe_tail(concrete.graph, list(concrete.opset_import), shapes)
        if problem == OPEN_SIZES:
            problem = _unknown_sizes(concrete.graph)
    return GraphFacts(
        inputs=tuple(_spec(value, shapes) for value in graph_inputs(model)),
        outputs=tuple(_spec(value, shapes) for value in concrete.graph.output),
        input_size=_input_size(concrete),
        opset=opset_of(model),
        precision=_precision(model.graph),
        parameters=_parameters(concrete.graph),
        macs=_per_image(count_macs(concrete.graph, shapes), concrete),
        op_counts=dict(Counter(node.op_type for node in model.graph.node)),
        metadata=read_metadata(model),
        tail=probe,
        tail_problem=problem,
    )


def _unknown_sizes(graph: onnx.GraphProto) -> str:
    """Say why sizes stay open although the image's is known."""
    foreign = sorted({node.op_type for node in graph.node if node.domain not in ("", "ai.onnx")})
    because = f" ({', '.join(foreign)} are not of ONNX)" if foreign else ""
    return f"the sizes of tensors depend on what they hold, or can't be inferred{because}"


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of the default operator set."""
    return max(
        (int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")),
        default=0,
    )


def node_macs(node: onnx.NodeProto, shapes: dict[str, Shape]) -> int | None:
    """Return the multiply-accumulates of one weighted op, or None where a shape is open."""
    weight_index = 3 if node.op_type.startswith("QLinear") else 1
    weight = shapes.get(node.input[weight_index])
    output = shapes.get(node.output[0])
    data = shapes.get(node.input[0])
    if weight is None or output is None or data is None or None in output or None in weight:
        return None
    sizes = [size for size in weight if size is not None]
    elements = math.prod(size for size in output if size is not None)
    if node.op_type in {"Conv", "QLinearConv", "ConvInteger"}:
        return elements * math.prod(sizes[1:])
    if node.op_type == "ConvTranspose":
        known = [size for size in data if size is not None]
        return math.prod(known) * math.prod(sizes[1:]) if len(known) == len(data) else None
    inner = data[-1]
    return None if inner is None else elements * inner


def _per_image(macs: int | None, model: onnx.ModelProto) -> int | None:
    """Share the multiply-accumulates of a run out over the images of a fixed batch."""
    value = image_input(model)
    batch = None if value is None else (value_shape(value) or (None,))[0]
    return None if macs is None else macs // (batch or 1)


def count_macs(graph: onnx.GraphProto, shapes: dict[str, Shape]) -> int | None:
    """Return multiply-accumulates of one run in all weighted ops, or None if any is open."""
    constants = Constants(graph)
    total = 0
    for node in graph.node:
        if is_head(node, constants):
            macs = node_macs(node, shapes)
            if macs is None:
                return None
            total += macs
    return total


def input_specs(model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """Return the inputs that a caller must feed, as declared."""
    return tuple(_spec(value, {}) for value in graph_inputs(model))


def _spec(value: onnx.ValueInfoProto, shapes: dict[str, Shape]) -> TensorSpec:
    declared = value_shape(value) or ()
    shape = shapes.get(value.name, declared)
    element = value.type.tensor_type.elem_type
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(element)).name
    except KeyError:
        dtype = "unknown"
    return TensorSpec(value.name, declared if None in shape and declared else shape, dtype)


def _input_size(model: onnx.ModelProto) -> tuple[int, int] | None:
    value = image_input(model)
    shape = None if value is None else value_shape(value)
    if shape is None:
        return None
    height, width = (shape[1], shape[2]) if is_nhwc(shape) else (shape[2], shape[3])
    return None if height is None or width is None else (height, width)


def _precision(graph: onnx.GraphProto) -> str:
    constants = Constants(graph)
    producers = {name: node for node in graph.node for name in node.output}
    layers = [node for node in graph.node if is_head(node, constants)]

    def is_integer(node: onnx.NodeProto) -> bool:
        if node.op_type in INTEGER_WEIGHTED:
            return True
        sources = [producers.get(name) for name in node.input[:2]]
        return all(source is not None and source.op_type in _QDQ for source in sources)

    integer = sum(is_integer(node) for node in layers)
    if integer:
        return "int8" if integer == len(layers) else "mixed"
    weights = [constants.tensor(node.input[1]) for node in layers]
    halves = [t for t in weights if t is not None and t.data_type == onnx.TensorProto.FLOAT16]
    return "fp16" if halves and len(halves) == len(layers) else "fp32"


def _parameters(graph: onnx.GraphProto) -> int:
    """Count learned weights: stored tensors that layers read, without scales and decoding."""
    decoding = {node.output[0] for node in find_tail(graph).nodes}
    used: set[str] = set()
    for node in graph.node:
        if node.output[0] in decoding:
            continue
        names = node.input[:1] if node.op_type in _QDQ else node.input
        used.update(names)
    constants = Constants(graph)
    total = 0
    for name in sorted(used):
        tensor = constants.tensor(name)
        if tensor is not None and tensor.data_type in _WEIGHT_TYPES and len(tensor.dims) > 0:
            total += math.prod(tensor.dims)
    return total
