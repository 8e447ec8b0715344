"""Turn a QDQ model back to float: the pairs go, stored integers become the numbers they stand for.

What rounding lost stays lost; nothing more is lost. Exporters (this one too) leave out a Relu
that the grid of its output implies: where a grid begins at 0, the clamp is put back. Not so in
the decode tail, where grids begin at 0 because boxes and scores do.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.tail import INTEGER_WEIGHTED, find_tail
from edgecv_cli.graph.tidy import tidied

_QUANTIZE, _RESTORE = "QuantizeLinear", "DequantizeLinear"
_ORT_DOMAIN = "com.microsoft"
_ORT_INTEGER = ("QLinear", "QGemm", "QAttention", "MatMulInteger", "MatMulNBits", "DynamicQuant")
# These can be negative, so that a grid from 0 on was a clamp.
_SIGNED = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "Add", "Sub", "Concat"}
)
_SIX = 6.0
_SIX_STEP = 0.03  # a grid of 0..6 that was rounded ends within one step of 8 bits


def integer_operators(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return the operators that compute on integers (QOperator form), sorted; empty in QDQ form."""
    found = {
        node.op_type
        for node in model.graph.node
        if node.op_type in INTEGER_WEIGHTED
        or node.op_type == "DynamicQuantizeLinear"
        or (node.domain == _ORT_DOMAIN and node.op_type.startswith(_ORT_INTEGER))
    }
    return tuple(sorted(found))


