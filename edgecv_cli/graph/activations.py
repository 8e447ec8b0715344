"""The activation functions of a graph, told by what they compute.

Exporters write one function in many ways: SiLU as x * Sigmoid(x), HardSwish as an operator or as
x * Clip(x + 3, 0, 6) / 6, GELU with Erf or with Tanh. So no list of patterns is kept: whatever
computes one tensor from another, element by element, is run on numbers and told by what it makes of
them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgecv_cli.graph.shapes import infer_shapes
from edgecv_cli.graph.tail import Constants, find_tail

Floats = NDArray[np.float64]

_LONGEST = 9  # nodes; GELU by Tanh takes eight
_CLOSE = 2e-3  # of what is made, at least of 1: exporters round 1/6 and the like
_AT = np.linspace(-9.0, 9.0, 73, dtype=np.float32)

_OPS = frozenset(
    {
        *("Abs", "Add", "Celu", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid"),
        *("HardSwish", "Identity", "LeakyRelu", "Log", "Max", "Min", "Mish", "Mul", "Neg", "Pow"),
        *("PRelu", "Relu", "Sigmoid", "Softplus", "Sub", "Swish", "Tanh"),
    }
)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x), np.float64)


_FUNCTIONS: Mapping[str, Callable[[Floats], Floats]] = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "silu": lambda x: x * _sigmoid(x),
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
    "elu": lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x),
}
FOUND = (*_FUNCTIONS, "leakyrelu", "prelu")
"""Names of what can be replaced."""


@dataclass(frozen=True)
class Activation:
    """One activation function of a graph.

    Attributes:
        kind: one of ``FOUND``.
        source, made: the tensor that it reads, and the one that it makes.
        nodes: first outputs of the nodes that compute it, the last of them first.
    """

    kind: str
    source: str
    made: str
    nodes: tuple[str, ...]


def counted(found: Iterable[Activation]) -> dict[str, int]:
    """Return how many there are of each kind, most first."""
    counts: dict[str, int] = {}
    for one in found:
        counts[one.kind] = counts.get(one.kind, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def activations(model: onnx.ModelProto) -> tuple[Activation, ...]:
    """Return the activation functions above the decode tail, in graph order.

    Args:
        model: normalised, see :func:`edgecv_cli.graph.normalise.normalise`.
    """
    search = _Search(model)
    found = [one for node in reversed(model.graph.node) for one in search.ending_at(node)]
    return tuple(reversed(found))


class _Search:
    """Finds what ends at a node; asked from the last node to the first, each node is told once."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self._opsets = list(model.opset_import)
        self._constants = Constants(graph)
        self._shapes = infer_shapes(model)
        self._place = {node.output[0]: i for i, node in enumerate(graph.node) if node.output}
        self._makers = {node.output[0]: node for node in graph.node if len(node.output) == 1}
        self._tail = {node.output[0] for node in find_tail(graph).nodes}
        self._readers: dict[str, set[str]] = {one.name: {""} for one in graph.output}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, set()).add(node.output[0])
        self._told: set[str] = set()
        self._known: dict[tuple[object, ...], str | None] = {}

    def ending_at(self, node: onnx.NodeProto) -> Iterator[Activation]:
        """Yield the largest activation function whose last node this is, if any."""
        made = node.output[0]
        if made in self._told or made in self._tail or not self._fits(node):
            return
        best = None
        for source, nodes in self._cones(node):
            kind = self._kind(source, nodes)
            if kind is not None and self._shapes.get(source) == self._shapes.get(made):
                best = Activation(kind, source, made, tuple(one.output[0] for one in nodes))
        if best is not None:
            inside = set(best.nodes)
            self._told |= {one for one in inside if self._readers.get(one, set()) <= inside}
            yield best

    def _fits(self, node: onnx.NodeProto) -> bool:
        plain = node.domain in ("", "ai.onnx") and len(node.output) == 1
        return plain and node.op_type in _OPS

    def _cones(self, end: onnx.NodeProto) -> Iterator[tuple[str, list[onnx.NodeProto]]]:
        """Yield what ends at a node and reads one tensor, each larger than the one before."""
        nodes = [end]
        reads = self._computed(end)
        while reads is not None and reads and len(nodes) <= _LONGEST:
            if len(reads) == 1:
                yield next(iter(reads)), list(nodes)
            latest = max(reads, key=lambda name: self._place.get(name, -1))
            maker = self._makers.get(latest)
            if maker is None or not self._fits(maker):
                return
            more = self._computed(maker)
            reads = None if more is None else (reads - {latest}) | more
            nodes.append(maker)

    def _computed(self, node: onnx.NodeProto) -> set[str] | None:
        """Return the operands that are not stored; None where a stored one is no single number."""
        found = set()
        for place, name in enumerate(node.input):
            if not name:
                continue
            if not self._constants.is_constant(name):
                found.add(name)
                continue
            slopes = node.op_type == "PRelu" and place == 1
            value = self._constants.value(name)
            if value is None or (value.size != 1 and not slopes):
                return None
        return found

    def _kind(self, source: str, nodes: list[onnx.NodeProto]) -> str | None:
        if any(self._has_slopes(node) for node in nodes):
            return "prelu" if len(nodes) == 1 and nodes[0].input[0] == source else None
        steps, stored = self._renamed(source, nodes)
        told = [step.SerializeToString(deterministic=True) for step in steps]
        key = (*told, *stored.items())
        if key not in self._known:
            self._known[key] = _told_by(_run(steps, stored, self._opsets))
        return self._known[key]

    def _renamed(
        self, source: str, nodes: list[onnx.NodeProto]
    ) -> tuple[list[onnx.NodeProto], dict[str, float]]:
        """Return nodes that read ``x``, by names that hang on their order alone; and their numbers.

        Functions that are written alike are then alike to the byte.
        """
        names = {source: "x"}
        stored: dict[str, float] = {}
        steps = []
        for place, node in enumerate(reversed(nodes)):
            step = onnx.NodeProto()
            step.CopyFrom(node)
            step.name = step.doc_string = ""
            for index, name in enumerate(node.input):
                if name and name not in names:
                    value = self._constants.value(name)
                    assert value is not None
                    names[name] = f"c{place}_{index}"
                    stored[names[name]] = float(value.ravel()[0])
                step.input[index] = names.get(name, "")
            step.output[0] = names[node.output[0]] = f"t{place}"
            steps.append(step)
        return steps, stored

    def _has_slopes(self, node: onnx.NodeProto) -> bool:
        if node.op_type != "PRelu":
            return False
        slopes = self._constants.value(node.input[1])
        return slopes is None or slopes.size != 1


