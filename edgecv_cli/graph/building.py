"""Append operators to a graph, each by one call."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]


class Builder:
    """Appends to a graph of operator set 13 or later; every tensor gets a name of its own.

    Args:
        graph: changed in place.
        prefix: of the new names.
    """

    def __init__(self, graph: onnx.GraphProto, prefix: str) -> None:
        self._graph = graph
        self._prefix = prefix
        self._used = {name for node in graph.node for name in (*node.input, *node.output)}
        self._used |= {one.name for one in (*graph.input, *graph.output, *graph.initializer)}

    def op(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Append an operator of one output; returns that.

        Args:
            kind: such as ``Mul``.
            inputs: names of tensors.
            name: of the output; None: a new one.
            attributes: of the operator.

        Raises:
            ValueError: the name is taken.
        """
        if name is None:
            name = self._free(kind.lower())
        elif name in self._used:
            raise ValueError(f"a tensor is called {name} already")
        self._used.add(name)
        self._graph.node.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, value: Array) -> str:
        """Store an array; returns its name."""
        name = self._free("constant")
        self._used.add(name)
        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def real(self, value: Any) -> str:
        """Store numbers as float32."""
        return self.constant(np.asarray(value, np.float32))

    def part(self, tensor: str, axis: int, start: int, stop: int) -> str:
        """Take a slice along an axis."""
        ends = [self.constant(np.asarray([end], np.int64)) for end in (start, stop, axis)]
        return self.op("Slice", tensor, *ends)

    def reshaped(self, tensor: str, shape: tuple[int, ...]) -> str:
        """Give a tensor another shape."""
        return self.op("Reshape", tensor, self.constant(np.asarray(shape, np.int64)))

    def joined(self, tensors: list[str], axis: int) -> str:
        """Put tensors one after the other; one alone is left as it is."""
        return tensors[0] if len(tensors) == 1 else self.op("Concat", *tensors, axis=axis)

    def _free(self, stem: str) -> str:
        number = len(self._used)
        while f"{self._prefix}_{stem}_{number}" in self._used:
            number += 1
        return f"{self._prefix}_{stem}_{number}"
