"""The decode tail, cut off and run alone on chosen values of its heads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgecv_cli.core.tensors import Shape
from edgecv_cli.graph.evaluate import BoundedEvaluator
from edgecv_cli.graph.facts import TailProbe
from edgecv_cli.graph.shapes import value_shape
from edgecv_cli.graph.tail import Constants, Tail, find_tail
from edgecv_cli.graph.widen import HALF, widened

OPEN_SIZES = "its sizes are open: give --input-size HxW"
_STEERED = frozenset({"Loop", "If", "Scan"})
_CHOSEN = 8
_HIGH = 8.0
_MAX_TAIL_ELEMENTS = 64_000_000
Array = NDArray[Any]


def probe_tail(
    graph: onnx.GraphProto, opset: list[onnx.OperatorSetIdProto], shapes: dict[str, Shape]
) -> tuple[TailProbe | None, str | None]:
    """Run the tail alone on chosen head values; returns the probe, or None and the reason.

    The reference evaluator of onnx runs it: no engine, no generated code, small tensors.
    """
    tail = find_tail(graph)
    problem = _not_probable(tail, graph, shapes)
    if problem is not None:
        return None, problem
    sizes = {name: _static(shapes[tail.biased.get(name, name)]) for name in tail.heads}
    try:
        names = [value.name for value in graph.output]
        # what is fed is float32: a tail in float16 would not take it, and says nothing more
        cut = widened(_cut(graph, tail, opset, shapes))
        evaluate = BoundedEvaluator(cut, names, _MAX_TAIL_ELEMENTS)
        probe = _Probing(evaluate, tail, sizes, _numbers(graph, tail))
        return probe.run(_biases(graph, tail)), None
    except Exception as error:  # noqa: BLE001 - the evaluator raises anything; reported as such
        return None, f"the decode tail could not be run alone ({type(error).__name__}: {error})"


def _static(shape: Shape) -> tuple[int, ...]:
    return tuple(size if size is not None else 1 for size in shape)


def _not_probable(tail: Tail, graph: onnx.GraphProto, shapes: dict[str, Shape]) -> str | None:
    if not tail.heads:
        return "no layer with constant weights stands above the outputs"
    steered = sorted({node.op_type for node in tail.nodes} & _STEERED)
    if steered:
        return f"the graph selects boxes itself ({', '.join(steered)})"
    read = {name for node in tail.nodes if node.op_type != "Shape" for name in node.input}
    pixels = sorted(read & _images(graph))
    if pixels:
        return f"decoding reads the graph's input {pixels}"
    made_inside = _made_inside(tail)
    for name in (*tail.heads, *(set(tail.shapes_of) - made_inside)):
        shape = shapes.get(name)
        # an open first axis is the batch's, but for a row of numbers it is their count
        if shape is None or None in shape[1:] or shape == (None,):
            return OPEN_SIZES
    made = [name for node in tail.nodes for name in node.output if name in shapes]
    sizes = [math.prod(_static(shapes[name])) for name in (*tail.heads, *made)]
    return "decoding is too large to probe" if sum(sizes) > _MAX_TAIL_ELEMENTS else None


def _made_inside(tail: Tail) -> set[str]:
    """Return what is there when the tail runs alone: its nodes' outputs, and what it is fed."""
    made = {name for node in tail.nodes for name in node.output}
    return made | set(tail.heads) - set(tail.biased)


def _cut(
    graph: onnx.GraphProto,
    tail: Tail,
    opset: list[onnx.OperatorSetIdProto],
    shapes: dict[str, Shape],
) -> onnx.ModelProto:
    """Build a model of the tail alone."""
    constants = Constants(graph)
    own = set(tail.biased.values())
    kept = [node for node in tail.nodes if node.output[0] not in own]
    inside = _made_inside(tail)
    closed = {
        name: shape for name, shape in shapes.items() if None not in shape or name not in inside
    }
    nodes = [_plain(node, constants, closed) for node in kept]
    used = {name for node in nodes for name in node.input}
    fed = [tail.biased.get(name, name) for name in tail.heads]
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, _static(shapes[name]))
        for name in fed
    ]
    inputs += [value for value in _fed_inputs(graph) if value.name in used - set(fed)]
    outputs = [onnx.helper.make_empty_tensor_value_info(value.name) for value in graph.output]
    stored = [tensor for tensor in graph.initializer if tensor.name in used]
    part = onnx.helper.make_graph(nodes, "tail", inputs, outputs, stored)
    return onnx.helper.make_model(part, opset_imports=opset, ir_version=8)


