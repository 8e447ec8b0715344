"""Operators put between an input of a graph and all who read it, and what renaming takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


class Entry:
    """A chain of operators between an input and all who read it."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        self._graph = model.graph
        self._name = name
        self._used = {one for node in model.graph.node for one in (*node.input, *node.output)}
        self._used |= {value.name for value in (*model.graph.input, *model.graph.output)}
        self._used |= {tensor.name for tensor in model.graph.initializer}
        self.nodes: list[onnx.NodeProto] = []

    def add(self, kind: str, value: NDArray[np.generic] | None = None, **attributes: Any) -> None:
        """Append an operator; ``value``: its second input."""
        inputs = [self.nodes[-1].output[0] if self.nodes else self._name]
        if value is not None:
            stored = free_name(f"{self._name}_{kind.lower()}_by", self._used)
            array = np.ascontiguousarray(value)
            self._graph.initializer.append(numpy_helper.from_array(array, stored))
            inputs.append(stored)
        output = free_name(f"{self._name}_{kind.lower()}", self._used)
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))

    def close(self) -> None:
        """Put the chain first, and let every reader of the input read its end."""
        if not self.nodes:
            return
        rename(self._graph.node, self._name, self.nodes[-1].output[0])
        rest = list(self._graph.node)
        del self._graph.node[:]
        self._graph.node.extend([*self.nodes, *rest])


def branches(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the graphs inside of an operator, such as those of If and Loop."""
    return [one.g for one in node.attribute if one.type == onnx.AttributeProto.GRAPH]


def rename(nodes: Sequence[onnx.NodeProto], old: str, new: str) -> None:
    """Let every operator, and those in their branches, read one tensor in place of another."""
    for node in nodes:
        for place, name in enumerate(node.input):
            if name == old:
                node.input[place] = new
        for part in branches(node):
            rename(part.node, old, new)


def free_name(name: str, used: set[str]) -> str:
    """Return a name that is not used yet, and take it."""
    while name in used:
        name += "_"
    used.add(name)
    return name
