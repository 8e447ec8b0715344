"""Fix a model's image size, and infer the shape of every tensor."""

from __future__ import annotations

import math

import onnx
from onnx import shape_inference

from edgecv_cli.core import tensors
from edgecv_cli.core.errors import ModelError, UsageError
from edgecv_cli.core.tensors import is_image, is_nhwc

Shape = tensors.Shape
_MAX_ELEMENTS = 2**31


def value_shape(value: onnx.ValueInfoProto) -> Shape | None:
    """Return a tensor's shape, None per open axis; None if it is not a ranked tensor."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        return None
    return tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None
        for dim in kind.shape.dim
    )


def graph_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs that a caller must feed (old exports list initializers among them)."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in stored]


def image_input(model: onnx.ModelProto) -> onnx.ValueInfoProto | None:
    """Return the first input that is a picture, else the first 4-D one, or None."""
    planes = []
    for value in graph_inputs(model):
        shape = value_shape(value)
        if shape is not None and len(shape) == 4:
            planes.append((not is_image(shape), value))
    return min(planes, key=lambda entry: entry[0])[1] if planes else None


def fixed(model: onnx.ModelProto, input_size: tuple[int, int] | None) -> onnx.ModelProto:
    """Return a copy with batch 1 and, where the graph leaves it open, the given image size.

    Args:
        model: the model; it is not changed.
        input_size: [height, width] for a graph that takes any size.

    Raises:
        UsageError: the graph has a fixed size that differs from ``input_size``.
    """
    value = image_input(model)
    if value is None:
        return model
    shape = value_shape(value)
    assert shape is not None
    axes = (1, 2) if is_nhwc(shape) else (2, 3)
    wanted: list[int | None] = list(shape)
    wanted[0] = 1 if shape[0] is None else shape[0]
    if input_size is not None:
        for axis, size in zip(axes, input_size, strict=True):
            if shape[axis] not in (None, size):
                raise UsageError(
                    f"the model's input is fixed at {shape[axes[0]]}x{shape[axes[1]]}, not "
                    f"{input_size[0]}x{input_size[1]}",
                    remedy="leave --input-size out, or export the model with another size",
                )
            wanted[axis] = size
    if tuple(wanted) == shape:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    target = image_input(copy)
    assert target is not None
    dims = target.type.tensor_type.shape.dim
    symbols = {
        dim.dim_param: size
        for dim, size in zip(dims, wanted, strict=True)
        if dim.dim_param and size is not None
    }
    for dim, known in zip(dims, wanted, strict=True):
        if known is not None:
            dim.dim_value = known
    others = [other for other in graph_inputs(copy) if other.name != target.name]
    for other in others:
        _close_batch(other, symbols, wanted[0])
    _forget_open_shapes(copy, symbols)
    return copy


def _close_batch(value: onnx.ValueInfoProto, symbols: dict[str, int], batch: int | None) -> None:
    """Give an input that comes with the picture, such as its size, the picture's batch."""
    dims = value.type.tensor_type.shape.dim
    for axis, dim in enumerate(dims):
        known = symbols.get(dim.dim_param) if dim.dim_param else None
        if known is None and axis == 0 and len(dims) > 1 and dim.dim_value <= 0:
            known = batch
        if known is not None:
            dim.dim_value = known


def _forget_open_shapes(model: onnx.ModelProto, symbols: dict[str, int]) -> None:
    """Substitute the symbols now known; drop inner shapes, which inference finds anew."""
    del model.graph.value_info[:]
    for output in model.graph.output:
        for dim in output.type.tensor_type.shape.dim:
            if dim.dim_param in symbols:
                dim.dim_value = symbols[dim.dim_param]


def infer_shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    """Return every tensor's shape that ONNX shape inference finds, by name.

    Raises:
        ModelError: two operators disagree on a shape, or a tensor is larger than any that a
            detector needs (2^31 elements).
    """
    try:
        inferred = shape_inference.infer_shapes(model, data_prop=True)
    except shape_inference.InferenceError as error:
        raise ModelError(
            f"shapes contradict each other: {str(error).strip().splitlines()[0]}",
            remedy="export the model again",
        ) from error
    graph = inferred.graph
    shapes: dict[str, Shape] = {
        tensor.name: tuple(int(size) for size in tensor.dims) for tensor in graph.initializer
    }
    for value in (*graph.input, *graph.value_info, *graph.output):
        shape = value_shape(value)
        if shape is not None and value.name not in shapes:
            shapes[value.name] = shape
    for name, shape in shapes.items():
        if None not in shape and math.prod(size or 0 for size in shape) > _MAX_ELEMENTS:
            raise ModelError(
                f"tensor '{name}' would hold {'x'.join(map(str, shape))} elements",
                remedy="export the model again, with a smaller input size",
            )
    return shapes
