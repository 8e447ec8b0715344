"""What a float network needs before LiteRT's quantizer makes integers of it; the same numbers.

- **Faint channels.** Integer kernels store a bias in steps of (input's scale x weights' scale). A
  channel without weights has no scale, and one with very small ones a step so fine that its bias
  runs out of 32 bits: what comes out is 0, which a sigmoid turns into a score of one half.
- **Shuffled halves.** ShuffleNet's exports (Ma et al. 2018) reshape to five axes and gather halves,
  where the quantizer fails. What the nodes do to the channels together is a Slice.
- **Padded pools.** The converter pads them with a stored value, which the quantizer takes for a
  tensor of weights. Where zeros do as well, they are padded by a node of their own; a MaxPool's
  windows may also see their border rows and columns twice, which changes no maximum.
- **HardSigmoid.** The converter ends in an operator for 0..1 that has no integers; a clamp to 0..6
  has, and is built into the layer or sum before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgecv_cli.graph.shapes import infer_shapes
from edgecv_cli.graph.tail import Constants

_LEAST = 1e-4  # of the bias: 2**31 steps last for inputs whose scale is above 4e-4
_MOVING = frozenset({"Reshape", "Transpose", "Gather"})
_MOST = 8
_SIX = 6.0
_ROUNDED = 1e-5  # of what 1/6 is in a float
Array = NDArray[Any]


def ready_for_integers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a normalised model, fit for full int8."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _slice_halves(copy)
    _pad_apart(copy)
    _clamp_to_six(copy)
    _raise_faint(copy)
    return copy


def _raise_faint(model: onnx.ModelProto) -> None:
    """Make the largest weight of a faint channel a 10,000th of its bias."""
    constants = Constants(model.graph)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Conv" or len(node.input) < 3 or node.input[1] not in stored:
            continue
        weight, bias = (constants.value(name) for name in node.input[1:3])
        raised = None if weight is None or bias is None else _raised(weight, np.abs(bias))
        if raised is not None:
            stored[node.input[1]].CopyFrom(numpy_helper.from_array(raised, node.input[1]))


def _raised(weight: Array, bias: Array) -> Array | None:
    """Return weights [channels, ...] with faint channels raised, None where there are none."""
    rows = weight.reshape(len(weight), -1).copy()
    largest = np.abs(rows).argmax(axis=1)
    channels = np.arange(len(rows))
    values = rows[channels, largest]
    least = (_LEAST * bias).astype(weight.dtype)
    faint = np.abs(values) < least
    if not faint.any():
        return None
    rows[channels, largest] = np.where(faint, np.where(values < 0, -least, least), values)
    return rows.reshape(weight.shape)


def _clamp_to_six(model: onnx.ModelProto) -> None:
    """Write HardSigmoid as a sixth of (6 slope x + 6 offset), clamped to 0..6."""
    graph = model.graph
    nodes = []
    for node in graph.node:
        given = {attribute.name: attribute.f for attribute in node.attribute}
        chain = _Chain(graph, node)
        if node.op_type == "HardSigmoid":
            slope, offset = _SIX * given.get("alpha", 0.2), _SIX * given.get("beta", 0.5)
            if abs(slope - 1) > _ROUNDED:
                chain.step("Mul", slope)
            chain.step("Add", offset)
            chain.step("Clip", 0.0, _SIX)
            chain.step("Mul", 1 / _SIX)
        nodes += chain.nodes or [node]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


class _Chain:
    """Nodes in place of one; the last bears its name."""

    def __init__(self, graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
        self._graph = graph
        self._node = node
        self.nodes: list[onnx.NodeProto] = []

    def step(self, kind: str, *values: float) -> None:
        """Add an op on what the last one made, with stored operands."""
        operands = [self._made()]
        for index, value in enumerate(values):
            operands.append(f"{self._node.output[0]}_step{len(self.nodes)}_{index}")
            stored = numpy_helper.from_array(np.asarray(value, np.float32), operands[-1])
            self._graph.initializer.append(stored)
        self._add(kind, operands)

    def _made(self) -> str:
        """Return what the next op reads; what was the last so far gets a name of its own."""
        if not self.nodes:
            return str(self._node.input[0])
        last = self.nodes[-1]
        name = f"{self._node.output[0]}_step{len(self.nodes)}"
        last.output[0] = last.name = name
        return name

    def _add(self, kind: str, operands: list[str]) -> None:
        name = self._node.output[0]
        self.nodes.append(helper.make_node(kind, operands, [name], name))


def _slice_halves(model: onnx.ModelProto) -> None:
    """Replace what moves channels through five axes by a Slice over evenly spaced channels."""
    graph, constants = model.graph, Constants(model.graph)
    shapes = infer_shapes(model)
    makers = {name: node for node in graph.node for name in node.output}
    for node in list(graph.node):
        if node.op_type != "Gather":
            continue
        chain = _chain(node, makers)
        source = shapes.get(chain[0].input[0])
        picked = None if source is None else _picked(chain, constants, source)
        if picked is None:
            continue
        name = f"{node.output[0]}_channels"
        start, step = int(picked[0]), int(picked[1] - picked[0])
        for part, value in (("s", start), ("e", start + step * len(picked)), ("a", 1), ("t", step)):
            tensor = numpy_helper.from_array(np.asarray([value], np.int64), f"{name}_{part}")
            graph.initializer.append(tensor)
        operands = [chain[0].input[0], *(f"{name}_{part}" for part in "seat")]
        node.CopyFrom(helper.make_node("Slice", operands, list(node.output), name))
    _drop_unread(graph)


def _chain(node: onnx.NodeProto, makers: dict[str, onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return the nodes above that only move values, first to last."""
    chain = [node]
    while len(chain) < _MOST:
        above = makers.get(chain[0].input[0])
        if above is None or above.op_type not in _MOVING:
            break
        chain.insert(0, above)
    return chain