def dequantised(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a float copy of a model in QDQ form, or of one that only stores integers.

    Args:
        model: a checked model; it is not changed.

    Raises:
        ModelError: it computes on integers (QLinearConv, ConvInteger, ...), or a quantized
            tensor is read by something that can't be undone.
    """
    operators = integer_operators(model)
    if operators:
        raise ModelError(
            f"the model computes on integers ({', '.join(operators)}): its weights can't be told "
            "from its arithmetic",
            remedy="give the float model that it was made from, or one quantized in QDQ form",
        )
    tail = find_tail(model.graph)
    decoding = {*tail.heads, *(name for node in tail.nodes for name in node.output)}
    work = ir.from_proto(model)
    graph = work.graph
    for node in list(graph):
        if node.op_type == _RESTORE:
            _undo(graph, node, decoding)
    result = tidied(work)
    _require_float(result)
    return result


def _undo(graph: ir.Graph, restore: ir.Node, decoding: AbstractSet[str]) -> None:
    """Replace one DequantizeLinear by what it gives back."""
    source = restore.inputs[0]
    assert source is not None
    quantize = source.producer()
    if source.const_value is not None and quantize is None:
        _replace(graph, restore, _stored(graph, restore))
    elif quantize is not None and quantize.op_type == _QUANTIZE:
        whole = quantize.inputs[0]
        assert whole is not None
        value = whole if whole.name in decoding else clamped(graph, quantize, whole)
        _replace(graph, restore, value)


def _replace(graph: ir.Graph, restore: ir.Node, value: ir.Value) -> None:
    """Have everything read ``value`` instead; a graph output keeps its name."""
    output = restore.outputs[0]
    if output.is_graph_output():
        same = ir.node("Identity", [value])
        graph.insert_after(restore, same)
        name, output.name = output.name, f"{output.name}_quantized"
        same.outputs[0].name = name
        same.outputs[0].type, same.outputs[0].shape = output.type, output.shape
        value = same.outputs[0]
        ir.convenience.replace_all_uses_with(output, value, replace_graph_outputs=True)
    else:
        ir.convenience.replace_all_uses_with(output, value)
    graph.remove(restore, safe=True)


def _stored(graph: ir.Graph, restore: ir.Node) -> ir.Value:
    """Store what a DequantizeLinear makes of stored integers, as a float32 initializer."""
    name = restore.outputs[0].name or ""
    unique = f"{name}_float"
    while unique in graph.initializers:
        unique += "_"
    array = real_values(restore)
    value = ir.Value(name=unique, const_value=ir.tensor(array, name=unique))
    graph.register_initializer(value)
    return value


def real_values(restore: ir.Node) -> NDArray[np.float32]:
    """Compute (q - zero point) x scale in float32, as ONNX defines DequantizeLinear.

    Raises:
        ModelError: scale or zero point is computed, or does not fit.
    """
    integers, scale, *rest = (None if v is None else v.const_value for v in restore.inputs)
    zero = rest[0] if rest else None
    computed = scale is None or (len(restore.inputs) > 2 and restore.inputs[2] and zero is None)
    if integers is None or scale is None or computed:
        raise _undoable(restore, "its scale is computed")
    values = np.asarray(integers.numpy()).astype(np.int64)
    steps = np.asarray(scale.numpy()).astype(np.float32)
    points = np.asarray(0 if zero is None else zero.numpy()).astype(np.int64)
    try:
        shifted = values - _spread(points, values, restore)
        real: NDArray[np.float32] = shifted.astype(np.float32) * _spread(steps, values, restore)
    except (ValueError, IndexError) as error:
        raise _undoable(restore, "its scales do not fit its tensor") from error
    return real


def _spread(part: NDArray[Any], values: NDArray[np.int64], node: ir.Node) -> NDArray[Any]:
    """Lay a scale or zero point out along the axis, or the blocks, that it belongs to."""
    if part.size == 1:
        return part.reshape(())
    axis = _attribute(node, "axis", 1) % values.ndim
    block = _attribute(node, "block_size", 0)
    if block:
        whole = np.repeat(part, block, axis=axis)
        return whole.take(range(values.shape[axis]), axis=axis)
    if part.shape != (values.shape[axis],):
        raise ValueError("one scale a channel is wanted")
    return part.reshape([-1 if place == axis else 1 for place in range(values.ndim)])


def _attribute(node: ir.Node, name: str, default: int) -> int:
    found = node.attributes.get(name)
    return default if found is None else int(found.as_int())


def clamped(graph: ir.Graph, quantize: ir.Node, value: ir.Value) -> ir.Value:
    """Return the tensor that was quantized, behind the clamp that its grid stood for, if any."""
    top = _top_of_clamp(quantize)
    producer = value.producer()
    if top is None or producer is None or producer.op_type not in _SIGNED:
        return value
    operands = [value]
    if top != np.inf:
        for label, bound in (("low", 0.0), ("high", top)):
            name = f"{value.name}_clamp_{label}"
            constant = graph.initializers.get(name)
            if constant is None:
                constant = ir.Value(name=name, const_value=ir.tensor(np.float32(bound), name=name))
                graph.register_initializer(constant)
            operands.append(constant)
    clamp = ir.node("Relu" if len(operands) == 1 else "Clip", operands)
    clamp.outputs[0].name = f"{quantize.outputs[0].name}_clamped"
    clamp.outputs[0].type, clamp.outputs[0].shape = value.type, value.shape
    graph.insert_after(quantize, clamp)
    return clamp.outputs[0]


def _top_of_clamp(quantize: ir.Node) -> float | None:
    """Return where the clamp ends that a grid stands for: inf for Relu; None if it is no clamp."""
    constants = [None if v is None else v.const_value for v in quantize.inputs[1:]]
    scale = constants[0]
    zero = constants[1] if len(constants) > 1 else None
    if scale is None or zero is None or scale.size != 1 or zero.size != 1:
        return None
    point = np.asarray(zero.numpy())
    if point.dtype.kind not in "iu":
        return None
    bounds = np.iinfo(point.dtype)
    if int(point.item()) != bounds.min:
        return None
    top = float(np.asarray(scale.numpy()).item()) * (bounds.max - bounds.min)
    return _SIX if abs(top - _SIX) <= _SIX_STEP else np.inf


def _require_float(model: onnx.ModelProto) -> None:
    left = [node for node in model.graph.node if node.op_type == _QUANTIZE]
    if left:
        raise ModelError(
            f"tensor '{left[0].output[0]}' is quantized and read as integers: that can't be undone",
            remedy="give the float model that it was made from",
        )


def _undoable(node: ir.Node, why: str) -> ModelError:
    return ModelError(
        f"DequantizeLinear of '{node.outputs[0].name}' can't be undone: {why}",
        remedy="give the float model that it was made from",
    )
