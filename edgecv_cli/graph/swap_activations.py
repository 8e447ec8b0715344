"""Other activation functions in the place of those that a graph has.

Those of the decode tail are part of the detector's meaning, and stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgecv_cli.core.errors import ModelError, UsageError
from edgecv_cli.graph.activations import FOUND, Activation, activations, counted

INTO = ("relu", "relu6", "leakyrelu", "hardswish", "silu")
"""Names of what can be put in."""
_SLOPE = 0.1  # of LeakyRelu; darknet's
_ALSO = {"swish": "silu", "hswish": "hardswish", "lrelu": "leakyrelu", "leaky": "leakyrelu"}


@dataclass(frozen=True)
class Swap:
    """One function in the place of another; names of ``FOUND`` and ``INTO``."""

    found: str
    into: str

    def __str__(self) -> str:
        return f"{self.found}={self.into}"


def read_swaps(text: str) -> tuple[Swap, ...]:
    """Return what ``silu=relu``, or several of that with commas between, asks for.

    Raises:
        UsageError: it is not of that form, or a name is not known.
    """
    swaps = tuple(_swap(part.strip()) for part in text.split(","))
    twice = [one.found for place, one in enumerate(swaps) if one.found in _found(swaps[:place])]
    if twice:
        raise UsageError(f"--swap replaces {twice[0]} twice", remedy="name each function once")
    return swaps


def _found(swaps: Iterable[Swap]) -> list[str]:
    return [one.found for one in swaps]


def _swap(text: str) -> Swap:
    parts = text.split("=")
    if len(parts) != 2 or not all(parts):
        raise UsageError(
            f"--swap takes what is there and what to put in its place, not '{text[:60]}'",
            remedy="write it as --swap silu=relu",
        )
    names = []
    for part, known in zip(parts, (FOUND, INTO), strict=True):
        plain = part.strip().lower().replace("-", "").replace("_", "")
        plain = _ALSO.get(plain, plain)
        if plain not in known:
            verb = "replace" if known is FOUND else "put in"
            raise UsageError(
                f"--swap can't {verb} '{part.strip()[:40]}'",
                remedy=f"what it can {verb}: {', '.join(known)}",
            )
        names.append(plain)
    if names[0] == names[1]:
        raise UsageError(f"--swap {text} changes nothing", remedy="name two functions")
    return Swap(*names)


def swapped(
    model: onnx.ModelProto, swaps: Iterable[Swap]
) -> tuple[onnx.ModelProto, dict[str, int]]:
    """Return a copy with other activation functions; all else stays, names and metadata too.

    What each makes keeps its name, so that whatever names a tensor still finds it.

    Args:
        model: normalised.
        swaps: what to replace by what.

    Returns:
        The copy, and how many were replaced by ``silu=relu``.

    Raises:
        ModelError: there is none of a kind; it says what the model has.
    """
    found = activations(model)
    counts = counted(found)
    into = {one.found: one for one in swaps}
    for kind, swap in into.items():
        if kind not in counts:
            has = ", ".join(f"{count} {name}" for name, count in counts.items())
            raise ModelError(
                f"--swap {swap}: the model has no {kind} above its decode tail; it has "
                f"{has or 'no activation function that edgecv knows'}",
                remedy=_nearest(counts),
            )
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    taken = [one for one in found if one.kind in into]
    _rewrite(copy, {one.made: (one, into[one.kind].into) for one in taken})
    return copy, {str(swap): counts[kind] for kind, swap in into.items()}


def _nearest(counts: Mapping[str, int]) -> str:
    if not counts:
        return "leave --swap out"
    most = next(iter(counts))
    return f"try --swap {most}={next(one for one in INTO if one != most)}"


def _rewrite(model: onnx.ModelProto, by_made: Mapping[str, tuple[Activation, str]]) -> None:
    graph = model.graph
    opset = next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx"))
    used = {name for node in graph.node for name in (*node.input, *node.output, node.name)}
    used |= {one.name for one in (*graph.input, *graph.initializer)}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.output[0] not in by_made:
            nodes.append(node)
            continue
        found, into = by_made[node.output[0]]
        made, stored = _nodes_of(into, found, node.name, opset, used)
        nodes += made
        known = {one.name for one in graph.initializer}
        graph.initializer.extend(one for one in stored if one.name not in known)
    inside = {name for found, _ in by_made.values() for name in found.nodes}
    kept = _without_unread(nodes, inside - set(by_made), {one.name for one in graph.output})
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    before = {name for node in graph.node for name in node.input}
    del graph.node[:]
    graph.node.extend(kept)
    _drop_left_over(graph, before)


def _nodes_of(
    into: str, found: Activation, name: str, opset: int, used: set[str]
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return the nodes that compute a function, and the numbers that they read."""
    source, made = found.source, found.made
    if into == "relu6":
        bounds = [
            numpy_helper.from_array(np.asarray(value, np.float32), f"edgecv_relu6_{side}")
            for side, value in (("low", 0.0), ("high", 6.0))
        ]
        return [helper.make_node("Clip", [source, *(b.name for b in bounds)], [made], name)], bounds
    if into == "leakyrelu":
        return [helper.make_node("LeakyRelu", [source], [made], name, alpha=_SLOPE)], []
    if into == "relu":
        return [helper.make_node("Relu", [source], [made], name)], []
    if into == "hardswish" and opset >= 14:
        return [helper.make_node("HardSwish", [source], [made], name)], []
    gate = _free(f"{made}_gate", used)
    if into == "hardswish":
        first = helper.make_node("HardSigmoid", [source], [gate], gate, alpha=1 / 6, beta=0.5)
    else:
        first = helper.make_node("Sigmoid", [source], [gate], gate)
    return [first, helper.make_node("Mul", [source, gate], [made], name)], []


def _free(name: str, used: set[str]) -> str:
    while name in used:
        name += "_"
    used.add(name)
    return name


def _without_unread(
    nodes: list[onnx.NodeProto], may_go: set[str], outputs: set[str]
) -> list[onnx.NodeProto]:
    """Return the nodes but those of replaced functions whose work nothing reads any more."""
    read = set(outputs)
    kept = []
    for node in reversed(nodes):
        if node.output[0] in may_go and not read & set(node.output):
            continue
        read.update(node.input)
        kept.append(node)
    return kept[::-1]


def _drop_left_over(graph: onnx.GraphProto, before: set[str]) -> None:
    """Drop the numbers and the shapes of what was read before and is not any more."""
    read = {name for node in graph.node for name in node.input}
    gone = before - read
    stored = [one for one in graph.initializer if one.name not in gone]
    del graph.initializer[:]
    graph.initializer.extend(stored)
    made = {name for node in graph.node for name in node.output}
    shapes = [one for one in graph.value_info if one.name in made or one.name not in gone]
    del graph.value_info[:]
    graph.value_info.extend(shapes)
