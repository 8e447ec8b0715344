"""Checks of Q/DQ pairs: integers, zero points, scales, axes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto

from edgecv_cli.graph.tensorrt.finding import Hit, Level
from edgecv_cli.graph.tensorrt.target import TrtTarget
from edgecv_cli.graph.tensorrt.view import (
    QUANTIZE,
    RESTORE,
    View,
    attribute,
    has,
    label,
    type_name,
)

_TAKEN = frozenset(
    {
        TensorProto.INT8,
        TensorProto.INT4,
        TensorProto.FLOAT8E4M3FN,
        TensorProto.FLOAT4E2M1,
        TensorProto.UINT8,  # another rule's
        0,
    }
)


def zero_points(view: View, _target: TrtTarget) -> Iterator[Hit]:
    """Yield pairs whose zero point is not 0 everywhere, or is not stored."""
    for node in view.pairs():
        name = view.part(node, 2)
        if not name:
            continue
        points = view.value(name)
        if points is None:
            yield Hit(label(node), f"its zero point '{name}' is computed, not stored")
        elif np.any(points != 0):
            shown = sorted({str(point) for point in points.ravel() if point != 0})[:3]
            yield Hit(label(node), f"its zero point is {', '.join(shown)}, not 0")


def unsigned(view: View, _target: TrtTarget) -> Iterator[Hit]:
    """Yield pairs over uint8."""
    for node in view.pairs():
        if view.integers_of(node) != TensorProto.UINT8:
            continue
        stored = node.op_type == RESTORE and view.stored(node) is not None
        level: Level | None = "error" if stored else None
        kind = "weights" if stored else "integers"
        said = "" if view.part(node, 2) else " (ONNX's choice where no zero point is given)"
        yield Hit(label(node), f"its {kind} are uint8{said}", level)


def positive_scales(view: View, _target: TrtTarget) -> Iterator[Hit]:
    """Yield pairs with a scale of 0, below 0, or that is no finite number."""
    for node in view.pairs():
        scales = view.value(view.part(node, 1))
        if scales is None:
            continue
        wide = np.real(scales).astype(np.float32)  # a damaged file may claim complex numbers
        wrong = int(np.sum(~(np.isfinite(wide) & (wide > 0))))
        if wrong:
            yield Hit(label(node), f"{wrong} of its {wide.size} scales are not above 0")


def zero_point_sizes(view: View, _target: TrtTarget) -> Iterator[Hit]:
    """Yield pairs that have another number of zero points than of scales."""
    for node in view.pairs():
        scales, points = (view.value(view.part(node, index)) for index in (1, 2))
        if scales is not None and points is not None and scales.size != points.size:
            yield Hit(label(node), f"it has {points.size} zero points for {scales.size} scales")


def stored_scales(view: View, _target: TrtTarget) -> Iterator[Hit]:
    """Yield pairs whose scale is computed."""
    for node in view.pairs():
        name = view.part(node, 1)
        if view.value(name) is None:
            yield Hit(label(node), f"its scale '{name}' is computed, not stored")


def axes(view: View, _target: TrtTarget) -> Iterator[Hit]:
    """Yield pairs with scales that do not fit their axis, or whose axis is not written down."""
    for node in view.pairs():
        scales = view.value(view.part(node, 1))
        shape = view.shapes.get(node.input[0])
        if scales is None or scales.ndim != 1 or scales.size == 1 or shape is None:
            continue
        axis = int(attribute(node, "axis", 1))
        size = shape[axis] if -len(shape) <= axis < len(shape) else None
        if size is not None and size != scales.size:
            yield Hit(
                label(node),
                f"it has {scales.size} scales along axis {axis}, which has {size} elements",
                "error",
            )
        elif not has(node, "axis"):
            yield Hit(
                label(node),
                f"it has {scales.size} scales and no axis: ONNX takes 1, onnx-tensorrt took 0",
            )
        elif view.stored(node) is None and view.source(node.input[0], QUANTIZE) is None:
            yield from _activation_scales(view, node, scales.size)


def _activation_scales(view: View, node: onnx.NodeProto, count: int) -> Iterator[Hit]:
    """Yield a Q of a computed tensor that has a scale a channel: that is for weights."""
    if node.op_type == QUANTIZE and not view.constants.is_constant(node.input[0]):
        yield Hit(label(node), f"it has {count} scales for an activation", "warning")


def integer_types(view: View, _target: TrtTarget) -> Iterator[Hit]:
    """Yield pairs over integers that TensorRT has none of, or that contradict their attribute."""
    for node in view.pairs():
        kind = view.integers_of(node)
        asked = int(attribute(node, "output_dtype", 0))
        if kind not in _TAKEN and kind != TensorProto.INT32:
            yield Hit(label(node), f"its integers are {type_name(kind)}")
        elif node.op_type == QUANTIZE and asked and asked != kind:
            yield Hit(
                label(node),
                f"its output_dtype is {type_name(asked)}, its zero point {type_name(kind)}",
            )


def integer_biases(view: View, _target: TrtTarget) -> Iterator[Hit]:
    """Yield DequantizeLinears over int32: ONNX Runtime's biases."""
    for node in view.of(RESTORE):
        if view.integers_of(node) == TensorProto.INT32:
            readers = view.readers.get(node.output[0], [])
            whose = f" of {readers[0].op_type} '{label(readers[0])}'" if readers else ""
            yield Hit(label(node), f"it restores an int32 bias{whose}")


def weight_range(view: View, _target: TrtTarget) -> Iterator[Hit]:
    """Yield weights that use -128."""
    for node in view.of(RESTORE):
        stored = view.stored(node)
        if stored is not None and stored.dtype == np.int8:
            used = int(np.sum(stored == -128))
            if used:
                yield Hit(label(node), f"{used} of its {stored.size} weights are -128")
