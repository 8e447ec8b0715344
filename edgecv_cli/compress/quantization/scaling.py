"""Scale the channels of a tensor in the layer that makes it, and back in those that read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgecv_cli.graph.topology import Layer, Topology

# f(s x) = s f(x) for s > 0, channel by channel.
_HOMOGENEOUS = frozenset(
    {"Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Identity"}
)
Array = NDArray[Any]


@dataclass(frozen=True)
class Reader:
    """A layer that reads a tensor.

    Attributes:
        layer: its name.
        start: the first of its input channels that is the tensor's.
    """

    layer: str
    start: int


def scalable(topology: Topology, name: str) -> bool:
    """Whether a layer is a convolution over images with weights that can be changed."""
    layer = topology.layers.get(name)
    if layer is None or layer.op != "Conv":
        return False
    weight = topology.constants.value(layer.weight)
    if weight is None or weight.ndim != 4:
        return False
    return layer.bias is None or topology.constants.value(layer.bias) is not None


def readers_of(topology: Topology, tensor: str) -> tuple[Reader, ...]:
    """Return the layers that a tensor reaches, through ops that its channels' scales pass.

    Those are homogeneous ops, joins of channels, and products with what does not come from the
    tensor on such a way. None at all where anything else reads it.
    """
    pending, reached, products = [(tensor, 0)], {tensor}, []
    found: list[Reader] = []
    while pending:
        name, start = pending.pop()
        if name in topology.graph_outputs:
            return ()
        for reader in topology.consumers.get(name, ()):
            node = topology.nodes[reader]
            if scalable(topology, reader) and topology.layers[reader].data == name:
                found.append(Reader(reader, start))
                continue
            place = _place(topology, node, name)
            if place is None or len(node.output) != 1 or reader in reached:
                return ()
            if node.op_type == "Mul":
                products.append(node)
            reached.add(reader)
            pending.append((reader, start + place))
    squares = any(all(operand in reached for operand in node.input) for node in products)
    return () if squares else tuple(found)


def _place(topology: Topology, node: onnx.NodeProto, tensor: str) -> int | None:
    """Return by how much a node moves a tensor's channels; None where their scales don't pass."""
    before = topology.shapes.get(tensor)
    if before is None or len(before) != 4:
        return None
    if node.op_type in _HOMOGENEOUS and node.input[0] == tensor:
        return 0
    if node.op_type == "Mul":
        after = topology.shapes.get(node.output[0])
        return 0 if after is not None and after[1] == before[1] else None
    axes = [attribute.i for attribute in node.attribute if attribute.name == "axis"]
    if node.op_type != "Concat" or axes not in ([1], [-3]) or list(node.input).count(tensor) != 1:
        return None
    sizes = []
    for operand in list(node.input)[: list(node.input).index(tensor)]:
        shape = topology.shapes.get(operand)
        if shape is None or len(shape) != 4 or shape[1] is None:
            return None
        sizes.append(shape[1])
    return sum(sizes)


class Rescaler:
    """Collects changes to a graph's convolutions, and makes the graph that has them all."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._model = onnx.ModelProto()
        self._model.CopyFrom(topology.model)
        self._nodes = {node.output[0]: node for node in self._model.graph.node}
        self._twins: dict[str, str] = {}
        self._placed: dict[str, Sequence[onnx.NodeProto]] = {}
        self._weights: dict[str, Array] = {}
        self._biases: dict[str, Array | None] = {}

    def twin(self, layer: str, name: str) -> str:
        """Add a copy of a layer; returns its name. What its input is multiplied by, it gets too."""
        self._take(layer)
        self._twins[layer] = name
        self._weights[name] = self._weights[layer].copy()
        bias = self._biases[layer]
        self._biases[name] = None if bias is None else bias.copy()
        return name

    def divide(self, layer: str, factors: Array) -> None:
        """Divide a layer's output channels; its twin stays as it is."""
        self._take(layer)
        self._weights[layer] = self._weights[layer] / factors[:, None, None, None]
        bias = self._biases[layer]
        self._biases[layer] = None if bias is None else bias / factors

    def multiply(self, reader: Reader, factors: Array) -> None:
        """Multiply a layer's weights on some of its input channels, and its twin's."""
        self._take(reader.layer)
        whole = np.ones(self._inputs(reader.layer))
        whole[reader.start : reader.start + len(factors)] = factors
        for name in (reader.layer, self._twins.get(reader.layer)):
            if name is not None:
                weight = self._weights[name]
                groups = len(whole) // weight.shape[1]
                rows = weight.reshape(groups, -1, *weight.shape[1:])
                scaled = rows * whole.reshape(groups, 1, -1, 1, 1)
                self._weights[name] = scaled.reshape(weight.shape)

    def stretch(self, layer: str, factor: float) -> None:
        """Multiply all that a layer makes."""
        bias = self._biases[layer]
        self._weights[layer] = self._weights[layer] * factor
        self._biases[layer] = None if bias is None else bias * factor

    def read(self, node: str, source: str) -> None:
        """Let a node of one input read another tensor."""
        self._nodes[node].input[0] = source

    def replace(self, name: str, nodes: Sequence[onnx.NodeProto]) -> None:
        """Put nodes in another's place."""
        self._placed[name] = nodes

    def store(self, name: str, value: Any) -> str:
        """Store a constant; returns its name."""
        self._model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def model(self) -> onnx.ModelProto:
        """Return the changed graph; the rescaler must not be used after."""
        graph = self._model.graph
        originals = {twin: layer for layer, twin in self._twins.items()}
        ordered = []
        placed = (one for node in graph.node for one in self._placed.get(node.output[0], (node,)))
        for node in placed:
            # right before what reads it
            for twin in (name for name in node.input if name in originals):
                copy = onnx.NodeProto()
                copy.CopyFrom(self._nodes[originals[twin]])
                copy.output[0] = copy.name = twin
                ordered.append(self._fed(copy, twin))
            name = node.output[0]
            ordered.append(self._fed(node, name) if name in self._weights else node)
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
        del graph.node[:]
        graph.node.extend(kept)
        read = {name for node in kept for name in node.input}
        stored = [tensor for tensor in graph.initializer if tensor.name in read]
        del graph.initializer[:]
        graph.initializer.extend(stored)
        return self._model

    def _fed(self, node: onnx.NodeProto, layer: str) -> onnx.NodeProto:
        for index, value in ((1, self._weights[layer]), (2, self._biases[layer])):
            if value is not None:
                while len(node.input) <= index:
                    node.input.append("")
                node.input[index] = self.store(f"{layer}_operand{index}", value.astype(np.float32))
        return node

    def _take(self, layer: str) -> None:
        if layer not in self._weights:
            held: Layer = self._topology.layers[layer]
            self._weights[layer] = self._value(held.weight)
            self._biases[layer] = None if held.bias is None else self._value(held.bias)

    def _value(self, name: str) -> Array:
        value = self._topology.constants.value(name)
        assert value is not None
        return value.astype(np.float64)

    def _inputs(self, layer: str) -> int:
        shape = self._topology.shapes[self._topology.layers[layer].data]
        assert shape[1] is not None
        return shape[1]
