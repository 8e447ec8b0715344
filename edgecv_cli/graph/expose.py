"""Making inner tensors visible: which two graphs have in common, and as outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx
from onnx import TensorProto

from edgecv_cli.graph.shapes import infer_shapes

_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16})


def common_tensors(a: onnx.ModelProto, b: onnx.ModelProto) -> list[tuple[str, str, int]]:
    """Return what both graphs compute under one name, in the order of ``a``.

    Tensors that are no floats, or of another or an open shape, are left out.

    Returns:
        (tensor, the operator that makes it in ``a``, its elements) each.
    """
    shapes = infer_shapes(a), infer_shapes(b)
    types = _float_types(a), _float_types(b)
    made = {output for node in b.graph.node for output in node.output}
    found = []
    for node in a.graph.node:
        for name in node.output:
            shape = shapes[0].get(name)
            if not name or name not in made or shape is None or None in shape:
                continue
            if shapes[1].get(name) != shape or name not in types[0] or name not in types[1]:
                continue
            found.append((name, node.op_type, math.prod(size or 0 for size in shape)))
    return found


def exposed(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return a copy whose outputs are these tensors and nothing else."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    told = {value.name: value for value in _values(model)}
    del copy.graph.output[:]
    copy.graph.output.extend(told[name] for name in names)
    return copy


def _float_types(model: onnx.ModelProto) -> dict[str, int]:
    types = {value.name: value.type.tensor_type.elem_type for value in _values(model)}
    return {name: kind for name, kind in types.items() if kind in _FLOATS}


def _values(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    inferred = onnx.shape_inference.infer_shapes(model).graph
    return [*inferred.value_info, *inferred.output]
