"""The decode tail: from the last weighted ops to the outputs; found, cut off and probed.

Up from the graph's outputs to the first Conv, ConvTranspose, Gemm or MatMul with a constant
operand: those are the heads. What stands between is decoding (grid adds, exp, sigmoid, the
softmax of distribution focal loss, the concat of boxes with scores). A convolution that only
sums a distribution with the weights 0, 1, 2, ... is decoding too (Li et al. 2020, Generalized
Focal Loss: the expectation over bins).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgecv_cli.graph.evaluate import BoundedEvaluator
from edgecv_cli.graph.facts import TailProbe
from edgecv_cli.graph.shapes import Shape

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
INTEGER_WEIGHTED = frozenset({"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"})
_SELECTING = frozenset({"NonMaxSuppression", "TopK", "NonZero", "Loop", "If", "Scan"})
_PASSING = frozenset({"DequantizeLinear", "Identity", "Cast", "QuantizeLinear"})
_HIGH = 8.0
_MAX_BINS = 64
_MAX_TAIL_ELEMENTS = 64_000_000
Array = NDArray[Any]


@dataclass(frozen=True)
class Tail:
    """Names of the tail's nodes' outputs, its heads, and the weighted ops that feed it.

    Attributes:
        heads: output tensors of the last weighted ops, in graph order.
        nodes: the nodes between heads and outputs, in graph order.
        shapes_of: tensors that the tail asks only for their shape.
    """

    heads: tuple[str, ...]
    nodes: tuple[onnx.NodeProto, ...]
    shapes_of: tuple[str, ...]


class Constants:
    """Every tensor of a graph whose value is stored in it, by name, decoded on demand."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._stored = {tensor.name: tensor for tensor in graph.initializer}
        self._producers = {name: node for node in graph.node for name in node.output}

    def is_constant(self, name: str) -> bool:
        """Whether the value is an initializer, a Constant, or a dequantized one of them."""
        while name not in self._stored:
            node = self._producers.get(name)
            if node is None or node.op_type not in _PASSING:
                return node is not None and node.op_type == "Constant"
            name = node.input[0]
        return True

    def tensor(self, name: str) -> onnx.TensorProto | None:
        """Return the stored tensor of an initializer or Constant node."""
        found: onnx.TensorProto | None = self._stored.get(name)
        node = self._producers.get(name)
        if found is None and node is not None and node.op_type == "Constant":
            values = [attribute.t for attribute in node.attribute if attribute.name == "value"]
            found = values[0] if values else None
        return found

    def value(self, name: str) -> Array | None:
        """Return the stored value as an array, or None."""
        tensor = self.tensor(name)
        return None if tensor is None else numpy_helper.to_array(tensor)


def find_tail(graph: onnx.GraphProto) -> Tail:
    """Walk up from the outputs to the last weighted ops."""
    constants = Constants(graph)
    producers = {name: node for node in graph.node for name in node.output if name}
    heads: set[str] = set()
    inside: set[str] = set()
    shapes_of: set[str] = set()
    pending = [output.name for output in graph.output]
    while pending:
        name = pending.pop()
        node = producers.get(name)
        if node is None or node.output[0] in inside:
            continue
        if is_head(node, constants):
            heads.add(name)
            continue
        inside.add(node.output[0])
        if node.op_type == "Shape":
            shapes_of.add(node.input[0])
        else:
            pending.extend(part for part in node.input if part)
    order = [name for node in graph.node for name in node.output if name in heads]
    nodes = tuple(node for node in graph.node if node.output[0] in inside)
    return Tail(tuple(order), nodes, tuple(sorted(shapes_of)))


def is_head(node: onnx.NodeProto, constants: Constants) -> bool:
    """Whether a node is a layer with learned weights."""
    if node.op_type in INTEGER_WEIGHTED:
        return True
    if node.op_type not in WEIGHTED or len(node.input) < 2:
        return False
    weights = [name for name in node.input[:2] if constants.is_constant(name)]
    return bool(weights) and not _is_expectation(constants.value(weights[-1]))


