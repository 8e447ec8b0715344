"""Take channels out of a graph: weights, constants and index arithmetic shrink with them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgecv_cli.compress.pruning.cut_rules import CUTS, Cutter
from edgecv_cli.compress.pruning.flow import Flow, Mask


def cut(flow: Flow, removed: Collection[int]) -> onnx.ModelProto:
    """Return the graph without the channels of ``removed`` units; byte for byte repeatable.

    Names of nodes and tensors stay, and so do metadata. What the channels that stay compute is
    what they computed with those that left at zero, up to rounding.

    Raises:
        ValueError: a unit is frozen, or a tensor would be left with no channel.
    """
    held = sorted(set(removed) & flow.frozen)
    if held:
        raise ValueError(f"units {held[:5]} have to stay")
    if flow.survivable(removed) != frozenset(removed):
        raise ValueError("a tensor would be left with no channel")
    work = _Work(flow, frozenset(removed))
    for node in work.model.graph.node:
        rule = CUTS.get(node.op_type)
        if rule is not None and node.output[0] not in flow.topology.tail:
            rule(work, node)
    return work.finished()


class _Work(Cutter):
    """A copy of the model whose constants are replaced one by one."""

    def __init__(self, flow: Flow, removed: frozenset[int]) -> None:
        self.flow, self.removed = flow, removed
        self.model = onnx.ModelProto()
        self.model.CopyFrom(flow.topology.model)
        del self.model.graph.value_info[:]
        self._taken = {tensor.name for tensor in self.model.graph.initializer}
        self._taken |= {name for node in self.model.graph.node for name in node.output}
        self._new: dict[tuple[str, bytes], str] = {}
        self._made: dict[str, NDArray[Any]] = {}

    def keep(self, tensor: str) -> tuple[int, Mask] | None:
        mask = self.flow.keep(tensor, self.removed)
        if mask is None or mask.all():
            return None
        return self.flow.channels[tensor].axis, mask

    def value(self, node: onnx.NodeProto, index: int) -> NDArray[Any] | None:
        if index >= len(node.input) or not node.input[index]:
            return None
        name = node.input[index]
        return self._made[name] if name in self._made else self._stored(name)

    def _stored(self, name: str) -> NDArray[Any] | None:
        return self.flow.topology.constants.value(name)

    def replace(self, node: onnx.NodeProto, index: int, value: NDArray[Any]) -> None:
        while len(node.input) <= index:
            node.input.append("")
        old = node.input[index] or f"{node.output[0]}_operand_{index}"
        place = (old, value.tobytes() + str(value.shape).encode())
        if place not in self._new:
            name = f"{old}_cut"
            while name in self._taken:
                name += "_"
            self._taken.add(name)
            self._new[place] = name
            self._made[name] = np.ascontiguousarray(value)
        node.input[index] = self._new[place]

    def finished(self) -> onnx.ModelProto:
        graph = self.model.graph
        read = {name for node in graph.node for name in node.input}
        read |= {value.name for value in graph.output}
        kept = [tensor for tensor in graph.initializer if tensor.name in read]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        for name, value in self._made.items():
            if name in read:
                graph.initializer.append(numpy_helper.from_array(value, name))
        return self.model
