"""Who feeds whom in a normalised graph, and what each layer is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import onnx

from edgecv_cli.core.tensors import Shape
from edgecv_cli.graph.inspect import node_macs
from edgecv_cli.graph.shapes import infer_shapes
from edgecv_cli.graph.tail import Constants, find_tail, is_head


@dataclass(frozen=True)
class Layer:
    """A weighted op with constant weights.

    Attributes:
        name: its output tensor, which names it everywhere.
        op: ``Conv``, ``ConvTranspose``, ``Gemm`` or ``MatMul``.
        data, weight, bias: its operand tensors.
        macs: multiply-accumulates of one image.
        depthwise: whether each input channel makes its own output channels.
    """

    name: str
    op: str
    data: str
    weight: str
    bias: str | None
    macs: int
    depthwise: bool


@dataclass(frozen=True)
class Topology:
    """A normalised graph with its connections; nodes are named by their first output."""

    model: onnx.ModelProto
    shapes: dict[str, Shape] = field(repr=False)

    @classmethod
    def of(cls, model: onnx.ModelProto) -> Topology:
        """Analyse a normalised model; it is not changed."""
        return cls(model, infer_shapes(model))

    @cached_property
    def constants(self) -> Constants:
        """Stored tensors."""
        return Constants(self.model.graph)

    @cached_property
    def nodes(self) -> dict[str, onnx.NodeProto]:
        """Nodes by first output, in graph order."""
        return {node.output[0]: node for node in self.model.graph.node}

    @cached_property
    def producer(self) -> dict[str, str]:
        """Tensor to the name of the node that makes it."""
        return {
            output: node.output[0]
            for node in self.model.graph.node
            for output in node.output
            if output
        }

    @cached_property
    def consumers(self) -> dict[str, list[str]]:
        """Tensor to the names of the nodes that read it, in graph order."""
        found: dict[str, list[str]] = {}
        for name, node in self.nodes.items():
            for tensor in dict.fromkeys(node.input):
                if tensor:
                    found.setdefault(tensor, []).append(name)
        return found

    @cached_property
    def tail(self) -> frozenset[str]:
        """Names of the nodes of the decode tail."""
        return frozenset(node.output[0] for node in find_tail(self.model.graph).nodes)

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """Names of the layers that feed the decode tail."""
        return find_tail(self.model.graph).heads

    @cached_property
    def graph_outputs(self) -> frozenset[str]:
        """Names of the graph's outputs."""
        return frozenset(value.name for value in self.model.graph.output)

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """Weighted ops above the decode tail, by name, in graph order."""
        found = {}
        for name, node in self.nodes.items():
            if name not in self.tail and is_head(node, self.constants):
                layer = self._layer(name, node)
                if layer is not None:
                    found[name] = layer
        return found

    def _layer(self, name: str, node: onnx.NodeProto) -> Layer | None:
        constant = [self.constants.is_constant(tensor) for tensor in node.input[:2]]
        if constant != [False, True]:
            return None
        bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        return Layer(
            name=name,
            op=node.op_type,
            data=node.input[0],
            weight=node.input[1],
            bias=bias,
            macs=node_macs(node, self.shapes) or 0,
            depthwise=node.op_type == "Conv" and groups > 1 and groups == self._channels(node),
        )

    def _channels(self, node: onnx.NodeProto) -> int | None:
        shape = self.shapes.get(node.input[0])
        return None if shape is None or len(shape) < 2 else shape[1]

    def activations(self, name: str) -> list[str]:
        """Return a node's inputs that are computed, not stored."""
        return [
            tensor
            for tensor in self.nodes[name].input
            if tensor and not self.constants.is_constant(tensor)
        ]

    def elements(self, tensor: str) -> int | None:
        """Return a tensor's number of elements, or None where its shape is open."""
        shape = self.shapes.get(tensor)
        if shape is None or None in shape:
            return None
        return math.prod(size for size in shape if size is not None)

    def layers_above(self, tensor: str) -> Iterator[str]:
        """Yield the nearest layers that a tensor comes from, through any other op."""
        seen: set[str] = set()
        pending = [tensor]
        while pending:
            name = self.producer.get(pending.pop())
            if name is None or name in seen:
                continue
            seen.add(name)
            if name in self.layers:
                yield name
            else:
                pending.extend(self.activations(name))

    def layers_below(self, name: str) -> Iterator[str]:
        """Yield the nearest layers that read what a node makes; ``""`` for the decode tail."""
        seen: set[str] = set()
        pending = list(self.nodes[name].output)
        while pending:
            for reader in self.consumers.get(pending.pop(), []):
                if reader in seen:
                    continue
                seen.add(reader)
                if reader in self.layers:
                    yield reader
                elif reader in self.tail:
                    yield ""
                else:
                    pending.extend(self.nodes[reader].output)
