"""An ONNX graph as a list of instructions, and which of its stored numbers can be trained.

Nothing here needs torch: what a graph holds is known, and refused, before torch is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgecv_cli.compress.training.registry import OPS
from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.normalise import MIN_OPSET
from edgecv_cli.graph.tail import find_tail

Array = NDArray[Any]

_TRAINED = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "MatMul": (0, 1),
    "BatchNormalization": (1, 2),
    "PRelu": (1,),
}
"""Operands of an operator that training may change; a BatchNormalization keeps its statistics."""


@dataclass(frozen=True)
class Instruction:
    """One node.

    Attributes:
        name: of the node, else of what it makes.
        op: its operator.
        inputs: tensors that it reads; "" where an operand is left out.
        outputs: tensors that it makes.
        attributes: their values; text decoded.
        done_with: tensors that nothing reads after it.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(repr=False)
    done_with: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Program:
    """A graph in the order in which it is run.

    Attributes:
        instructions: in the graph's order, which ONNX keeps sorted.
        weights: stored tensors that can be trained, float32, by name.
        constants: all other stored tensors.
        inputs, outputs: names, in the graph's order.
        kept: what a run gives back: the outputs, and what else was asked for.
        exact: what nodes make that half precision is too coarse for: raw predictions and all that
            is decoded of them, coordinates in pixels among it.
    """

    instructions: tuple[Instruction, ...]
    weights: Mapping[str, Array] = field(repr=False)
    constants: Mapping[str, Array] = field(repr=False)
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    kept: tuple[str, ...]
    exact: frozenset[str] = frozenset()


def program_of(model: onnx.ModelProto, *, also: Collection[str] = ()) -> Program:
    """Return a normalised graph as instructions.

    Args:
        model: in operator set 13 or later, see :func:`edgecv_cli.graph.normalise.normalise`.
        also: tensors inside that a run gives back beside the outputs.

    Raises:
        ModelError: an operator is not known (the node is named), the operator set is older, or
            nothing can be trained.
    """
    graph = model.graph
    _require_known(model)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    tail = find_tail(graph)
    decoding = {name for node in tail.nodes for name in node.output}
    names = _trainable(graph, stored, decoding)
    if not names:
        raise ModelError(
            "the model stores no weights that could be trained",
            remedy="give a float detector with convolutions; look with `edgecv inspect`",
        )
    outputs = tuple(value.name for value in graph.output)
    kept = tuple(dict.fromkeys([*outputs, *also]))
    return Program(
        instructions=tuple(_instructions(graph, kept, stored)),
        weights={name: value for name, value in stored.items() if name in names},
        constants={name: value for name, value in stored.items() if name not in names},
        inputs=tuple(value.name for value in graph.input if value.name not in stored),
        outputs=outputs,
        kept=kept,
        exact=frozenset(decoding.union(tail.heads)),
    )


def operators(model: onnx.ModelProto) -> dict[str, int]:
    """Return which operators a graph holds, and how many nodes of each, most first."""
    counts: dict[str, int] = {}
    for node in model.graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _require_known(model: onnx.ModelProto) -> None:
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < MIN_OPSET:
        raise ModelError(
            f"training reads operator set {MIN_OPSET} or later, the model has {opset}",
            remedy="let edgecv normalise it first",
        )
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPS:
            raise ModelError(
                f"training does not know the operator {node.op_type} of node "
                f"'{node.name or node.output[0]}'",
                remedy="export the model without it (without NMS, say), or do without training: "
                "`edgecv prune --recover reconstruct`",
            )


def _trainable(
    graph: onnx.GraphProto, stored: Mapping[str, Array], tail: Collection[str]
) -> frozenset[str]:
    """Return the weights above the decode tail: what is stored there are anchors and grids."""
    found = {
        node.input[place]
        for node in graph.node
        if node.output[0] not in tail
        for place in _TRAINED.get(node.op_type, ())
        if place < len(node.input)
    }
    return frozenset(n for n in found if n in stored and stored[n].dtype == np.float32)


def _instructions(
    graph: onnx.GraphProto, kept: Collection[str], stored: Mapping[str, Array]
) -> Iterator[Instruction]:
    last = {name: index for index, node in enumerate(graph.node) for name in node.input}
    for index, node in enumerate(graph.node):
        touched = dict.fromkeys([*node.input, *node.output])
        yield Instruction(
            name=node.name or node.output[0],
            op=node.op_type,
            inputs=tuple(node.input),
            outputs=tuple(node.output),
            attributes={a.name: _value(a) for a in node.attribute},
            done_with=tuple(
                name
                for name in touched
                if name and name not in kept and name not in stored and last.get(name, -1) <= index
            ),
        )


def _value(attribute: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
