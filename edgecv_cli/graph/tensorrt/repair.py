"""Rewrite what breaks the rules and can be rewritten; what can't be stays a finding."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.inspect import opset_of
from edgecv_cli.graph.io import read_metadata
from edgecv_cli.graph.opset import at_least
from edgecv_cli.graph.shapes import fixed
from edgecv_cli.graph.tail import find_tail
from edgecv_cli.graph.tensorrt.operator_checks import OLDEST_OPSET, newest_opset
from edgecv_cli.graph.tensorrt.pair_repairs import (
    Bench,
    Mended,
    Repair,
    activation_pairs,
    float_biases,
    stored_integers,
    written_axes,
    zero_point_shapes,
)
from edgecv_cli.graph.tensorrt.placement_repairs import moved_pairs, plain_attributes, residuals
from edgecv_cli.graph.tensorrt.stored import Stored
from edgecv_cli.graph.tensorrt.target import TrtTarget
from edgecv_cli.graph.tidy import tidied

# Axes first: which scale belongs to which channel decides everything after it.
_REPAIRS: tuple[Repair, ...] = (
    written_axes,
    float_biases,
    stored_integers,
    activation_pairs,
    zero_point_shapes,
    moved_pairs,
    plain_attributes,
)
_RAISED_TO = 13
_SAID = 200  # characters of a library's reason: a hostile file's names are long


def repaired(
    model: onnx.ModelProto,
    target: TrtTarget,
    *,
    input_size: tuple[int, int] | None = None,
    sparing: bool = False,
) -> tuple[onnx.ModelProto, tuple[Mended, ...]]:
    """Return a copy that breaks fewer rules, and what was done.

    Pure: the same model gives the same bytes. Metadata is kept.

    Args:
        model: a checked model; it is not changed.
        target: what it is for.
        input_size: [height, width] for a graph that leaves it open.
        sparing: whether layers go back to float where symmetric int8 would be coarser than the
            grid that they had; warnings alone are no reason then to round anything.

    Raises:
        UsageError: the graph has a fixed size that differs from ``input_size``.
        ModelError: the graph contradicts itself, so that nothing can rewrite it.
    """
    try:
        return _rewritten(model, target, input_size, sparing=sparing)
    except (ir.serde.SerdeError, ValueError) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0][:_SAID]
        raise ModelError(
            f"the graph can't be rewritten: {reason}", remedy="export the model again"
        ) from error


def _rewritten(
    model: onnx.ModelProto, target: TrtTarget, input_size: tuple[int, int] | None, *, sparing: bool
) -> tuple[onnx.ModelProto, tuple[Mended, ...]]:
    closed = fixed(model, input_size)
    mended = _closed(model, closed)
    closed, converted = _converted(closed, target)
    work = ir.from_proto(_typed(closed))
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(work)
    tail = find_tail(closed.graph)
    decoding = {*tail.heads, *(name for node in tail.nodes for name in node.output)}
    bench = Bench(Stored(work.graph), decoding, sparing)
    done = [*mended, *converted]
    for repair in _REPAIRS:
        done.extend(repair(bench))
    result, added = (tidied(work), []) if sparing else residuals(tidied(work))
    del result.graph.value_info[:]
    del result.metadata_props[:]
    for key, value in sorted(read_metadata(model).items()):
        result.metadata_props.add(key=key, value=value)
    return (result, (*done, *added)) if done or added else (model, ())


def _typed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy with the shapes of all tensors that can be inferred."""
    try:
        inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(model)
    except onnx.shape_inference.InferenceError:
        return model
    return inferred


def _closed(model: onnx.ModelProto, closed: onnx.ModelProto) -> list[Mended]:
    if closed is model:
        return []
    return [Mended("static-shape", "", "open axes of the input are fixed", exact=True)]


def _converted(model: onnx.ModelProto, target: TrtTarget) -> tuple[onnx.ModelProto, list[Mended]]:
    """Bring the operator set into the documented range, where onnx can."""
    version, newest = opset_of(model), newest_opset(target)
    if OLDEST_OPSET <= version <= newest or target.rtx:
        return model, []
    wanted = _RAISED_TO if version < OLDEST_OPSET else newest
    try:
        if version < OLDEST_OPSET:
            converted = at_least(model, wanted)
        else:
            converted = onnx.version_converter.convert_version(model, wanted)
    except (ModelError, RuntimeError, ValueError, IndexError):
        return model, []
    return converted, [Mended("opset", "", f"its operator set is {wanted}", exact=True)]
