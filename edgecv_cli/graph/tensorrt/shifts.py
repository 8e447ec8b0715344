"""Keep a lopsided grid where convolutions can take its zero point along in their biases.

A grid of 256 steps around any zero point is the symmetric int8 grid of what lies ``middle`` lower:
scale x (q - zero point) = scale x (q' - 0) + middle. So the tensor is lowered by that before it is
quantized, and what reads it adds middle x the sum of its weights. That holds where no zeros are
padded, since a padded 0 would have to be lowered too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.dequantise import real_values
from edgecv_cli.graph.tensorrt.stored import Stored, array_of, operand
from edgecv_cli.graph.tensorrt.view import RESTORE

_FIRST = np.iinfo(np.int8).min


def lowered(stored: Stored, quantize: ir.Node, zero_point: int, first: int) -> bool:
    """Lower what a Q reads so that its grid becomes symmetric, if all readers can make up for it.

    The Q and its DQs keep their old zero point: that is for the caller to replace by 0.

    Args:
        stored: takes the new initializers.
        quantize: a Q with one scale over 8-bit integers, read by DQs on the same grid alone.
        zero_point: its zero point.
        first: the smallest integer of its type.

    Returns:
        Whether it was done; if not, nothing is changed.
    """
    value, given = operand(quantize, 0), operand(quantize, 1)
    scale = None if given is None else _floats(given)
    if value is None or scale is None or scale.size != 1:
        return False
    middle = float(scale.item()) * (first - _FIRST - zero_point)
    layers = _readers(use.node for use in quantize.outputs[0].uses())
    sums = None if layers is None else [_weight_sums(layer) for layer in layers]
    if not layers or sums is None or any(one is None for one in sums):
        return False
    for layer, weights in zip(layers, sums, strict=True):
        assert weights is not None
        _raise_bias(stored, layer, middle * weights)
    lower = stored.node("Sub", [value, stored.put(np.array(middle, np.float32))])
    lower.outputs[0].type, lower.outputs[0].shape = value.type, value.shape
    stored.graph.insert_before(quantize, lower)
    quantize.replace_input_with(0, lower.outputs[0])
    return True


def _readers(restores: Iterable[ir.Node]) -> list[ir.Node] | None:
    """Return the convolutions that read DQs as their data; None if anything else does."""
    found: dict[ir.Node, None] = {}
    for restore in restores:
        if restore.outputs[0].is_graph_output():
            return None
        for use in restore.outputs[0].uses():
            if use.node.op_type != "Conv" or use.idx != 0 or _pads(use.node):
                return None
            found[use.node] = None
    return list(found)


def _pads(layer: ir.Node) -> bool:
    """Whether a convolution pads, or may."""
    pads, named = layer.attributes.get("pads"), layer.attributes.get("auto_pad")
    if named is not None and named.as_string() not in ("NOTSET", "VALID"):
        return True
    return pads is not None and any(pads.as_ints())


def _weight_sums(layer: ir.Node) -> NDArray[np.float64] | None:
    """Return what a layer's weights add up to, float64 [out]; None where it can't be shifted."""
    weight, bias = operand(layer, 1), operand(layer, 2)
    if bias is not None and _floats(bias) is None:
        return None
    values = None if weight is None else _real(weight)
    if values is None or values.ndim < 2:
        return None
    total: NDArray[np.float64] = values.astype(np.float64).reshape(len(values), -1).sum(axis=1)
    return total


def _real(weight: ir.Value) -> NDArray[Any] | None:
    """Return stored weights, or what a DQ makes of stored integers."""
    restore = weight.producer()
    if restore is None:
        return _floats(weight)
    if restore.op_type != RESTORE or array_of(operand(restore, 0)) is None:
        return None
    try:
        return real_values(restore)
    except ModelError:
        return None


def _floats(value: ir.Value) -> NDArray[Any] | None:
    array = array_of(value)
    return array if array is not None and array.dtype == np.float32 else None


def _raise_bias(stored: Stored, layer: ir.Node, by: NDArray[np.float64]) -> None:
    given = array_of(operand(layer, 2))
    before = np.zeros(len(by)) if given is None else given.astype(np.float64)
    if len(layer.inputs) < 3:
        layer.resize_inputs(3)
    layer.replace_input_with(2, stored.put((before + by).astype(np.float32)))
