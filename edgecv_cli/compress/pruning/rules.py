"""What each operator does to the labels of channels.

A rule returns whether it could describe its node; where it could not, the node's inputs freeze.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
import onnx

from edgecv_cli.compress.pruning.attributes import attribute, listed, selected, stored
from edgecv_cli.compress.pruning.flow import Channels
from edgecv_cli.compress.pruning.tracer import Tracer

Rule = Callable[[Tracer, onnx.NodeProto], bool]


def _same(tracer: Tracer, node: onnx.NodeProto) -> bool:
    found = tracer.channels.get(node.input[0])
    if found is not None:
        for output in node.output:
            tracer.give(output, found.axis, found.labels)
    return True


def _conv(tracer: Tracer, node: onnx.NodeProto) -> bool:
    weight = tracer.shape(node.input[1])
    if weight is None or not tracer.is_stored(node.input[1]):
        return False
    groups = attribute(node, "group", 1)
    transposed = node.op_type == "ConvTranspose"
    count = weight[1] * groups if transposed else weight[0]
    return _weighted(tracer, node, groups, count)


def _weighted(tracer: Tracer, node: onnx.NodeProto, groups: int, count: int) -> bool:
    data, name = tracer.channels.get(node.input[0]), node.output[0]
    if data is not None and data.axis != 1:
        return False
    if groups == 1:
        tracer.make(name, name, 1, count)
        return True
    if data is None:
        return True  # nothing to cut in what it reads, and its groups are of fixed size
    if groups == len(data.labels):
        tracer.give(name, 1, np.repeat(data.labels, count // groups))
        return True
    tracer.make(name, name, 1, count)
    for labels in (data.labels, tracer.channels[name].labels):
        rows = labels.reshape(groups, -1)  # each group loses the same positions
        for row in rows[1:]:
            tracer.sets.join(rows[0], row)
    return True


def _gemm(tracer: Tracer, node: onnx.NodeProto) -> bool:
    weight = tracer.shape(node.input[1])
    if weight is None or not tracer.is_stored(node.input[1]) or attribute(node, "transA", 0):
        return False
    data = tracer.channels.get(node.input[0])
    if data is not None and data.axis != 1:
        return False
    tracer.make(node.output[0], node.output[0], 1, weight[0 if attribute(node, "transB", 0) else 1])
    return True


def _matmul(tracer: Tracer, node: onnx.NodeProto) -> bool:
    weight, made = tracer.shape(node.input[1]), tracer.shape(node.output[0])
    if weight is None or made is None or len(weight) != 2 or not tracer.is_stored(node.input[1]):
        return False
    data = tracer.channels.get(node.input[0])
    last = len(made) - 1
    if data is not None and data.axis != last:
        tracer.give(node.output[0], data.axis, data.labels)
        return True
    tracer.make(node.output[0], node.output[0], last, weight[1])
    return True


def _elementwise(tracer: Tracer, node: onnx.NodeProto) -> bool:
    made = tracer.shape(node.output[0])
    operands = [tensor for tensor in node.input if tensor]
    shapes = {tensor: tracer.shape(tensor) for tensor in operands}
    if made is None or any(shape is None for shape in shapes.values()):
        return False
    aligned: dict[str, Channels] = {
        tensor: Channels(found.axis + len(made) - len(shapes[tensor] or ()), found.labels)
        for tensor in operands
        if (found := tracer.channels.get(tensor)) is not None
    }
    wide = [one for one in aligned.values() if len(one.labels) == made[one.axis]]
    if not wide:
        return not aligned
    first = wide[0]
    for tensor, one in aligned.items():
        if len(one.labels) != made[one.axis]:
            tracer.freeze(tensor, f"{node.op_type} '{node.output[0]}' spreads it over all channels")
        elif one.axis != first.axis:
            return False
        else:
            tracer.sets.join(first.labels, one.labels)
    tracer.give(node.output[0], first.axis, first.labels)
    for tensor in set(operands) - set(aligned):
        size = _size_at(shapes[tensor] or (), first.axis - len(made))
        if size not in (1, None) and not tracer.is_stored(tensor):
            tracer.freeze(node.output[0], f"'{tensor}' is computed, and not of channels")
    return True


def _size_at(shape: tuple[int, ...], from_the_end: int) -> int | None:
    return shape[from_the_end] if len(shape) >= -from_the_end else None


def _concat(tracer: Tracer, node: onnx.NodeProto) -> bool:
    made = tracer.shape(node.output[0])
    parts = [tracer.channels.get(tensor) for tensor in node.input]
    known = [one for one in parts if one is not None]
    if made is None or not known or len({one.axis for one in known}) > 1:
        return not known
    axis = attribute(node, "axis") % len(made)
    if axis != known[0].axis:
        if len(known) < len(parts):
            return False
        for one in known[1:]:
            tracer.sets.join(known[0].labels, one.labels)
        tracer.give(node.output[0], known[0].axis, known[0].labels)
        return True
    labels = []
    for tensor, part in zip(node.input, parts, strict=True):
        shape = tracer.shape(tensor)
        if shape is None:
            return False
        labels.append(part.labels if part else tracer.sets.new(shape[axis], frozen=True))
    tracer.give(node.output[0], axis, np.concatenate(labels))
    return True


def _split(tracer: Tracer, node: onnx.NodeProto) -> bool:
    found = tracer.channels.get(node.input[0])
    shapes = [tracer.shape(output) for output in node.output]
    if found is None:
        return True
    if any(shape is None for shape in shapes):
        return False
    axis, start = attribute(node, "axis", 0) % len(shapes[0] or ()), 0
    for output, shape in zip(node.output, shapes, strict=True):
        labels = found.labels
        if axis == found.axis:
            labels = labels[start : start + (shape or ())[axis]]
            start += len(labels)
        tracer.give(output, found.axis, labels)
    return True


def _slice(tracer: Tracer, node: onnx.NodeProto) -> bool:
    found = tracer.channels.get(node.input[0])
    if found is None:
        return True
    taken = selected(tracer.topology, node, found.axis, len(found.labels))
    if taken is None or (abs(taken[0].step) > 1 and not _one_axis(tracer, node)):
        return False
    tracer.give(node.output[0], found.axis, found.labels[list(taken[0])])
    return True


def _one_axis(tracer: Tracer, node: onnx.NodeProto) -> bool:
    starts = stored(tracer.topology, node, 1)
    return starts is not None and starts.size == 1


def _gather(tracer: Tracer, node: onnx.NodeProto) -> bool:
    found, indices = tracer.channels.get(node.input[0]), stored(tracer.topology, node, 1)
    if found is None:
        return True
    shape = tracer.shape(node.input[0])
    if indices is None or indices.ndim != 1 or shape is None:
        return False
    axis = attribute(node, "axis", 0) % len(shape)
    labels = found.labels[indices] if axis == found.axis else found.labels
    tracer.give(node.output[0], found.axis, labels)
    return True


def _transpose(tracer: Tracer, node: onnx.NodeProto) -> bool:
    found, shape = tracer.channels.get(node.input[0]), tracer.shape(node.input[0])
    if found is None:
        return True
    if shape is None:
        return False
    order = attribute(node, "perm") or range(len(shape))[::-1]
    tracer.give(node.output[0], list(order).index(found.axis), found.labels)
    return True


def _reshape(tracer: Tracer, node: onnx.NodeProto) -> bool:
    """Follow an axis that keeps its place in memory: whole, or together with those behind it."""
    found = tracer.channels.get(node.input[0])
    before, after = tracer.shape(node.input[0]), tracer.shape(node.output[0])
    if found is None:
        return True
    if before is None or after is None:
        return False
    count = len(found.labels)
    ahead, behind = prod(before[: found.axis]), prod(before[found.axis :])
    for axis, size in enumerate(after):
        if prod(after[:axis]) == ahead and size % count == 0 and size >= count > 1:
            times = size // count
            if times > 1 and (len(before) < found.axis + 2 or behind % size):
                continue
            tracer.give(node.output[0], axis, np.repeat(found.labels, times))
            return True
    return False


def _resize(tracer: Tracer, node: onnx.NodeProto) -> bool:
    found = tracer.channels.get(node.input[0])
    before, after = tracer.shape(node.input[0]), tracer.shape(node.output[0])
    if found is None:
        return True
    if before is None or after is None or before[found.axis] != after[found.axis]:
        return False
    return _same(tracer, node)


def _pad(tracer: Tracer, node: onnx.NodeProto) -> bool:
    return len(node.input) < 4 and _resize(tracer, node)


def _reduce(tracer: Tracer, node: onnx.NodeProto) -> bool:
    found, shape = tracer.channels.get(node.input[0]), tracer.shape(node.input[0])
    axes = listed(tracer.topology, node, "axes", 1)
    if found is None:
        return True
    if axes is None or shape is None:
        return False
    gone = {axis % len(shape) for axis in axes}
    if found.axis in gone:
        return False
    kept = attribute(node, "keepdims", 1)
    axis = found.axis if kept else found.axis - sum(one < found.axis for one in gone)
    tracer.give(node.output[0], axis, found.labels)
    return True


def _across(tracer: Tracer, node: onnx.NodeProto) -> bool:
    """Describe an operator that works along one axis, which must not be that of the channels."""
    found, shape = tracer.channels.get(node.input[0]), tracer.shape(node.input[0])
    if found is None:
        return True
    if shape is None or attribute(node, "axis", -1) % len(shape) == found.axis:
        return False
    return _same(tracer, node)


def _on_channels(tracer: Tracer, node: onnx.NodeProto) -> bool:
    """Describe an operator with a stored parameter for each channel of axis 1."""
    found = tracer.channels.get(node.input[0])
    if found is None:
        return True
    if found.axis != 1 or not all(tracer.is_stored(tensor) for tensor in node.input[1:]):
        return False
    return _same(tracer, node)


def _prelu(tracer: Tracer, node: onnx.NodeProto) -> bool:
    return tracer.is_stored(node.input[1]) and _elementwise(tracer, node)


_UNARY = (
    *("Abs", "Cast", "Ceil", "Celu", "Clip", "Dropout", "Elu", "Erf", "Exp", "Floor", "Gelu"),
    *("HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "Mish", "Neg", "Reciprocal"),
    *("Relu", "Round", "Selu", "Sigmoid", "Sign", "Softplus", "Softsign", "Sqrt", "Tanh"),
    *("ThresholdedRelu", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool"),
    *("MaxPool", "GlobalLpPool"),
)

RULES: dict[str, Rule] = {
    **dict.fromkeys(_UNARY, _same),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max"), _elementwise),
    **dict.fromkeys(("Conv", "ConvTranspose"), _conv),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2"), _reduce),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _across),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization"), _on_channels),
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Transpose": _transpose,
    "Resize": _resize,
    "Pad": _pad,
    "PRelu": _prelu,
}
