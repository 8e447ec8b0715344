"""Attributes and stored operands of nodes, read one way whatever the operator set."""

from __future__ import annotations

from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper

from edgecv_cli.graph.topology import Topology


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Return an attribute's value, or the default where the node has none."""
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def stored(topology: Topology, node: onnx.NodeProto, index: int) -> NDArray[Any] | None:
    """Return the value of a stored operand; None where it is absent or computed."""
    if index >= len(node.input) or not node.input[index]:
        return None
    return topology.constants.value(node.input[index])


def listed(
    topology: Topology, node: onnx.NodeProto, name: str, index: int
) -> tuple[int, ...] | None:
    """Return integers that are an attribute in older operator sets and an operand in newer ones."""
    given = attribute(node, name)
    if given is not None:
        return tuple(int(one) for one in given)
    value = stored(topology, node, index)
    return None if value is None else tuple(int(one) for one in value.ravel())


def selected(
    topology: Topology, node: onnx.NodeProto, axis: int, size: int
) -> tuple[range, int | None] | None:
    """Return what a Slice takes of an axis, and at which place of its operands that stands.

    The place is None where the axis is taken whole. None in all where a bound is computed.
    """
    bounds = [stored(topology, node, index) for index in range(1, min(5, len(node.input)))]
    if len(bounds) < 2 or any(one is None for one in bounds):
        return None
    arrays = [[int(v) for v in one.ravel()] for one in bounds if one is not None]
    starts, ends = arrays[:2]
    rank = len(topology.shapes.get(node.input[0]) or ())
    axes = [a % rank for a in arrays[2]] if len(arrays) > 2 else list(range(len(starts)))
    steps = arrays[3] if len(arrays) > 3 else [1] * len(starts)
    if axis not in axes:
        return range(size), None
    place = axes.index(axis)
    return range(size)[slice(starts[place], ends[place], steps[place])], place