def _run(
    steps: list[onnx.NodeProto],
    stored: Mapping[str, float],
    opsets: list[onnx.OperatorSetIdProto],
) -> Floats | None:
    """Return what nodes make of ``_AT``; None where onnx itself can't run them."""
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        steps,
        "told",
        [helper.make_tensor_value_info("x", kind, [_AT.size])],
        [helper.make_tensor_value_info(steps[-1].output[0], kind, None)],
        [
            numpy_helper.from_array(np.asarray(value, np.float32), name)
            for name, value in stored.items()
        ],
    )
    try:
        model = helper.make_model(graph, opset_imports=opsets)
        with np.errstate(all="ignore"):
            outputs: Any = ReferenceEvaluator(model).run(None, {"x": _AT})
    except Exception:  # noqa: BLE001 - whatever it stumbles over is no function known here
        return None
    return np.asarray(outputs[0], np.float64)


def _told_by(made: Floats | None) -> str | None:
    """Return the function that makes these numbers of ``_AT``."""
    if made is None or made.shape != _AT.shape or not np.isfinite(made).all():
        return None
    x = _AT.astype(np.float64)
    for kind, function in _FUNCTIONS.items():
        if _alike(made, function(x)):
            return kind
    slope = float(made[0] / x[0])
    if 1e-4 < slope < 1 and _alike(made, np.where(x < 0, slope * x, x)):
        return "leakyrelu"
    return None


def _alike(made: Floats, wanted: Floats) -> bool:
    return bool((np.abs(made - wanted) <= _CLOSE * np.maximum(1, np.abs(wanted))).all())
