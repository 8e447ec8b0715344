"""Channel shuffles as one Gather, which can lose channels.

Exporters write a shuffle as Reshape, Transpose, Reshape (Zhang et al. 2018, "ShuffleNet"). What the
three do together is found by sending each channel's number through them.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgecv_cli.graph.shapes import infer_shapes


def with_gathered_shuffles(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which every shuffle of channels is a Gather on axis 1; same numbers."""
    work = onnx.ModelProto()
    work.CopyFrom(model)
    graph, shapes = work.graph, infer_shapes(model)
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for tensor in node.input:
            readers.setdefault(tensor, []).append(node)
    outputs = {value.name for value in graph.output}
    nodes = []
    for node in graph.node:
        chain = _chain(node, readers, outputs)
        order = None if chain is None else _permutation(chain, shapes)
        if chain is None or order is None:
            nodes.append(node)
            continue
        name = f"{chain[2].output[0]}_shuffle"
        graph.initializer.append(numpy_helper.from_array(order, name))
        gather = helper.make_node("Gather", [node.input[0], name], chain[2].output, name, axis=1)
        for gone in chain[1:]:
            gone.op_type = ""
        nodes.append(gather)
    left = [node for node in nodes if node.op_type]
    del graph.node[:]
    graph.node.extend(left)
    return work


_Chain = tuple[onnx.NodeProto, onnx.NodeProto, onnx.NodeProto]


def _chain(
    node: onnx.NodeProto, readers: dict[str, list[onnx.NodeProto]], outputs: set[str]
) -> _Chain | None:
    found = [node]
    for kind in ("Reshape", "Transpose", "Reshape"):
        if found[-1].op_type != kind:
            return None
        if len(found) == 3:
            return (found[0], found[1], found[2])
        after = readers.get(found[-1].output[0], [])
        if len(after) != 1 or found[-1].output[0] in outputs:
            return None
        found.append(after[0])
    return None


def _permutation(
    chain: _Chain, shapes: dict[str, tuple[int | None, ...]]
) -> NDArray[np.int64] | None:
    """Return which channel comes where, int64 [channels]; None where it is no shuffle."""
    known = [shapes.get(name) for name in (chain[0].input[0], *(one.output[0] for one in chain))]
    before, split, turned, after = ([size or 0 for size in one or ()] for one in known)
    if len(before) != 4 or before != after or 0 in (*before, *split, *turned):
        return None
    order = next((list(a.ints) for a in chain[1].attribute if a.name == "perm"), None)
    if order is None or len(order) != len(split):
        return None
    numbers = np.broadcast_to(np.arange(before[1]).reshape(1, -1, 1, 1), before)
    places = np.arange(before[2] * before[3]).reshape(1, 1, *before[2:])
    mixed = np.broadcast_to(numbers * places.size + places, before)
    moved = mixed.reshape(split).transpose(order).reshape(after)
    channels = moved[0, :, 0, 0] // places.size
    expected = channels.reshape(1, -1, 1, 1) * places.size + places
    return (
        channels.astype(np.int64)
        if np.array_equal(moved, np.broadcast_to(expected, before))
        else None
    )
