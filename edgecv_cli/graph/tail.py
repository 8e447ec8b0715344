"""The decode tail: from the last weighted ops to the outputs.

Up from the graph's outputs to the first Conv, ConvTranspose, Gemm or MatMul with a constant
operand: those are the heads. What stands between is decoding (grid adds, exp, sigmoid, the
softmax of distribution focal loss, the concat of boxes with scores). A convolution that only
sums a distribution with the weights 0, 1, 2, ... is decoding too (Li et al. 2020, Generalized
Focal Loss: the expectation over bins).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
INTEGER_WEIGHTED = frozenset({"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"})
_PASSING = frozenset({"DequantizeLinear", "Identity", "Cast", "QuantizeLinear"})
_MAX_BINS = 64
Array = NDArray[Any]


@dataclass(frozen=True)
class Tail:
    """Names of the tail's nodes' outputs, its heads, and the weighted ops that feed it.

    Attributes:
        heads: output tensors of the last weighted ops, in graph order.
        nodes: the nodes between heads and outputs, in graph order.
        shapes_of: tensors that the tail asks only for their shape.
        biased: outputs of the Adds that give a MatMul its bias, by the head they belong to.
    """

    heads: tuple[str, ...]
    nodes: tuple[onnx.NodeProto, ...]
    shapes_of: tuple[str, ...]
    biased: Mapping[str, str]


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
        """Return the stored tensor of an initializer or Constant node, also by other names."""
        found: onnx.TensorProto | None = self._stored.get(name)
        node = self._producers.get(name)
        # layers that share weights read them through Identity in torch's exports
        while found is None and node is not None and node.op_type == "Identity":
            found, node = self._stored.get(node.input[0]), self._producers.get(node.input[0])
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
    biased: dict[str, str] = {}
    pending = [output.name for output in graph.output]
    while pending:
        name = pending.pop()
        node = producers.get(name)
        if node is None or node.output[0] in inside:
            continue
        if (
            is_head(node, constants)
            or _normalises_head(node, producers, constants)
            or _completes_integer(node, producers, constants)
        ):
            heads.add(name)
            continue
        inside.add(node.output[0])
        product = _product_with_bias(node, producers, constants)
        if product is not None:
            biased[product] = node.output[0]
            heads.add(product)
        elif node.op_type == "Shape":
            shapes_of.add(node.input[0])
        else:
            pending.extend(part for part in node.input if part)
    order = [name for node in graph.node for name in node.output if name in heads]
    nodes = tuple(node for node in graph.node if node.output[0] in inside)
    return Tail(tuple(order), nodes, tuple(sorted(shapes_of)), biased)


def _product_with_bias(
    node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto], constants: Constants
) -> str | None:
    """Return the MatMul that an Add gives its bias: a linear layer, as transformers spell it."""
    if node.op_type != "Add":
        return None
    for added, stored in (node.input, node.input[::-1]):
        product, bias = (_unquantized(name, producers) for name in (added, stored))
        layer, value = producers.get(product), constants.value(bias)
        if layer is None or layer.op_type != "MatMul" or value is None or value.ndim != 1:
            continue
        weights = constants.value(_unquantized(layer.input[1], producers))
        if weights is not None and value.size == weights.shape[-1] and is_head(layer, constants):
            return product
    return None


def _unquantized(name: str, producers: Mapping[str, onnx.NodeProto]) -> str:
    """Return what a tensor was before it was quantized, or named once more."""
    node = producers.get(name)
    while node is not None and node.op_type in {"QuantizeLinear", "DequantizeLinear", "Identity"}:
        name = node.input[0]
        node = producers.get(name)
    return name


def _normalises_head(
    node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto], constants: Constants
) -> bool:
    """Whether a node is the learned normalisation of a layer, which an exporter did not fold."""
    if node.op_type != "BatchNormalization":
        return False
    layer = producers.get(node.input[0])
    learned = all(constants.is_constant(name) for name in node.input[1:])
    return learned and layer is not None and is_head(layer, constants)


def _completes_integer(
    node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto], constants: Constants
) -> bool:
    """Whether a node ends what dynamic quantization makes of a layer.

    ONNX Runtime writes DynamicQuantizeLinear, ConvInteger or MatMulInteger, Cast, a Mul by the
    scales and an Add of the bias; above it the scales would lead to the layers before.
    """
    if node.op_type == "Add":
        for product, bias in (node.input, node.input[::-1]):
            scaled = producers.get(product)
            if scaled is not None and _is_stored(bias, producers, constants):
                return _is_scaled_integer(scaled, producers)
        return False
    return _is_scaled_integer(node, producers)


def _is_stored(name: str, producers: Mapping[str, onnx.NodeProto], constants: Constants) -> bool:
    """Whether a value is constant, perhaps reshaped as a convolution's bias is."""
    node = producers.get(name)
    if node is not None and node.op_type == "Reshape":
        name = node.input[0]
    return constants.is_constant(name)


def _is_scaled_integer(node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto]) -> bool:
    if node.op_type != "Mul":
        return False
    for name in node.input:
        cast = producers.get(name)
        layer = (
            producers.get(cast.input[0]) if cast is not None and cast.op_type == "Cast" else None
        )
        if layer is not None and layer.op_type in {"ConvInteger", "MatMulInteger"}:
            return True
    return False


def is_head(node: onnx.NodeProto, constants: Constants) -> bool:
    """Whether a node is a layer with learned weights."""
    if node.op_type in INTEGER_WEIGHTED:
        return True
    if node.op_type not in WEIGHTED or len(node.input) < 2:
        return False
    weights = [name for name in node.input[:2] if constants.is_constant(name)]
    if not weights:
        return False
    stored = constants.value(weights[-1])
    return not _is_expectation(stored) and not _is_conversion(stored)


def _is_conversion(weights: Array | None) -> bool:
    """Whether a matrix turns centre and size into corners (YOLOv7's export, `--end2end`)."""
    if weights is None or weights.shape != (4, 4):
        return False
    return set(np.unique(np.abs(weights)).tolist()) == {0.0, 0.5, 1.0}


def _is_expectation(weights: Array | None) -> bool:
    """Whether weights are 0, 1, 2, ... up to a scale: the expectation over DFL bins."""
    if weights is None or not 2 <= weights.size <= _MAX_BINS:
        return False
    if max(weights.shape) != weights.size:
        return False
    flat = weights.astype(np.float64).ravel()
    ramp = np.arange(flat.size) * (flat[-1] / (flat.size - 1))
    return bool(flat[-1] > 0 and np.abs(flat - ramp).max() <= 0.02 * flat[-1])
