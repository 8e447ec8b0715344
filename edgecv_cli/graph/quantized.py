"""Which layers of a file are meant to run in integers, and what an engine may call them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from edgecv_cli.graph.tail import INTEGER_WEIGHTED, Constants, is_head

_QUANTIZING = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})
# What engines take into the layer before it, and then may name the whole after.
_FUSED = _QUANTIZING | {"Relu", "LeakyRelu", "Clip", "Sigmoid", "HardSigmoid", "Tanh", "Cast"}


_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})  # those of the decode tail as well


@dataclass(frozen=True)
class Layer:
    """One layer with stored weights.

    Attributes:
        name: its node's name, or its output's where that is empty.
        quantized: whether the file gives it quantized data and weights.
        aliases: names of its node and output, and of what follows that it can be fused with.
    """

    name: str
    quantized: bool
    aliases: frozenset[str]


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether a graph holds integers to compute with, or to restore floats from."""
    kinds = {node.op_type for node in model.graph.node}
    return bool(kinds & (_QUANTIZING | INTEGER_WEIGHTED))


def read_layers(model: onnx.ModelProto) -> tuple[Layer, ...]:
    """Return the layers with stored weights, in graph order; subgraphs are not looked into.

    A layer is *quantized* where its data and its weights both come from a DequantizeLinear, or
    it is an integer operator. One that only stores its weights as integers is not: it is meant
    to compute in float.
    """
    graph = model.graph
    constants = Constants(graph)
    producers = {name: node for node in graph.node for name in node.output if name}
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    return tuple(
        Layer(node.name or node.output[0], _is_integer(node, producers), _aliases(node, readers))
        for node in graph.node
        if node.op_type in _CONVOLUTIONS or is_head(node, constants)
    )


def _is_integer(node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto]) -> bool:
    if node.op_type in INTEGER_WEIGHTED:
        return True
    sources = [producers.get(name) for name in node.input[:2]]
    return all(source is not None and source.op_type == "DequantizeLinear" for source in sources)


def _aliases(
    node: onnx.NodeProto, readers: Mapping[str, Sequence[onnx.NodeProto]]
) -> frozenset[str]:
    found = {node.name, node.output[0]}
    following = readers.get(node.output[0], ())
    while len(following) == 1 and following[0].op_type in _FUSED:
        node = following[0]
        found |= {node.name, node.output[0]}
        following = readers.get(node.output[0], ())
    return frozenset(found - {""})
