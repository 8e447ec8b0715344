"""A graph as TensorRT's rules look at it: who makes what, of which type, and what is stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, shape_inference

from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.tensors import Shape
from edgecv_cli.graph.claims import graphs
from edgecv_cli.graph.inspect import opset_of
from edgecv_cli.graph.shapes import graph_inputs, infer_shapes
from edgecv_cli.graph.tail import Constants

QUANTIZE, RESTORE = "QuantizeLinear", "DequantizeLinear"
_PAIR = (QUANTIZE, RESTORE)
_ASK_SHAPES = frozenset({"Shape", "Size"})


class View:
    """One model, read-only; subgraphs are only looked into for their operators."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.graph = model.graph
        self.opset = opset_of(model)
        self.constants = Constants(model.graph)
        self.producers: Mapping[str, onnx.NodeProto] = {
            name: node for node in self.graph.node for name in node.output if name
        }
        self.readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.graph.node:
            for name in dict.fromkeys(node.input):
                self.readers[name].append(node)

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Shapes by tensor, as far as they can be inferred."""
        try:
            return infer_shapes(self.model)
        except ModelError:  # a graph that breaks a rule may break inference too
            return {tensor.name: tuple(tensor.dims) for tensor in self.graph.initializer}

    @cached_property
    def types(self) -> Mapping[str, int]:
        """Element types (``TensorProto.DataType``) by tensor, as far as they can be inferred."""
        try:
            graph = shape_inference.infer_shapes(self.model).graph
        except shape_inference.InferenceError:
            graph = self.graph
        found = {tensor.name: tensor.data_type for tensor in graph.initializer}
        for value in (*graph.input, *graph.value_info, *graph.output):
            found[value.name] = value.type.tensor_type.elem_type
        return found

    @cached_property
    def inputs(self) -> list[onnx.ValueInfoProto]:
        """The inputs that a caller feeds."""
        return graph_inputs(self.model)

    @cached_property
    def outputs(self) -> frozenset[str]:
        """Names of the graph's outputs."""
        return frozenset(value.name for value in self.graph.output)

    def of(self, *kinds: str) -> Iterator[onnx.NodeProto]:
        """Yield the nodes of these operators, in graph order."""
        return (node for node in self.graph.node if node.op_type in kinds)

    def everywhere(self) -> Iterator[onnx.NodeProto]:
        """Yield all nodes, those of subgraphs too."""
        for part in graphs(self.graph):
            yield from part.node

    def pairs(self) -> Iterator[onnx.NodeProto]:
        """Yield each QuantizeLinear and DequantizeLinear."""
        return self.of(*_PAIR)

    @cached_property
    def quantized(self) -> bool:
        """Whether there is any Q or DQ."""
        return next(self.pairs(), None) is not None

    def source(self, name: str, kind: str) -> onnx.NodeProto | None:
        """Return what makes a tensor if it is a node of that operator."""
        node = self.producers.get(name)
        return node if node is not None and node.op_type == kind else None

    def value(self, name: str) -> NDArray[Any] | None:
        """Return a stored tensor, or None where it is computed or absent."""
        if not name:
            return None
        node = self.producers.get(name)
        if node is not None and node.op_type == "Constant" and not has(node, "value"):
            written = [onnx.helper.get_attribute_value(entry) for entry in node.attribute]
            return np.asarray(written[0]) if written else None  # value_float, value_ints, ...
        return self.constants.value(name)

    def part(self, node: onnx.NodeProto, index: int) -> str:
        """Return the name of a node's operand; empty where it has none."""
        return str(node.input[index]) if index < len(node.input) else ""

    def integers_of(self, pair: onnx.NodeProto) -> int:
        """Return the type of the integers that a Q makes or a DQ reads; 0 where unknown."""
        zero = self.part(pair, 2)
        if zero and zero in self.types:
            return self.types[zero]
        asked = attribute(pair, "output_dtype", 0)
        if pair.op_type == QUANTIZE:
            return int(asked) or TensorProto.UINT8  # what ONNX takes where nothing is said
        return self.types.get(pair.input[0], 0)

    def stored(self, restore: onnx.NodeProto) -> NDArray[Any] | None:
        """Return the integers that a DQ restores, if they are stored."""
        return self.value(restore.input[0])

    def depends_on_data(self, name: str) -> bool:
        """Whether a tensor's values hang on what the graph is fed, not just on its shapes."""
        seen: set[str] = set()
        fed = {value.name for value in self.inputs}
        pending = [name]
        while pending:
            tensor = pending.pop()
            if tensor in fed:
                return True
            node = self.producers.get(tensor)
            if node is None or tensor in seen or node.op_type in _ASK_SHAPES:
                continue
            seen.add(tensor)
            pending.extend(part for part in node.input if part)
        return False


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return a node's attribute, texts decoded."""
    for entry in node.attribute:
        if entry.name == name:
            value = onnx.helper.get_attribute_value(entry)
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return default


def has(node: onnx.NodeProto, name: str) -> bool:
    """Whether an attribute is written down."""
    return any(entry.name == name for entry in node.attribute)


def label(node: onnx.NodeProto) -> str:
    """Return what messages call a node."""
    return node.name or next((name for name in node.output if name), node.op_type)


def type_name(kind: int) -> str:
    """Return an element type's name in ONNX."""
    return str(TensorProto.DataType.Name(kind)) if kind else "an unknown type"


def lowest(kind: int) -> int:
    """Return the smallest integer of a type.

    Raises:
        KeyError, ValueError: it is no integer type.
    """
    return int(np.iinfo(onnx.helper.tensor_dtype_to_np_dtype(kind)).min)
