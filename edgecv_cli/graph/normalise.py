"""Bring a model into the one form that every rewrite expects.

Operator set 13 or later (per-axis DequantizeLinear begins there), static shapes, batch 1 where
it was open, float32 where it was float16, stored weights not listed as inputs, constants as
initializers, BatchNorm folded into convolutions and constant subgraphs evaluated (onnxsim),
complementary slices as one Split (int8 engines keep Split in int8, not Slice). The outputs stay
the same numbers up to rounding.
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.io import read_metadata
from edgecv_cli.graph.opset import at_least
from edgecv_cli.graph.shapes import fixed, image_input, infer_shapes, value_shape
from edgecv_cli.graph.widen import holds_half, widened

MIN_OPSET = 13
_MIN_IR = 8


def normalise(
    model: onnx.ModelProto, *, input_size: tuple[int, int] | None = None
) -> onnx.ModelProto:
    """Return a normalised copy; metadata is kept.

    Args:
        model: a checked model; it is not changed.
        input_size: [height, width] for a graph that takes any size.

    Raises:
        ModelError: sizes stay open, or a library can't convert the model.
    """
    concrete = fixed(widened(model) if holds_half(model) else model, input_size)
    _require_static(concrete)
    infer_shapes(concrete)  # refuses sizes that folding constants would allocate
    simplified = _simplify(lifted(at_least(concrete, MIN_OPSET)))
    joined = _drop_dead(_join_slices(simplified))
    joined.ir_version = max(_MIN_IR, model.ir_version)
    del joined.metadata_props[:]
    for key, value in sorted(read_metadata(model).items()):
        joined.metadata_props.add(key=key, value=value)
    return joined


def _require_static(model: onnx.ModelProto) -> None:
    value = image_input(model)
    shape = None if value is None else value_shape(value)
    if shape is None:
        raise ModelError(
            "the model has no image input (a 4-D tensor)", remedy="give an image detector"
        )
    if None in shape:
        raise ModelError("the model's image size is open", remedy="give --input-size HxW")


def lifted(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy with constants as initializers, which are not listed as inputs."""
    passes = ir.passes.Sequential(
        common.RemoveInitializersFromInputsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
    )
    return ir.to_proto(passes(ir.from_proto(model)).model)


def _simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnxsim

    try:
        with redirect_stdout(io.StringIO()):
            simplified, _ = onnxsim.simplify(model, check_n=0)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"the model can't be simplified: {reason}", remedy="export the model again"
        ) from error
    whole: onnx.ModelProto = simplified
    return whole


def _drop_dead(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove identities and whatever no output needs; names of outputs stay."""
    passes = ir.passes.Sequential(
        common.IdentityEliminationPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.RemoveUnusedNodesPass(),
    )
    return ir.to_proto(passes(ir.from_proto(model)).model)


def _join_slices(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace slices that part one axis of a tensor without gap or overlap by one Split."""
    shapes = infer_shapes(model)
    work = ir.from_proto(model)
    graph = work.graph
    for value in [output for node in graph for output in node.outputs]:
        shape = shapes.get(value.name or "")
        slices = [use.node for use in value.uses() if use.node.op_type == "Slice"]
        parts = [_part(node) for node in slices]
        if shape is None or len(slices) < 2 or any(part is None for part in parts):
            continue
        ordered = sorted(
            ((part, node) for part, node in zip(parts, slices, strict=True) if part is not None),
            key=lambda item: item[0],
        )
        _replace_by_split(graph, value, shape, ordered)
    return ir.to_proto(work)


_Part = tuple[int, int, int]


def _part(node: ir.Node) -> _Part | None:
    """Return (axis, start, end) of a Slice over one axis with step 1 and constant bounds."""
    values = [None if item is None else item.const_value for item in node.inputs[1:]]
    if len(values) < 3 or any(item is None for item in values):
        return None
    arrays = [np.asarray(item.numpy()).ravel() for item in values if item is not None]
    if any(array.size != 1 for array in arrays) or (len(arrays) == 4 and arrays[3][0] != 1):
        return None
    start, end, axis = (int(array[0]) for array in arrays[:3])
    return (axis, start, end)


def _replace_by_split(
    graph: ir.Graph,
    value: ir.Value,
    shape: tuple[int | None, ...],
    ordered: list[tuple[_Part, ir.Node]],
) -> None:
    axis = ordered[0][0][0]
    size = shape[axis]
    if size is None or any(part[0] != axis for part, _ in ordered):
        return
    bounds = [(part[1], min(part[2], size)) for part, _ in ordered]
    ends = [end for _, end in bounds]
    if [start for start, _ in bounds] != [0, *ends[:-1]] or ends[-1] != size:
        return
    sizes = np.asarray([end - start for start, end in bounds], np.int64)
    name = f"{value.name}_split_sizes"
    while name in graph.initializers or any(o.name == name for n in graph for o in n.outputs):
        name += "_"
    stored = ir.Value(name=name, const_value=ir.tensor(sizes, name=name))
    graph.register_initializer(stored)
    first = next(node for node in graph if any(node is part for _, part in ordered))
    split = ir.node(
        "Split",
        [value, stored],
        {"axis": axis},
        num_outputs=len(ordered),
        name=f"{value.name}_split",
    )
    graph.insert_before(first, split)
    for output, (_, node) in zip(split.outputs, ordered, strict=True):
        old = node.outputs[0]
        output.name, output.type, output.shape = old.name, old.type, old.shape
        was_output = old.is_graph_output()
        ir.convenience.replace_all_uses_with(old, output, replace_graph_outputs=was_output)
        graph.remove(node, safe=True)