def _picked(
    chain: list[onnx.NodeProto], constants: Constants, shape: tuple[int | None, ...]
) -> Array | None:
    """Return which channels come out, evenly spaced, of an input [1, C, H, W]; else None."""
    if len(shape) != 4 or shape[0] != 1 or None in shape or len(chain) < 2:
        return None
    sizes = [int(size or 0) for size in shape]
    value = np.arange(int(np.prod(sizes))).reshape(sizes)
    for node in chain:
        moved = _moved(node, value, constants)
        if moved is None:
            return None
        value = moved
    if value.ndim != 4 or list(value.shape[2:]) != sizes[2:] or value.shape[1] < 2:
        return None
    area = sizes[2] * sizes[3]
    channels = value[0, :, 0, 0] // area
    whole = np.arange(int(np.prod(sizes))).reshape(sizes)[:, channels]
    steps = set(np.diff(channels).tolist())
    same = value.shape == whole.shape and np.array_equal(value, whole)
    return channels if same and len(steps) == 1 and steps.pop() > 0 else None


def _moved(node: onnx.NodeProto, value: Array, constants: Constants) -> Array | None:
    given = {attribute.name: attribute for attribute in node.attribute}
    if node.op_type == "Transpose":
        perm = given.get("perm")
        return value.transpose(list(perm.ints) if perm else None)
    operand = constants.value(node.input[1])
    if operand is None:
        return None
    if node.op_type == "Gather":
        axis = given["axis"].i if "axis" in given else 0
        return np.asarray(np.take(value, operand, axis=axis))
    target = [value.shape[i] if size == 0 else int(size) for i, size in enumerate(operand)]
    return value.reshape(target)


def _pad_apart(model: onnx.ModelProto) -> None:
    """Give pools that may be padded with zeros a Pad before them."""
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    nodes = []
    for node in graph.node:
        given = {attribute.name: attribute for attribute in node.attribute}
        pads = list(given["pads"].ints) if "pads" in given else []
        if any(pads) and len(pads) == 4 and _takes_zeros(node, given, makers):
            name = f"{node.output[0]}_pads"
            whole = np.asarray([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64)
            graph.initializer.append(numpy_helper.from_array(whole, name))
            padded = f"{node.output[0]}_padded"
            nodes.append(helper.make_node("Pad", [node.input[0], name], [padded], padded))
            node.input[0] = padded
            node.attribute.remove(given["pads"])
        elif any(pads) and len(pads) == 4 and _takes_borders(node, given):
            nodes += _with_borders(graph, node, pads)
            node.attribute.remove(given["pads"])
        nodes.append(node)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


def _takes_zeros(
    node: onnx.NodeProto,
    given: dict[str, onnx.AttributeProto],
    makers: dict[str, onnx.NodeProto],
) -> bool:
    """Whether a pool's padding is the same as zeros around what it reads."""
    if "ceil_mode" in given and given["ceil_mode"].i:
        return False
    if node.op_type == "AveragePool":
        return "count_include_pad" in given and given["count_include_pad"].i == 1
    maker = makers.get(node.input[0])
    # the largest of values that are not negative, of which every window holds at least one
    return node.op_type == "MaxPool" and maker is not None and maker.op_type == "Relu"


def _takes_borders(node: onnx.NodeProto, given: dict[str, onnx.AttributeProto]) -> bool:
    """Whether a pool's padding is the same as its border repeated.

    Every window that reaches over the border holds it, unless the kernel has holes. Of a pool that
    moves by one, the converter pads in the operator itself.
    """
    whole = all(not given[name].i for name in ("ceil_mode", "storage_order") if name in given)
    dense = "dilations" not in given or set(given["dilations"].ints) == {1}
    moves = "strides" in given and max(given["strides"].ints) > 1
    return node.op_type == "MaxPool" and len(node.output) == 1 and whole and dense and moves


def _with_borders(
    graph: onnx.GraphProto, node: onnx.NodeProto, pads: list[int]
) -> list[onnx.NodeProto]:
    """Return the nodes that repeat the border of what a pool reads, and let it read that."""
    made = []
    for axis, before, after in ((2, pads[0], pads[2]), (3, pads[1], pads[3])):
        if not before + after:
            continue
        source, name = node.input[0], f"{node.output[0]}_border{axis}"
        ends = {"first": (0, 1), "last": (-1, 2**31 - 1)}
        for end, bounds in ends.items():
            parts = {"s": bounds[0], "e": bounds[1], "a": axis}
            for part, value in parts.items():
                stored = np.asarray([value], np.int64)
                graph.initializer.append(numpy_helper.from_array(stored, f"{name}_{end}_{part}"))
            operands = [source, *(f"{name}_{end}_{part}" for part in parts)]
            made.append(helper.make_node("Slice", operands, [f"{name}_{end}"], f"{name}_{end}"))
        joined = [f"{name}_first"] * before + [source] + [f"{name}_last"] * after
        made.append(helper.make_node("Concat", joined, [name], name, axis=axis))
        node.input[0] = name
    return [one for one in made if one.op_type == "Concat" or _is_read(one, made)]


def _is_read(node: onnx.NodeProto, nodes: list[onnx.NodeProto]) -> bool:
    return any(node.output[0] in other.input for other in nodes)


def _drop_unread(graph: onnx.GraphProto) -> None:
    outputs = {value.name for value in graph.output}
    while True:
        read = outputs | {name for node in graph.node for name in node.input}
        gone = [node for node in graph.node if not read.intersection(node.output)]
        if not gone:
            return
        for node in gone:
            graph.node.remove(node)