def _plain(node: onnx.NodeProto, constants: Constants, shapes: dict[str, Shape]) -> onnx.NodeProto:
    """Return what a node means to the layout.

    Shape nodes become the constants that they are; where inference left a size open, they are
    asked when the tail runs. Quantizing is passed by, for a grid that fits
    real activations would clip the probe's values; a stored integer becomes its real number. What
    suppression would choose does not matter either: it takes the first few.
    """
    output = list(node.output)
    if node.op_type == "Shape" and node.input[0] in shapes:
        start, end = _shape_range(node, len(shapes[node.input[0]]))
        value = np.asarray(_static(shapes[node.input[0]])[start:end], np.int64)
        tensor = numpy_helper.from_array(value)
        return onnx.helper.make_node("Constant", [], output, value=tensor)
    if node.op_type == "NonMaxSuppression":
        tensor = numpy_helper.from_array(_chosen(node, shapes))
        return onnx.helper.make_node("Constant", [], output[:1], value=tensor)
    if node.op_type == "DequantizeLinear":
        stored = _dequantized(node, constants)
        if stored is not None:
            tensor = numpy_helper.from_array(stored)
            return onnx.helper.make_node("Constant", [], output, value=tensor)
    if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
        return onnx.helper.make_node("Identity", [node.input[0]], output)
    return node


def _dequantized(node: onnx.NodeProto, constants: Constants) -> NDArray[np.float32] | None:
    """Return the real values of a stored integer tensor (ONNX DequantizeLinear), or None."""
    parts = [constants.value(name) for name in node.input]
    if any(part is None for part in parts):
        return None
    integers, scale, *zeros = [np.asarray(part) for part in parts]
    zero = zeros[0] if zeros else np.zeros_like(scale, integers.dtype)
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    if scale.ndim == 1 and scale.size > 1:
        shape = [1] * integers.ndim
        shape[axis] = scale.size
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    real: NDArray[np.float32] = (integers.astype(np.float64) - zero) * scale
    return real.astype(np.float32)


def _shape_range(node: onnx.NodeProto, rank: int) -> tuple[int, int]:
    given = {attribute.name: attribute.i for attribute in node.attribute}
    return int(given.get("start", 0)), int(given.get("end", rank))


