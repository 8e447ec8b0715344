"""Compute in float16 what may be, with casts where float32 begins and ends.

Own code, for the converter of onnxconverter-common 1.16 leaves invalid or rounded graphs where a
node that stays float32 makes an output, where an output is read within the graph too, and where
a stored tensor has readers of both kinds; its list of unsafe operators is taken as it is.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import numpy as np
import onnx
import onnx_ir as ir

from edgecv_cli.graph.tidy import tidied


def halved(model: onnx.ModelProto, kept: AbstractSet[str]) -> onnx.ModelProto:
    """Return a copy in float16 but for ``kept``; inputs and outputs keep their types.

    Args:
        model: normalised model; it is not changed.
        kept: first outputs of the nodes that stay as they are.
    """
    work = ir.from_proto(onnx.shape_inference.infer_shapes(model))
    writer = _Writer(work.graph)
    for node in list(work.graph):
        if (node.outputs[0].name or "") in kept:
            writer.keep(node)
        else:
            writer.halve(node)
    writer.restore_outputs()
    result = tidied(work)
    del result.graph.value_info[:]
    return result


class _Writer:
    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._made_half: set[str] = set()
        self._casts: dict[str, ir.Value] = {}
        self._count = 0
        made = (output.name for node in graph for output in node.outputs)
        given = (value.name for value in graph.inputs)
        self._taken = {*graph.initializers, *made, *given, *(node.name for node in graph)}

    def keep(self, node: ir.Node) -> None:
        """Give a node float32 operands."""
        for index, value in enumerate(node.inputs):
            if value is not None and value.name in self._made_half:
                node.replace_input_with(index, self._cast(value, ir.DataType.FLOAT))

    def halve(self, node: ir.Node) -> None:
        """Give a node float16 operands; what it makes of them is float16."""
        for index, value in enumerate(node.inputs):
            if value is None or value.dtype != ir.DataType.FLOAT:
                continue
            if value.const_value is not None:
                node.replace_input_with(index, self._stored(value))
            elif value.name not in self._made_half:
                node.replace_input_with(index, self._cast(value, ir.DataType.FLOAT16))
        for output in node.outputs:
            if output.dtype == ir.DataType.FLOAT:
                output.dtype = ir.DataType.FLOAT16
                self._made_half.add(output.name or "")

    def restore_outputs(self) -> None:
        """Turn float16 outputs into float32 ones under the same names."""
        for index, value in enumerate(self._graph.outputs):
            name = value.name or ""
            if name not in self._made_half:
                continue
            restored = self._cast(value, ir.DataType.FLOAT)
            self._graph.outputs[index] = restored
            value.name = self._free("raw")
            restored.name = name
            restored.shape = value.shape

    def _cast(self, value: ir.Value, to: ir.DataType) -> ir.Value:
        """Return a tensor in the other type: one for all that want it."""
        name = value.name or ""
        known = self._casts.get(name)
        if known is not None:
            return known
        node = ir.node("Cast", [value], {"to": int(to)}, name=self._free("cast"))
        result = node.outputs[0]
        result.name, result.dtype, result.shape = node.name, to, value.shape
        producer = value.producer()
        if producer is None:
            self._graph.insert_before(next(iter(self._graph)), node)
        else:
            self._graph.insert_after(producer, node)
        self._casts[name] = result
        return result

    def _stored(self, value: ir.Value) -> ir.Value:
        name = value.name or ""
        known = self._casts.get(name)
        if known is not None:
            return known
        assert value.const_value is not None
        array = np.asarray(value.const_value.numpy()).astype(np.float16)
        half = self._free("half")
        result = ir.Value(name=half, const_value=ir.tensor(array, name=half))
        self._graph.register_initializer(result)
        self._casts[name] = result
        return result

    def _free(self, prefix: str) -> str:
        while True:
            self._count += 1
            name = f"{prefix}{self._count}"
            if name not in self._taken:
                self._taken.add(name)
                return name
