"""Matrix products in integers whose input's grid is found anew for each input.

ONNX operators: DynamicQuantizeLinear gives uint8 and its scale and zero point, MatMulInteger
sums in int32, and two products with the scales bring the sums back to float. Fits models that
are mostly matrix products, where the range of an activation differs much from image to image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from edgecv_cli.graph.grid import LayerWeights
from edgecv_cli.graph.tidy import tidied


def insert_dynamic(model: onnx.ModelProto, weights: Mapping[str, LayerWeights]) -> onnx.ModelProto:
    """Return a copy whose named MatMul and Gemm nodes multiply integers.

    Args:
        model: normalised model; it is not changed.
        weights: integers of each such node, by first output; int8 [inputs, outputs], one scale
            per output. A Gemm must be plain: alpha and beta 1, the input not transposed.
    """
    work = ir.from_proto(model)
    writer = _Writer(work.graph)
    for node in list(work.graph):
        layer = weights.get(node.outputs[0].name or "")
        if layer is not None:
            writer.replace(node, layer)
    result = tidied(work)
    del result.graph.value_info[:]
    return result


class _Writer:
    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._quantized: dict[str, ir.Node] = {}
        made = (output.name for node in graph for output in node.outputs)
        given = (value.name for value in graph.inputs)
        self._taken = {*graph.initializers, *made, *given, *(node.name for node in graph)}
        self._count = 0

    def replace(self, node: ir.Node, layer: LayerWeights) -> None:
        data = node.inputs[0]
        assert data is not None
        quantize = self._quantize(data)
        integers, scale, zero = quantize.outputs
        stored = self._store(layer.weight)
        product = self._before(node, "MatMulInteger", [integers, stored, zero])
        steps = self._before(node, "Mul", [scale, self._store(layer.scales)])
        real = self._before(node, "Cast", [product], to=int(onnx.TensorProto.FLOAT))
        result = self._before(node, "Mul", [real, steps])
        if layer.bias is not None:
            result = self._before(node, "Add", [result, self._store(layer.bias)])
        self._take_over(node, result)

    def _quantize(self, data: ir.Value) -> ir.Node:
        """Return the node that quantizes a tensor: one for all that read it."""
        known = self._quantized.get(data.name or "")
        if known is None:
            name = self._free()
            known = ir.node("DynamicQuantizeLinear", [data], num_outputs=3, name=name)
            for output in known.outputs:
                output.name = self._free()
            producer = data.producer()
            if producer is None:
                self._graph.insert_before(next(iter(self._graph)), known)
            else:
                self._graph.insert_after(producer, known)
            self._quantized[data.name or ""] = known
        return known

    def _before(
        self, place: ir.Node, kind: str, inputs: list[ir.Value], **attributes: int
    ) -> ir.Value:
        node = ir.node(kind, inputs, attributes, name=self._free())
        node.outputs[0].name = node.name
        self._graph.insert_before(place, node)
        return node.outputs[0]

    def _take_over(self, node: ir.Node, result: ir.Value) -> None:
        output = node.outputs[0]
        name, was_output = output.name, output.is_graph_output()
        result.type, result.shape = output.type, output.shape
        ir.convenience.replace_all_uses_with(output, result, replace_graph_outputs=was_output)
        self._graph.remove(node, safe=True)
        result.name = name

    def _store(self, array: NDArray[Any]) -> ir.Value:
        name = self._free()
        value = ir.Value(name=name, const_value=ir.tensor(np.ascontiguousarray(array), name=name))
        self._graph.register_initializer(value)
        return value

    def _free(self) -> str:
        while True:
            self._count += 1
            name = f"d{self._count}"
            if name not in self._taken:
                self._taken.add(name)
                return name
