"""Sizes that ONNX shape inference leaves open although nothing about them is.

Exporters of transformers work shapes out while running: a Shape, some integers, a Reshape. Node
by node, in order, with the small integers at hand, they come out as the numbers that they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TypeProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgecv_cli.graph.evaluate import elements_made
from edgecv_cli.graph.shapes import Shape, value_shape

Array = NDArray[Any]
_MOST = 4096  # elements of a value that may say a size
_STEERED = frozenset({"If", "Loop", "Scan"})
# what sizes are worked out with; no operator whose result may be large however small its inputs
_ARITHMETIC = frozenset(
    {
        *("Constant", "Identity", "Cast", "Shape", "Size", "Gather", "Slice", "Split", "Concat"),
        *("Squeeze", "Unsqueeze", "Reshape", "Transpose", "Flatten", "Expand", "ConstantOfShape"),
        *("Range", "NonZero", "Add", "Sub", "Mul", "Div", "Mod", "Neg", "Abs", "Sqrt", "Floor"),
        *("Ceil", "Round", "Min", "Max", "ReduceProd", "ReduceSum", "ReduceMax", "ReduceMin"),
        *("Where", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Not", "And", "Or"),
    }
)


def close_shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    """Return every tensor's shape, with sizes worked out that integers in the graph decide.

    Args:
        model: with batch and image size fixed.
    """
    walk = _Walk(model)
    for node in model.graph.node:
        walk.step(node)
    return walk.shapes()


class _Walk:
    """Types and small values of the tensors met so far."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._opsets = list(model.opset_import)
        self._version = max(
            (int(entry.version) for entry in self._opsets if entry.domain in ("", "ai.onnx")),
            default=1,
        )
        self._types: dict[str, TypeProto] = {value.name: value.type for value in model.graph.input}
        self._values: dict[str, Array] = {}
        for tensor in model.graph.initializer:
            self._types[tensor.name] = onnx.helper.make_tensor_type_proto(
                tensor.data_type, list(tensor.dims)
            )
            if np.prod(tensor.dims, dtype=np.float64) <= _MOST:
                self._values[tensor.name] = numpy_helper.to_array(tensor)

    def shapes(self) -> dict[str, Shape]:
        found = {}
        for name, kind in self._types.items():
            shape = value_shape(onnx.ValueInfoProto(name=name, type=kind))
            if shape is not None:
                found[name] = shape
        return found

    def step(self, node: onnx.NodeProto) -> None:
        """Work out a node's outputs; what can't be worked out stays unknown."""
        if node.op_type in _STEERED or node.domain not in ("", "ai.onnx"):
            return
        try:
            value = self._value(node)
            if value is not None:
                self._keep(node.output[0], value)
            else:
                self._types.update(self._inferred(node))
        except Exception:  # noqa: BLE001 - the libraries raise anything; the size stays open
            return

    def _keep(self, name: str, value: Array) -> None:
        kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
        self._types[name] = onnx.helper.make_tensor_type_proto(kind, value.shape)
        if value.size <= _MOST:
            self._values[name] = value

    def _value(self, node: onnx.NodeProto) -> Array | None:
        """Return a small node's only output where its inputs' values, or shape, are known."""
        if len(node.output) != 1 or node.op_type not in _ARITHMETIC:
            return None
        if node.op_type == "Shape":
            return self._shape_value(node)
        inputs = {name: self._values.get(name) for name in node.input if name}
        known = {name: value for name, value in inputs.items() if value is not None}
        if len(known) != len(inputs):
            return None
        arrays = [known[name] for name in node.input if name]
        if arrays and elements_made(node.op_type, arrays) > _MOST:
            return None
        whole = onnx.helper.make_model(
            onnx.helper.make_graph(
                [node],
                "node",
                [onnx.ValueInfoProto(name=name, type=self._types[name]) for name in known],
                [onnx.helper.make_empty_tensor_value_info(node.output[0])],
            ),
            opset_imports=self._opsets,
        )
        (result,) = ReferenceEvaluator(whole).run(None, known)
        return np.asarray(result)

    def _shape_value(self, node: onnx.NodeProto) -> Array | None:
        shape = value_shape(onnx.ValueInfoProto(type=self._types[node.input[0]]))
        if shape is None:
            return None
        given = {attribute.name: attribute.i for attribute in node.attribute}
        part = shape[given.get("start", 0) : given.get("end", len(shape))]
        return None if None in part else np.asarray(part, np.int64)

    def _inferred(self, node: onnx.NodeProto) -> Mapping[str, TypeProto]:
        schema = onnx.defs.get_schema(node.op_type, self._version, "")
        names = [name for name in node.input if name]
        data = {
            name: numpy_helper.from_array(self._values[name], name)
            for name in names
            if name in self._values
        }
        found: Mapping[str, TypeProto] = onnx.shape_inference.infer_node_outputs(
            schema,
            node,
            {name: self._types[name] for name in names},
            data,
            opset_imports=self._opsets,
        )
        return {name: kind for name, kind in found.items() if kind.HasField("tensor_type")}
