"""Repairs of where pairs stand, and of attributes that nothing hangs on."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx_ir as ir

from edgecv_cli.graph.tensorrt.pair_repairs import Bench, Mended, bypass
from edgecv_cli.graph.tensorrt.placement_checks import (
    CLAMPS,
    activation_after,
    skip_operand,
)
from edgecv_cli.graph.tensorrt.stored import name_of, operand
from edgecv_cli.graph.tensorrt.view import QUANTIZE, RESTORE, View
from edgecv_cli.graph.tidy import tidied


def moved_pairs(bench: Bench) -> Iterator[Mended]:
    """Move pairs from before a clamp to behind it, where the same grid holds what it lets by.

    Before another activation they are left out, but for a layer that reads them too.
    """
    view = View(ir.to_proto(ir.Model(bench.graph, ir_version=10)))
    for quantize in bench.pairs(QUANTIZE):
        name = quantize.outputs[0].name or ""
        known = view.producers.get(name)
        activation = None if known is None else activation_after(view, known)
        if activation is None:
            continue
        if activation.op_type not in CLAMPS:
            if bypass(quantize):
                did = f"left out: {activation.op_type} reads the float tensor"
                yield Mended("activation-split", name, did, exact=False)
            continue
        uses = list(quantize.outputs[0].uses())
        if len(uses) != 1 or uses[0].node.outputs[0].is_graph_output():
            continue
        (clamp,) = (use.node for use in uses[0].node.outputs[0].uses())
        if clamp.outputs[0].is_graph_output():
            continue
        _move(bench, quantize, clamp)
        yield Mended(
            "activation-split", name, f"the pair stands behind {clamp.op_type}", exact=True
        )


def _move(bench: Bench, quantize: ir.Node, clamp: ir.Node) -> None:
    value, result = operand(quantize, 0), clamp.outputs[0]
    assert value is not None
    clamp.replace_input_with(0, value)
    readers = list(result.uses())
    if all(use.node.op_type == QUANTIZE for use in readers):
        return
    parts = [part for part in quantize.inputs[1:] if part is not None]
    axis = {key: entry.value for key, entry in quantize.attributes.items() if key == "axis"}
    again = bench.stored.node(QUANTIZE, [result, *parts], axis)
    back = bench.stored.node(RESTORE, [again.outputs[0], *parts], axis)
    back.outputs[0].type, back.outputs[0].shape = result.type, result.shape
    for use in readers:
        if use.node.op_type != QUANTIZE:
            use.node.replace_input_with(use.idx, back.outputs[0])
    bench.graph.insert_after(clamp, [again, back])


def plain_attributes(bench: Bench) -> Iterator[Mended]:
    """Sort what TopK gives, and leave out indices of MaxPool that nobody reads."""
    for node in bench.pairs("TopK", "MaxPool"):
        ordered = node.attributes.get("sorted")
        if node.op_type == "TopK" and ordered is not None and not ordered.as_int():
            node.attributes["sorted"] = ir.AttrInt64("sorted", 1)
            yield Mended("attribute", name_of(node), "its elements are sorted", exact=True)
        if node.op_type == "MaxPool" and len(node.outputs) > 1:
            spare = node.outputs[1]
            if not spare.is_graph_output() and not list(spare.uses()):
                node.resize_outputs(1)
                yield Mended("attribute", name_of(node), "its indices are left out", exact=True)


def residuals(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[Mended]]:
    """Let additions read a skip connection behind the pair that it has for other readers."""
    view = View(model)
    swaps: dict[str, tuple[int, str]] = {}
    for node in view.of("Add"):
        skip = skip_operand(view, node)
        restored = None if skip is None else _restored(view, node.input[skip])
        if skip is not None and restored is not None:
            swaps[node.output[0]] = (skip, restored)
    if not swaps:
        return model, []
    work = ir.from_proto(model)
    values = {output.name: output for node in work.graph for output in node.outputs}
    mended = []
    for name, (index, restored) in swaps.items():
        adding = values[name].producer()
        assert adding is not None
        adding.replace_input_with(index, values[restored])
        mended.append(
            Mended("residual", name_of(adding), "the skip connection has Q/DQ", exact=False)
        )
    return tidied(work), mended


def _restored(view: View, tensor: str) -> str | None:
    """Return what a tensor is behind a pair that reads it, if there is one."""
    for quantize in view.readers.get(tensor, []):
        if quantize.op_type == QUANTIZE:
            for restore in view.readers.get(quantize.output[0], []):
                if restore.op_type == RESTORE:
                    return str(restore.output[0])
    return None
