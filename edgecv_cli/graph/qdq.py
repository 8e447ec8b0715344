"""Insert QuantizeLinear / DequantizeLinear pairs (ONNX operators, QDQ form).

A node that shall run in integers has every activation operand behind a DequantizeLinear and
every output before a QuantizeLinear; an engine fuses such a unit into one integer kernel.
A tensor made by a float node is quantized on a side branch that only integer nodes read, so
that its float readers keep full precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common


@dataclass(frozen=True)
class Grid:
    """A per-tensor uint8 grid: real = scale * (q - zero_point), q in 0..255."""

    scale: float
    zero_point: int

    @property
    def low(self) -> float:
        """Smallest value on the grid."""
        return -self.scale * self.zero_point

    @property
    def high(self) -> float:
        """Largest value on the grid."""
        return self.scale * (255 - self.zero_point)


@dataclass(frozen=True)
class LayerWeights:
    """A layer's stored integers.

    Attributes:
        weight: int8, in the layer's own layout.
        scales: float32 [output channels].
        axis: the weight's output channel axis.
        bias: float32 [output channels], or None; it is stored as int32 at scale
            input scale x weight scale, as integer kernels add it.
    """

    weight: NDArray[np.int8]
    scales: NDArray[np.float32]
    axis: int
    bias: NDArray[np.float32] | None


def insert_qdq(
    model: onnx.ModelProto,
    *,
    nodes: AbstractSet[str],
    grids: Mapping[str, Grid],
    weights: Mapping[str, LayerWeights],
    dropped: AbstractSet[str],
) -> onnx.ModelProto:
    """Return a QDQ copy of a normalised model.

    Args:
        model: normalised model; it is not changed.
        nodes: first outputs of the nodes that shall run in integers.
        grids: grid of each activation tensor that such a node reads or makes.
        weights: integers of each layer among ``nodes``.
        dropped: first outputs of clamps (Relu, Clip) that the grid of their output implies.
    """
    work = ir.from_proto(model)
    graph = work.graph
    by_name = {node.outputs[0].name or "": node for node in graph}
    writer = _Writer(graph, grids)
    for name, layer in weights.items():
        writer.store_layer(by_name[name], layer)
    for name in dropped:
        _bypass(graph, by_name.pop(name))
    integer = {id(by_name[name]) for name in nodes if name in by_name}
    for value in [*graph.inputs, *(output for node in list(graph) for output in node.outputs)]:
        writer.quantize(value, integer)
    for name in nodes:
        if name in by_name and name not in weights:
            writer.store_operands(by_name[name])
    passes = ir.passes.Sequential(common.RemoveUnusedNodesPass(), common.TopologicalSortPass())
    result: onnx.ModelProto = ir.to_proto(passes(work).model)
    return result


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
        name = value.name or ""
        scale = self._store(f"{name}_scale", np.asarray(grid.scale, np.float32))
        zero = self._store(f"{name}_zero_point", np.asarray(grid.zero_point, np.uint8))
        quantize = self._node("QuantizeLinear", [value, scale, zero], f"{name}_q")
        restore = self._node("DequantizeLinear", [quantize.outputs[0], scale, zero], f"{name}_dq")
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
        value.name = self._free(f"{name}_raw")
        restored.name = name

    def store_layer(self, node: ir.Node, layer: LayerWeights) -> None:
        """Replace a layer's float weight and bias by dequantized integers."""
        name = node.outputs[0].name or ""
        scales = self._store(f"{name}_weight_scale", layer.scales)
        zeros = self._store(f"{name}_weight_zero_point", np.zeros(layer.scales.shape, np.int8))
        weight = self._store(f"{name}_weight", layer.weight)
        self._feed(node, 1, [weight, scales, zeros], layer.axis, f"{name}_weight_dq")
        if layer.bias is None:
            return
        data = node.inputs[0]
        assert data is not None
        unit = (self._grids[data.name or ""].scale * layer.scales.astype(np.float64)).astype(
            np.float32
        )
        integers = np.rint(layer.bias.astype(np.float64) / unit.astype(np.float64))
        bias = self._store(f"{name}_bias", integers.astype(np.int32))
        step = self._store(f"{name}_bias_scale", unit)
        zero = self._store(f"{name}_bias_zero_point", np.zeros(unit.shape, np.int32))
        self._feed(node, 2, [bias, step, zero], 0, f"{name}_bias_dq")

    def store_operands(self, node: ir.Node) -> None:
        """Put the stored float operands of an integer elementwise node on a grid of their own."""
        if node.op_type not in {"Add", "Mul", "Concat"}:
            return
        for index, value in enumerate(node.inputs):
            if value is None or value.const_value is None:
                continue
            array = np.asarray(value.const_value.numpy(), np.float32)
            grid = grid_of(float(array.min()), float(array.max()))
            name = f"{node.outputs[0].name}_operand{index}"
            integers = np.clip(np.rint(array / grid.scale) + grid.zero_point, 0, 255)
            parts = [
                self._store(name, integers.astype(np.uint8)),
                self._store(f"{name}_scale", np.asarray(grid.scale, np.float32)),
                self._store(f"{name}_zero_point", np.asarray(grid.zero_point, np.uint8)),
            ]
            self._feed(node, index, parts, None, f"{name}_dq")

    def _feed(
        self, node: ir.Node, index: int, parts: list[ir.Value], axis: int | None, name: str
    ) -> None:
        attributes = {} if axis is None else {"axis": axis}
        restore = self._node("DequantizeLinear", parts, name, attributes)
        self._graph.insert_before(node, restore)
        if index < len(node.inputs):
            node.replace_input_with(index, restore.outputs[0])
        else:
            node.resize_inputs(index + 1)
            node.replace_input_with(index, restore.outputs[0])

    def _store(self, wanted: str, array: NDArray[np.generic]) -> ir.Value:
        name = self._free(wanted)
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        self._graph.register_initializer(value)
        return value

    def _node(
        self,
        kind: str,
        inputs: list[ir.Value],
        wanted: str,
        attributes: Mapping[str, int] | None = None,
    ) -> ir.Node:
        """Make a node that bears the name of its output."""
        node = ir.node(kind, inputs, attributes, name=self._free(wanted))
        node.outputs[0].name = node.name
        return node

    def _free(self, wanted: str) -> str:
        """Return a name that no tensor or node has: as wanted, or with a number."""
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name


def grid_of(low: float, high: float) -> Grid:
    """Return the uint8 grid that covers [low, high] and holds 0 exactly.

    Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference": zero must be representable, for padding.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / 255.0, 1e-9)
    scale = float(np.float32(scale))
    zero = int(np.clip(np.rint(-low / scale), 0, 255))
    return Grid(scale, zero)
