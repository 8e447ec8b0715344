"""Repairs of Q/DQ pairs: biases, axes, stored integers, activations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.dequantise import clamped, real_values
from edgecv_cli.graph.tensorrt.grids import refit_integers, refit_range
from edgecv_cli.graph.tensorrt.placement_checks import LAYERS, PASSING
from edgecv_cli.graph.tensorrt.shifts import lowered
from edgecv_cli.graph.tensorrt.stored import Stored, array_of, name_of, operand
from edgecv_cli.graph.tensorrt.view import QUANTIZE, RESTORE


@dataclass(frozen=True)
class Mended:
    """One repair.

    Attributes:
        rule: the rule that was broken.
        node: the node.
        did: what was done, in words.
        exact: whether the network still computes the same numbers, up to rounding of floats.
    """

    rule: str
    node: str
    did: str
    exact: bool


@dataclass(frozen=True)
class Bench:
    """A graph under repair.

    Attributes:
        stored: takes new initializers.
        decoding: tensors of the decode tail, whose grids begin at 0 without a clamp.
        sparing: layers read floats where their grid can't be kept, rather than a coarser one.
    """

    stored: Stored
    decoding: AbstractSet[str]
    sparing: bool = False

    @property
    def graph(self) -> ir.Graph:
        """The graph."""
        return self.stored.graph

    def pairs(self, *kinds: str) -> Iterator[ir.Node]:
        """Yield each node of these operators; all of them stay where they are meanwhile."""
        yield from [node for node in self.graph if node.op_type in kinds]


Repair = Callable[[Bench], Iterator[Mended]]


def float_biases(bench: Bench) -> Iterator[Mended]:
    """Store biases as the floats that their integers stand for."""
    for node in bench.pairs(RESTORE):
        integers = array_of(operand(node, 0))
        output = node.outputs[0]
        if integers is None or integers.dtype != np.int32 or output.is_graph_output():
            continue
        try:
            value = bench.stored.put(real_values(node))
        except ModelError:  # its scales are computed, or do not fit: it stays a finding
            continue
        ir.convenience.replace_all_uses_with(output, value)
        bench.graph.remove(node, safe=True)
        yield Mended("integer-bias", name_of(node), "the bias is float", exact=True)


def written_axes(bench: Bench) -> Iterator[Mended]:
    """Write axes down: ONNX's own where it fits, else the only one that does."""
    for node in bench.pairs(QUANTIZE, RESTORE):
        scales, value = array_of(operand(node, 1)), operand(node, 0)
        if scales is None or scales.ndim != 1 or scales.size == 1:
            continue
        if value is None or value.shape is None or not len(value.shape):
            continue
        shape = list(value.shape)
        fitting = [place for place, size in enumerate(shape) if size == scales.size]
        asked = node.attributes.get("axis")
        axis = 1 if asked is None else int(asked.as_int())
        right = axis % len(shape) in fitting
        if asked is not None and right:
            continue
        chosen = axis % len(shape) if right else (fitting[0] if len(fitting) == 1 else None)
        if chosen is not None:
            node.attributes["axis"] = ir.AttrInt64("axis", chosen)
            yield Mended("axis", name_of(node), f"its axis is {chosen}", exact=right)


def stored_integers(bench: Bench) -> Iterator[Mended]:
    """Put stored integers on symmetric int8 grids without -128."""
    for node in bench.pairs(RESTORE):
        integers, scales = array_of(operand(node, 0)), array_of(operand(node, 1))
        if integers is None or scales is None or "block_size" in node.attributes:
            continue
        given = operand(node, 2)
        points = np.zeros(1, integers.dtype) if given is None else array_of(given)
        if points is None or integers.dtype.name not in _WHOLE:
            continue
        rule = _broken_by(integers, scales, points)
        if rule is None:
            continue
        axis = node.attributes.get("axis")
        place = (1 if axis is None else int(axis.as_int())) % max(integers.ndim, 1)
        try:
            found = refit_integers(integers, scales, points, place)
        except (ValueError, IndexError):  # the scales do not fit: it stays a finding
            continue
        if found is None or found.integers is None:
            continue
        _replace_parts(bench, node, found.scales)
        node.replace_input_with(0, bench.stored.put(found.integers))
        words = "its scale is kept" if found.exact else "its scales are fitted anew"
        yield Mended(rule, name_of(node), f"weights are symmetric int8, {words}", found.exact)


