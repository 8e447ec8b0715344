"""What a walk that gives a graph another input size asks of single nodes."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import shape_inference

from edgecv_cli.graph.reshape_axes import Axes, Axis, changes, new_shape, old_shape, old_size, plain


def inherited(old: list[int], new: tuple[int, ...], fed: list[Axes]) -> Axes:
    """Return an output's axes, made of what the same axis of an input is made of."""
    found = []
    for n in range(len(old), 0, -1):
        size = old[-n], new[-n]
        like = [
            axes[-n]
            for axes in fed
            if len(axes) >= n and old_shape((axes[-n],)) + new_shape((axes[-n],)) == size
        ]
        changed = [axis for axis in like if changes(axis)]
        found.append((changed or like or [plain(*size)])[0])
    return tuple(found)


def unlike(a: Axis, b: Axis) -> bool:
    """Whether two axes differ at the new input size."""
    return new_shape((a,)) != new_shape((b,))


def every(axis: Axis, start: int, step: int) -> Axis:
    """Return the axis of every ``step``-th element from ``start`` on, to the end."""
    if start == 0 and step == 1:
        return axis
    old, new = (len(range(start, size, step)) for size in (old_size(axis), new_shape((axis,))[0]))
    return plain(old, new)


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return a node's attribute, or what it is where the node does not say."""
    for entry in node.attribute:
        if entry.name == name:
            return onnx.helper.get_attribute_value(entry)
    return default


def types(model: onnx.ModelProto) -> dict[str, int]:
    """Return every tensor's ONNX element type, by name."""
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    found = {tensor.name: tensor.data_type for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        found[value.name] = value.type.tensor_type.elem_type
    return found
