"""Insert QuantizeLinear / DequantizeLinear pairs (ONNX operators, QDQ form).

A node that shall run in integers has every activation operand behind a DequantizeLinear and
every output before a QuantizeLinear; an engine fuses such a unit into one integer kernel.
A tensor made by a float node is quantized on a side branch that only integer nodes read, so
that its float readers keep full precision. A layer with stored integers that is no integer node
gets its weights behind a DequantizeLinear and computes in float.

What is added bears short names, equal constants are stored once, and inferred shapes are left
out: in small models they would take a tenth of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Literal

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from edgecv_cli.graph.grid import Grid, GridKind, LayerWeights, grid_of
from edgecv_cli.graph.opset import at_least
from edgecv_cli.graph.tidy import tidied

__all__ = ["Grid", "LayerWeights", "grid_of", "insert_qdq"]

# QuantizeLinear takes 16 bits, and DequantizeLinear 4 bits and blocks, from here on.
_WIDE_OPSET = 21
BiasForm = Literal["int32", "float"]


def insert_qdq(
    model: onnx.ModelProto,
    *,
    nodes: AbstractSet[str],
    grids: Mapping[str, Grid],
    weights: Mapping[str, LayerWeights],
    dropped: AbstractSet[str],
    bias: BiasForm = "int32",
) -> onnx.ModelProto:
    """Return a QDQ copy of a normalised model.

    Args:
        model: normalised model; it is not changed.
        nodes: first outputs of the nodes that shall run in integers.
        grids: grid of each activation tensor that such a node reads or makes; a tensor without
            one stays float.
        weights: integers of each layer among ``nodes``, and of those that only store them.
        dropped: first outputs of clamps (Relu, Clip) that the grid of their output implies.
        bias: how an integer layer's bias is stored.

    Raises:
        ModelError: 16 or 4 bits need an operator set that the model can't be raised to.
    """
    if _needs_wide(grids.values(), weights.values()):
        model = at_least(model, _WIDE_OPSET)
    work = ir.from_proto(model)
    graph = work.graph
    by_name = {node.outputs[0].name or "": node for node in graph}
    writer = _Writer(graph, grids)
    for name, layer in weights.items():
        form = bias if name in nodes else "float"
        writer.store_layer(by_name[name], layer, form)
    for name in dropped:
        _bypass(graph, by_name.pop(name))
    integer = {id(by_name[name]) for name in nodes if name in by_name}
    for value in [*graph.inputs, *(output for node in list(graph) for output in node.outputs)]:
        writer.quantize(value, integer)
    for name in sorted(nodes):
        if name in by_name and name not in weights:
            writer.store_operands(by_name[name])
    result = tidied(work)
    del result.graph.value_info[:]
    return result


def _needs_wide(grids: Iterable[Grid], weights: Iterable[LayerWeights]) -> bool:
    if any(grid.bits > 8 for grid in grids):
        return True
    return any(layer.bits < 8 or layer.block is not None for layer in weights)


def _bypass(graph: ir.Graph, clamp: ir.Node) -> None:
    """Remove a clamp; its producer takes over the name of its output."""
    source, output = clamp.inputs[0], clamp.outputs[0]
    assert source is not None
    name = output.name
    was_output = output.is_graph_output()
    ir.convenience.replace_all_uses_with(output, source, replace_graph_outputs=was_output)
    graph.remove(clamp, safe=True)
    source.name = name
    source.type, source.shape = output.type or source.type, output.shape or source.shape


class _Writer:
    def __init__(self, graph: ir.Graph, grids: Mapping[str, Grid]) -> None:
        self._graph = graph
        self._grids = grids
        self._shared: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self._counts: dict[str, int] = {}
        made = (output.name for node in graph for output in node.outputs)
        given = (value.name for value in graph.inputs)
        self._taken = {*graph.initializers, *made, *given, *(node.name for node in graph)}

    def quantize(self, value: ir.Value, integer: AbstractSet[int]) -> None:
        """Put a tensor on its grid for the integer nodes at either end of it."""
        grid = self._grids.get(value.name or "")
        if grid is None:
            return
        producer = value.producer()
        at_source = producer is not None and id(producer) in integer
        uses = list(value.uses())
        readers = [use for use in uses if at_source or id(use.node) in integer]
        if not readers and not (at_source and value.is_graph_output()):
            return
        parts = self._grid(grid)
        quantize = self._node("QuantizeLinear", [value, *parts], "q")
        restore = self._node("DequantizeLinear", [quantize.outputs[0], *parts], "dq")
        restored = restore.outputs[0]
        restored.type, restored.shape = value.type, value.shape
        for use in readers:
            use.node.replace_input_with(use.idx, restored)
        if at_source and value.is_graph_output():
            self._take_over_output(value, restored)
        if producer is None:
            first = next(iter(self._graph))
            self._graph.insert_before(first, [quantize, restore])
        else:
            self._graph.insert_after(producer, [quantize, restore])

    def _take_over_output(self, value: ir.Value, restored: ir.Value) -> None:
        name = value.name
        index = next(i for i, output in enumerate(self._graph.outputs) if output is value)
        self._graph.outputs[index] = restored
        value.name = self._free("raw")
        restored.name = name

    def store_layer(self, node: ir.Node, layer: LayerWeights, form: BiasForm) -> None:
        """Replace a layer's float weight by dequantized integers, and its bias in its form."""
        scales = self._store("s", layer.scales)
        if layer.bits == 8:
            weight = self._store("w", layer.weight)
            zeros = self._store("z", np.zeros(layer.scales.shape, np.int8))
        else:
            weight = self._store("w", layer.weight.astype(ml_dtypes.int4))
            zeros = self._store("z", np.zeros(layer.scales.shape, ml_dtypes.int4))
        attributes = {"axis": layer.axis}
        if layer.block is not None:
            attributes["block_size"] = layer.block
        self._feed(node, 1, [weight, scales, zeros], attributes)
        if layer.bias is None:
            return
        if form == "float":
            self._put(node, 2, self._store("b", np.asarray(layer.bias, np.float32)))
        else:
            self._store_bias(node, layer, layer.bias)

    def _store_bias(self, node: ir.Node, layer: LayerWeights, bias: NDArray[np.float32]) -> None:
        data = node.inputs[0]
        assert data is not None
        unit = (self._grids[data.name or ""].scale * layer.scales.astype(np.float64)).astype(
            np.float32
        )
        integers = np.rint(bias.astype(np.float64) / unit.astype(np.float64))
        parts = [
            self._store("b", integers.astype(np.int32)),
            self._store("s", unit),
            self._store("z", np.zeros(unit.shape, np.int32)),
        ]
        self._feed(node, 2, parts, {"axis": 0})

    def store_operands(self, node: ir.Node) -> None:
        """Put the stored float operands of an integer elementwise node on a grid of their own."""
        if node.op_type not in {"Add", "Mul", "Concat"}:
            return
        for index, value in enumerate(node.inputs):
            if value is None or value.const_value is None:
                continue
            array = np.asarray(value.const_value.numpy(), np.float32)
            grid = self._operand_grid(array)
            integers = np.rint(array / grid.scale) + grid.zero_point
            stored = np.clip(integers, grid.first, grid.last).astype(grid.dtype)
            self._feed(node, index, [self._store("w", stored), *self._grid(grid)], {})

    def _operand_grid(self, array: NDArray[np.float32]) -> Grid:
        """Return a grid over an array's values, of the kind that the activations have."""
        one = next(iter(self._grids.values()))
        symmetric = all(grid.signed and grid.zero_point == 0 for grid in self._grids.values())
        kind = GridKind(one.bits, one.signed, symmetric)
        return grid_of(float(array.min()), float(array.max()), kind)

    def _grid(self, grid: Grid) -> list[ir.Value]:
        scale = self._store("s", np.asarray(grid.scale, np.float32))
        return [scale, self._store("z", np.asarray(grid.zero_point, grid.dtype))]

    def _feed(
        self, node: ir.Node, index: int, parts: list[ir.Value], attributes: Mapping[str, int]
    ) -> None:
        restore = self._node("DequantizeLinear", parts, "dq", attributes)
        self._graph.insert_before(node, restore)
        self._put(node, index, restore.outputs[0])

    def _put(self, node: ir.Node, index: int, value: ir.Value) -> None:
        if index >= len(node.inputs):
            node.resize_inputs(index + 1)
        node.replace_input_with(index, value)

    def _store(self, letter: str, array: NDArray[Any]) -> ir.Value:
        """Return the initializer of these values: one for all that are equal."""
        key = str(array.dtype), array.shape, array.tobytes()
        known = self._shared.get(key)
        if known is not None:
            return known
        name = self._free(letter)
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        self._graph.register_initializer(value)
        self._shared[key] = value
        return value

    def _node(
        self,
        kind: str,
        inputs: list[ir.Value],
        letter: str,
        attributes: Mapping[str, int] | None = None,
    ) -> ir.Node:
        """Make a node that bears the name of its output."""
        node = ir.node(kind, inputs, attributes, name=self._free(letter))
        node.outputs[0].name = node.name
        return node

    def _free(self, prefix: str) -> str:
        """Return a name that no tensor or node has: the prefix with the next free number."""
        while True:
            self._counts[prefix] = self._counts.get(prefix, 0) + 1
            name = f"{prefix}{self._counts[prefix]}"
            if name not in self._taken:
                self._taken.add(name)
                return name