_DEEPEST = 16
_WHOLE = frozenset({"int8", "uint8", "int16", "uint16"})


def _broken_by(integers: NDArray[Any], scales: NDArray[Any], points: NDArray[Any]) -> str | None:
    """Return the rule that stored integers break, or None."""
    if integers.dtype == np.uint8:
        return "uint8"
    if integers.dtype != np.int8:
        return "integer-type"
    if np.any(points != 0):
        return "zero-point"
    if not np.all(scales > 0):
        return "scale-positive"
    return "weight-range" if np.any(integers == np.iinfo(np.int8).min) else None


def activation_pairs(bench: Bench) -> Iterator[Mended]:
    """Put activations on symmetric int8 grids that cover the ranges they had."""
    for quantize in bench.pairs(QUANTIZE):
        value, scales = operand(quantize, 0), array_of(operand(quantize, 1))
        kind, points = _grid_kind(quantize)
        restores = [use.node for use in quantize.outputs[0].uses()]
        if value is None or scales is None or points is None or kind is None:
            continue
        rule = _activation_rule(kind, points, quantize)
        if rule is None or not _only_restored(quantize, restores):
            continue
        bounds = np.iinfo(kind)
        found = refit_range(scales, points, int(bounds.min), int(bounds.max))
        if found is None:
            continue
        if value.producer() is not None and value.name not in bench.decoding:
            quantize.replace_input_with(0, clamped(bench.graph, quantize, value))
        spared = 0 if found.exact else bypass(quantize)
        if spared and not any(True for node in restores for _ in node.outputs[0].uses()):
            yield Mended(rule, name_of(quantize), "left out: no layer reads it", exact=False)
            continue
        kept = found.exact or _shifted(bench, quantize, points, kind)
        if bench.sparing and not kept and _given_back(bench, quantize, restores):
            yield Mended(rule, name_of(quantize), SPARED, exact=False)
            continue
        for node in (quantize, *restores):
            _replace_parts(bench, node, found.scales if found.exact or not kept else scales)
        quantize.attributes.pop("output_dtype", None)
        words = _WORDS[found.exact, kept]
        yield Mended(rule, name_of(quantize), f"symmetric int8, {words}", kept and not spared)


SPARED = "left out: symmetric int8 would be coarser, so its layers compute in float"
COARSER = "the scale is fitted anew"
_WORDS = {
    (True, True): "the scale is kept",
    (False, True): "the grid is kept: its zero point went into the biases of its layers",
    (False, False): COARSER,
}


def _shifted(bench: Bench, quantize: ir.Node, points: NDArray[Any], kind: np.dtype[Any]) -> bool:
    """Keep a grid of 8 bits by moving its zero point into biases, where that can be."""
    if kind.itemsize != 1 or points.size != 1:
        return False
    return lowered(bench.stored, quantize, int(points.item()), int(np.iinfo(kind).min))


def _given_back(bench: Bench, quantize: ir.Node, restores: list[ir.Node]) -> bool:
    """Let all that reads a pair compute in float, weights of layers too, where that can be."""
    if any(node.outputs[0].is_graph_output() for node in restores):
        return False
    readers = [use.node for node in restores for use in node.outputs[0].uses()]
    bypass(quantize, layers=True)
    for layer in readers:
        weight = operand(layer, 1) if layer.op_type in LAYERS else None
        restore = None if weight is None else weight.producer()
        if restore is None or restore.op_type != RESTORE or array_of(operand(restore, 0)) is None:
            continue
        with suppress(ModelError):  # its scales do not fit: they stay a finding
            layer.replace_input_with(1, bench.stored.put(real_values(restore)))
    return True


