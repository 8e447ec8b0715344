"""New initializers in a graph: one for all that are equal, under names that nothing has."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


class Stored:
    """Puts arrays into a graph, and nodes that bear the names of their outputs."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        made = (output.name for node in graph for output in node.outputs)
        given = (value.name for value in graph.inputs)
        self._taken = {*graph.initializers, *made, *given, *(node.name for node in graph)}
        self._shared: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self._count = 0

    def put(self, array: NDArray[Any]) -> ir.Value:
        """Return the initializer that holds these values."""
        key = str(array.dtype), array.shape, array.tobytes()
        known = self._shared.get(key)
        if known is None:
            name = self._free()
            known = ir.Value(name=name, const_value=ir.tensor(np.array(array), name=name))
            self.graph.register_initializer(known)
            self._shared[key] = known
        return known

    def node(
        self, kind: str, inputs: list[ir.Value], attributes: dict[str, Any] | None = None
    ) -> ir.Node:
        """Make a node with one output, in no place yet."""
        node = ir.node(kind, inputs, attributes or {}, name=self._free())
        node.outputs[0].name = node.name
        return node

    def _free(self) -> str:
        while True:
            self._count += 1
            name = f"trt{self._count}"
            if name not in self._taken:
                self._taken.add(name)
                return name


def array_of(value: ir.Value | None) -> NDArray[Any] | None:
    """Return a stored tensor, or None where it is computed or absent."""
    if value is None or value.const_value is None or value.producer() is not None:
        return None
    return np.asarray(value.const_value.numpy())


def operand(node: ir.Node, index: int) -> ir.Value | None:
    """Return a node's operand, or None where it has none."""
    return node.inputs[index] if index < len(node.inputs) else None


def name_of(node: ir.Node) -> str:
    """Return what messages call a node."""
    return node.name or node.outputs[0].name or node.op_type