def _chosen(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> NDArray[np.int64]:
    """Return a choice of boxes [n, 3] as NonMaxSuppression gives it: image, class, box."""
    scores = shapes.get(node.input[1], ())
    known = len(scores) == 3 and None not in scores
    classes, boxes = (int(scores[1] or 1), int(scores[2] or 1)) if known else (1, _CHOSEN)
    rows = np.arange(min(_CHOSEN, boxes))
    return np.stack([np.zeros_like(rows), rows % classes, rows], axis=1).astype(np.int64)


def _images(graph: onnx.GraphProto) -> set[str]:
    return {value.name for value in _fed_inputs(graph) if len(value_shape(value) or ()) > 2}


def _fed_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs that a caller must feed."""
    stored = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in stored]


def _numbers(graph: onnx.GraphProto, tail: Tail) -> dict[str, Array]:
    """Return ones for every small input that decoding reads, such as the picture's size."""
    read = {name for node in tail.nodes for name in node.input}
    return {
        value.name: np.ones(_static(value_shape(value) or ()), _wide_type(value))
        for value in _fed_inputs(graph)
        if value.name in read and value.name not in _images(graph)
    }


def _wide_type(value: onnx.ValueInfoProto) -> Any:
    element = value.type.tensor_type.elem_type
    return np.float32 if element == HALF else onnx.helper.tensor_dtype_to_np_dtype(element)


def _biases(graph: onnx.GraphProto, tail: Tail) -> dict[str, Array]:
    """Return the stored bias of every head that has one, by the head's name."""
    constants = Constants(graph)
    producers = {name: node for node in graph.node for name in node.output if name}
    found: dict[str, Array] = {}
    for name in tail.heads:
        node = producers[name]
        if name in tail.biased:
            sources = list(producers[tail.biased[name]].input)
        elif node.op_type in {"Conv", "ConvTranspose", "Gemm"}:
            sources = list(node.input[2:3])
        else:
            sources = list(node.input) if node.op_type == "Add" else []
        values = [_stored_value(source, producers, constants) for source in sources]
        known = [value for value in values if value is not None and value.ndim == 1]
        if known:
            found[name] = known[0].astype(np.float64)
    return found


def _stored_value(
    name: str, producers: Mapping[str, onnx.NodeProto], constants: Constants
) -> Array | None:
    """Return the real value of what is stored, perhaps as integers or under other names."""
    node = producers.get(name)
    while node is not None and node.op_type in {"QuantizeLinear", "DequantizeLinear", "Identity"}:
        value = _dequantized(node, constants) if node.op_type == "DequantizeLinear" else None
        if value is not None:
            return value
        name = node.input[0]
        node = producers.get(name)
    return constants.value(name)


class _Probing:
    """Runs the tail on chosen values."""

    def __init__(
        self,
        evaluate: BoundedEvaluator,
        tail: Tail,
        sizes: Mapping[str, tuple[int, ...]],
        numbers: Mapping[str, Array],
    ) -> None:
        self._evaluate = evaluate
        self._fed = {name: tail.biased.get(name, name) for name in sizes}
        self._sizes = sizes
        self._numbers = numbers

    def run(self, bias: Mapping[str, Array]) -> TailProbe:
        rest = self._at(0.0)
        touched: dict[str, dict[str, NDArray[np.bool_]]] = {}
        for index, name in enumerate(self._sizes):
            moved = self._at(0.0, {name: self._noise(index, name)})
            touched[name] = {key: _moved(moved[key], value) for key, value in rest.items()}
        noise = {name: self._noise(index, name) for index, name in enumerate(self._sizes)}
        return TailProbe(
            heads=dict(self._sizes),
            rest=rest,
            high=self._at(_HIGH),
            low=self._at(-_HIGH),
            touched=touched,
            noise=self._at(0.0, noise),
            doubled={name: self._doubled(name) for name in self._numbers},
            bias=dict(bias),
        )

    def _noise(self, index: int, name: str) -> Array:
        noise = np.random.default_rng(index).normal(0, 1, self._sizes[name])
        return noise.astype(np.float32)

    def _at(self, level: float, changed: Mapping[str, Array] | None = None) -> dict[str, Array]:
        feeds: dict[str, Array] = dict(self._numbers)
        for name, shape in self._sizes.items():
            value = (changed or {}).get(name)
            feeds[self._fed[name]] = np.full(shape, level, np.float32) if value is None else value
        return self._evaluate(feeds)

    def _doubled(self, name: str) -> dict[str, Array]:
        """Return the outputs at rest with the first number of a small input doubled."""
        ones = self._numbers[name]
        twice = ones.copy()
        twice.reshape(-1)[:1] = 2
        self._numbers = {**self._numbers, name: twice}
        try:
            return self._at(0.0)
        finally:
            self._numbers = {**self._numbers, name: ones}


def _moved(values: Array, rest: Array) -> NDArray[np.bool_]:
    """Return what differs; all of it where a selection gave another number of rows."""
    if values.shape != rest.shape:
        return np.ones(rest.shape, np.bool_)
    moved: NDArray[np.bool_] = values != rest
    return moved
