"""LeakyRelu as a maximum, for quantizers that leave it in float: the same numbers.

It is the larger of x and slope x. One grid for x has to reach as far down as x does, though ten
times as little of that is left after (slope 0.1). Where a convolution makes x, a second copy of it
with its weights times the slope makes slope x: then both lie on the grid of the result, what one
of them loses below is what the other gives, and no step of the grid is spent on it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgecv_cli.graph.tail import Constants

Array = NDArray[Any]


def maxima_for_slopes(
    model: onnx.ModelProto, *, apart: bool
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Return a copy without LeakyRelu, as far as its slopes are in 0..1.

    Args:
        model: normalised.
        apart: whether convolutions are copied; else what they make is multiplied.

    Returns:
        The model, and of what has a copy: both tensors -> the result, whose grid they can share.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    work = _Work(copy.graph, apart)
    nodes = [made for node in copy.graph.node for made in work.in_place_of(node)]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del copy.graph.node[:]
    copy.graph.node.extend(kept)
    return copy, work.shared


class _Work:
    def __init__(self, graph: onnx.GraphProto, apart: bool) -> None:
        self._graph = graph
        self._apart = apart
        self._constants = Constants(graph)
        self._makers = {name: node for node in graph.node for name in node.output}
        self._readers: dict[str, int] = {}
        for name in (name for node in graph.node for name in node.input):
            self._readers[name] = self._readers.get(name, 0) + 1
        self._outputs = {value.name for value in graph.output}
        self.shared: dict[str, str] = {}

    def in_place_of(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Return the nodes that do the work of one."""
        slope = next((float(one.f) for one in node.attribute if one.name == "alpha"), 0.01)
        if node.op_type != "LeakyRelu" or not 0 <= slope <= 1:
            return [node]
        source, made = node.input[0], node.output[0]
        name = f"{made}_sloped"
        sloped = self._copied(source, name, slope) if self._apart else None
        if sloped is None:
            factor = self._store(f"{name}_by", np.asarray(slope))
            sloped = helper.make_node("Mul", [source, factor], [name], name)
        else:
            self.shared.update({source: made, name: made})
        return [sloped, helper.make_node("Max", [source, name], [made], made)]

    def _copied(self, source: str, name: str, slope: float) -> onnx.NodeProto | None:
        maker = self._makers.get(source)
        alone = self._readers[source] == 1 and source not in self._outputs
        if maker is None or maker.op_type != "Conv" or not alone:
            return None
        operands = [self._constants.value(operand) for operand in maker.input[1:]]
        if any(value is None for value in operands):
            return None
        twin = onnx.NodeProto()
        twin.CopyFrom(maker)
        twin.output[0] = twin.name = name
        for index, value in enumerate(operands, 1):
            assert value is not None
            twin.input[index] = self._store(f"{name}_{index}", slope * value)
        return twin

    def _store(self, name: str, value: Array) -> str:
        stored = numpy_helper.from_array(np.asarray(value, np.float32), name)
        self._graph.initializer.append(stored)
        return name