def _is_expectation(weights: Array | None) -> bool:
    """Whether weights are 0, 1, 2, ... up to a scale: the expectation over DFL bins."""
    if weights is None or not 2 <= weights.size <= _MAX_BINS:
        return False
    if max(weights.shape) != weights.size:
        return False
    flat = weights.astype(np.float64).ravel()
    ramp = np.arange(flat.size) * (flat[-1] / (flat.size - 1))
    return bool(flat[-1] > 0 and np.abs(flat - ramp).max() <= 0.02 * flat[-1])


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
    sizes = {name: _static(shapes[name]) for name in tail.heads}
    try:
        names = [value.name for value in graph.output]
        cut = _cut(graph, tail, opset, shapes)
        evaluate = BoundedEvaluator(cut, names, _MAX_TAIL_ELEMENTS)
        return _probe(evaluate, sizes), None
    except Exception as error:  # noqa: BLE001 - the evaluator raises anything; reported as such
        return None, f"the decode tail could not be run alone ({type(error).__name__}: {error})"


def _static(shape: Shape) -> tuple[int, ...]:
    return tuple(size if size is not None else 1 for size in shape)


def _not_probable(tail: Tail, graph: onnx.GraphProto, shapes: dict[str, Shape]) -> str | None:
    if not tail.heads:
        return "no layer with constant weights stands above the outputs"
    selecting = sorted({node.op_type for node in tail.nodes} & _SELECTING)
    if selecting:
        return f"the graph selects boxes itself ({', '.join(selecting)})"
    fed = {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
    used = {name for node in tail.nodes for name in node.input} & fed
    if used:
        return f"decoding reads the graph's input {sorted(used)}"
    for name in (*tail.heads, *tail.shapes_of):
        shape = shapes.get(name)
        if shape is None or any(size is None for size in shape[1:]):
            return "its sizes are open: give --input-size HxW"
    made = [name for node in tail.nodes for name in node.output if name in shapes]
    sizes = [math.prod(_static(shapes[name])) for name in (*tail.heads, *made)]
    return "decoding is too large to probe" if sum(sizes) > _MAX_TAIL_ELEMENTS else None


def _cut(
    graph: onnx.GraphProto,
    tail: Tail,
    opset: list[onnx.OperatorSetIdProto],
    shapes: dict[str, Shape],
) -> onnx.ModelProto:
    """Build a model of the tail alone."""
    constants = Constants(graph)
    nodes = [_plain(node, constants, shapes) for node in tail.nodes]
    used = {name for node in nodes for name in node.input}
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, _static(shapes[name]))
        for name in tail.heads
    ]
    outputs = [onnx.helper.make_empty_tensor_value_info(value.name) for value in graph.output]
    stored = [tensor for tensor in graph.initializer if tensor.name in used]
    part = onnx.helper.make_graph(nodes, "tail", inputs, outputs, stored)
    return onnx.helper.make_model(part, opset_imports=opset, ir_version=8)


def _plain(node: onnx.NodeProto, constants: Constants, shapes: dict[str, Shape]) -> onnx.NodeProto:
    """Return what a node means to the layout.

    Shape nodes become the constants that they are. Quantizing is passed by, for a grid that fits
    real activations would clip the probe's values; a stored integer becomes its real number.
    """
    output = list(node.output)
    if node.op_type == "Shape":
        start, end = _shape_range(node, len(shapes[node.input[0]]))
        value = np.asarray(_static(shapes[node.input[0]])[start:end], np.int64)
        tensor = numpy_helper.from_array(value)
        return onnx.helper.make_node("Constant", [], output, value=tensor)
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


def _probe(evaluate: BoundedEvaluator, sizes: dict[str, tuple[int, ...]]) -> TailProbe:
    def all_at(level: float) -> dict[str, Array]:
        return {name: np.full(shape, level, np.float32) for name, shape in sizes.items()}

    rest = evaluate(all_at(0.0))
    touched: dict[str, dict[str, NDArray[np.bool_]]] = {}
    for index, (name, shape) in enumerate(sizes.items()):
        noise = np.random.default_rng(index).normal(0, 1, shape).astype(np.float32)
        moved = evaluate({**all_at(0.0), name: noise})
        touched[name] = {key: moved[key] != value for key, value in rest.items()}
    return TailProbe(
        heads=sizes,
        rest=rest,
        high=evaluate(all_at(_HIGH)),
        low=evaluate(all_at(-_HIGH)),
        touched=touched,
    )