def bypass(quantize: ir.Node, *, layers: bool = False) -> int:
    """Let what is no layer read the float tensor itself; returns how many readers that are.

    Integers are of use to TensorRT at the inputs of layers, and at additions to their outputs.
    Elementwise operators between them it fuses as floats, and those lose less so.

    Args:
        quantize: a Q that DQs alone read.
        layers: whether layers read the float tensor too.
    """
    value = operand(quantize, 0)
    assert value is not None
    spared = 0
    for restore in [use.node for use in quantize.outputs[0].uses()]:
        if restore.outputs[0].is_graph_output():
            continue
        for use in list(restore.outputs[0].uses()):
            if layers or not _wants_integers(use.node, 0):
                use.node.replace_input_with(use.idx, value)
                spared += 1
    return spared


def _wants_integers(node: ir.Node, depth: int) -> bool:
    """Whether a reader is a layer, adds to one's output, or passes numbers on to such."""
    if node.op_type in LAYERS or depth > _DEEPEST:
        return True
    if node.op_type == "Add":
        makers = [value.producer() for value in node.inputs if value is not None]
        return any(maker is not None and maker.op_type in LAYERS for maker in makers)
    if node.op_type in PASSING or node.op_type == RESTORE:
        readers = [use.node for output in node.outputs for use in output.uses()]
        return any(_wants_integers(reader, depth + 1) for reader in readers)
    return False


def _grid_kind(quantize: ir.Node) -> tuple[np.dtype[Any] | None, NDArray[Any] | None]:
    """Return the integer type of a Q and its zero points; None where they are not known."""
    given = operand(quantize, 2)
    if given is None:
        asked = quantize.attributes.get("output_dtype")
        kind = ir.DataType.UINT8 if asked is None else ir.DataType(int(asked.as_int()))
        name = kind.name.lower()
        return (np.dtype(name) if name in _WHOLE else None), np.zeros(1, np.int64)
    points = array_of(given)
    known = points is not None and points.dtype.name in _WHOLE
    return (points.dtype if known and points is not None else None), points


def _activation_rule(kind: np.dtype[Any], points: NDArray[Any], quantize: ir.Node) -> str | None:
    if kind == np.uint8:
        return "uint8"
    if kind != np.int8:
        return "integer-type"
    if np.any(points != 0):
        return "zero-point"
    asked = quantize.attributes.get("output_dtype")
    differs = asked is not None and int(asked.as_int()) not in (0, ir.DataType.INT8)
    return "integer-type" if differs else None


def _only_restored(quantize: ir.Node, restores: list[ir.Node]) -> bool:
    """Whether all that reads a Q is DQs on the same grid."""
    if quantize.outputs[0].is_graph_output():
        return False
    ours = [array_of(operand(quantize, index)) for index in (1, 2)]
    for node in restores:
        theirs = [array_of(operand(node, index)) for index in (1, 2)]
        if node.op_type != RESTORE or not all(map(_same, ours, theirs)):
            return False
    return True


def _same(a: NDArray[Any] | None, b: NDArray[Any] | None) -> bool:
    return (a is None) == (b is None) and (a is None or b is None or np.array_equal(a, b))


def zero_point_shapes(bench: Bench) -> Iterator[Mended]:
    """Give zero points of 0 the shape of their scales, and none none."""
    for node in bench.pairs(QUANTIZE, RESTORE):
        scales, points = (array_of(operand(node, index)) for index in (1, 2))
        if scales is None or points is None or scales.size == points.size or np.any(points != 0):
            continue
        zeros = np.zeros(scales.shape, points.dtype)
        node.replace_input_with(2, bench.stored.put(zeros))
        yield Mended(
            "zero-point-size", name_of(node), f"it has {scales.size} zero points", exact=True
        )


def _replace_parts(bench: Bench, node: ir.Node, scales: NDArray[np.float32]) -> None:
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    node.replace_input_with(1, bench.stored.put(scales))
    node.replace_input_with(2, bench.stored.put(np.zeros(scales.shape, np.int8)))
