"""Groups of integer layers that stay in integers, or are given back to float, together.

A border between integers and float costs rounding and time, so a layer is not judged alone where
its neighbour's tensors are what it suffers from:

* a depthwise layer, the layers that feed it, and the one that alone reads it: one scale per
  tensor serves channels of very different range, before and behind it (a reader that feeds the
  next depthwise layer belongs to that one, so that chains stay apart);
* the layers of a gate, from a global average to the product that it weighs channels with, and
  the layer whose channels they are;
* the layers whose outputs one Add sums: it needs both in integers to run in integers itself;
* the layers whose outputs a Concat puts under one grid, if that is all that it puts there.

What an Add or a Concat made is not followed further up: a residual trunk, where every Add sums
the one before it, would otherwise become a single group.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from edgecv_cli.graph.topology import Topology

Kind = Literal["layer", "depthwise", "gate", "add", "concat"]

_ACTIVATIONS = frozenset({"Mul", "Sigmoid", "HardSigmoid", "HardSwish", "LeakyRelu", "Relu"}) | {
    "Clip"
}
# A Concat of more than this gathers a whole stage; its members have little to do with each other.
_CONCATENATED = 2
_WHY: dict[Kind, str] = {
    "layer": "a layer and what follows it",
    "depthwise": "a depthwise layer and its neighbours",
    "gate": "a layer and the gate on its channels",
    "add": "layers whose outputs are added",
    "concat": "layers whose outputs are put together",
}
# Of a group that several rules tied, the one that matters most names it.
_RANK: tuple[Kind, ...] = ("layer", "concat", "add", "gate", "depthwise")


@dataclass(frozen=True)
class Group:
    """Integer layers that belong together.

    Attributes:
        name: its first layer, with the number of the others.
        layers: by output tensor, in graph order.
        nodes: every integer node of the group, layers among them, in graph order.
        kind: what ties it.
        macs: multiply-accumulates of its layers for one image.
        depthwise: whether one of its layers is depthwise.
    """

    name: str
    layers: tuple[str, ...]
    nodes: tuple[str, ...]
    kind: Kind
    macs: int
    depthwise: bool

    @property
    def reason(self) -> str:
        """Why these are one group."""
        return _WHY[self.kind]


def groups_of(topology: Topology, nodes: Collection[str]) -> tuple[Group, ...]:
    """Return the groups of a placement, in the order of their first layers.

    Every integer layer is in exactly one group, and so is every other integer node that a layer
    stands above or below.

    Args:
        topology: the normalised graph.
        nodes: its integer nodes, by first output.
    """
    chosen = set(nodes)
    order = {name: index for index, name in enumerate(topology.nodes)}
    layers = [name for name in topology.layers if name in chosen]
    ties = _Ties(layers)
    for kind, members in _tied(topology, chosen):
        ties.tie(members, kind)
    owned: dict[str, list[str]] = {name: [] for name in layers}
    for name in sorted(chosen, key=order.__getitem__):
        owner = _owner(topology, name, owned, order)
        if owner is not None:
            owned[owner].append(name)
    return tuple(
        _group(topology, members, ties.kind(members[0]), owned, order) for members in ties.sets()
    )


class _Ties:
    """Union-find over layers; each set remembers what tied it."""

    def __init__(self, layers: Collection[str]) -> None:
        self._parent = {name: name for name in layers}
        self._kind: dict[str, Kind] = dict.fromkeys(layers, "layer")

    def _find(self, name: str) -> str:
        while self._parent[name] != name:
            self._parent[name] = self._parent[self._parent[name]]
            name = self._parent[name]
        return name

    def kind(self, name: str) -> Kind:
        return self._kind[self._find(name)]

    def tie(self, members: Collection[str], kind: Kind) -> None:
        roots = list(dict.fromkeys(self._find(name) for name in members))
        if not roots:
            return
        first, *others = roots
        kinds = [kind, *(self._kind[root] for root in roots)]
        for root in others:
            self._parent[root] = first
        self._kind[first] = max(kinds, key=_RANK.index)

    def sets(self) -> list[list[str]]:
        found: dict[str, list[str]] = {}
        for name in self._parent:
            found.setdefault(self._find(name), []).append(name)
        return list(found.values())


def _tied(topology: Topology, chosen: set[str]) -> Iterator[tuple[Kind, list[str]]]:
    for name in topology.nodes:
        if name not in chosen:
            continue
        layer = topology.layers.get(name)
        operation = topology.nodes[name].op_type
        if layer is not None and layer.depthwise:
            neighbours = _makers(topology, layer.data, chosen) + _end(topology, name, chosen)
            yield "depthwise", [name, *neighbours]
        elif operation == "GlobalAveragePool":
            yield "gate", _gate(topology, name, chosen)
        elif operation in ("Add", "Concat"):
            operands = topology.activations(name)
            makers = [_makers(topology, tensor, chosen) for tensor in operands]
            if all(makers) and len(operands) <= _CONCATENATED:
                members = [layer for found in makers for layer in found]
                yield ("add" if operation == "Add" else "concat"), members


def _end(topology: Topology, name: str, chosen: set[str]) -> list[str]:
    """Return the layer that alone reads a layer, unless it feeds a depthwise layer."""
    below = list(topology.layers_below(name))
    if len(below) != 1 or below[0] not in chosen:
        return []
    beyond = topology.layers_below(below[0])
    if any(reader in topology.layers and topology.layers[reader].depthwise for reader in beyond):
        return []
    return below if name in _makers(topology, topology.layers[below[0]].data, chosen) else []


def _gate(topology: Topology, name: str, chosen: set[str]) -> list[str]:
    """Return the layer that a global average looks at, and those between it and its product."""
    averaged = topology.activations(name)[0]
    found = _makers(topology, averaged, chosen)
    pending, seen = [name], set(found)
    while pending:
        for reader in topology.consumers.get(pending.pop(), []):
            if averaged in topology.activations(reader) or reader in seen:
                continue
            seen.add(reader)
            if reader in topology.layers:
                found.append(reader)
            if reader in topology.layers or topology.nodes[reader].op_type in _ACTIVATIONS:
                pending.append(reader)
    return [layer for layer in found if layer in chosen]


def _makers(topology: Topology, tensor: str, chosen: set[str]) -> list[str]:
    """Return the integer layers whose output a tensor is, but for activation functions."""
    found: list[str] = []
    pending, seen = [tensor], set[str]()
    while pending:
        name = topology.producer.get(pending.pop())
        if name is None or name in seen:
            continue
        seen.add(name)
        if name in topology.layers:
            if name in chosen:
                found.append(name)
        elif topology.nodes[name].op_type in _ACTIVATIONS:
            pending.extend(topology.activations(name))
    return found


def _owner(
    topology: Topology, name: str, owned: dict[str, list[str]], order: dict[str, int]
) -> str | None:
    """Return the layer that a node is counted with: the last that it comes from."""
    if name in owned:
        return name
    if name in topology.layers:
        return None
    above = {
        layer
        for tensor in topology.activations(name)
        for layer in topology.layers_above(tensor)
        if layer in owned
    }
    if above:
        return max(above, key=order.__getitem__)
    below = [layer for layer in topology.layers_below(name) if layer in owned]
    return min(below, key=order.__getitem__, default=None)


def _group(
    topology: Topology,
    members: list[str],
    kind: Kind,
    owned: dict[str, list[str]],
    order: dict[str, int],
) -> Group:
    more = f" and {len(members) - 1} more" if len(members) > 1 else ""
    layers = [topology.layers[name] for name in members]
    return Group(
        name=f"{members[0]}{more}",
        layers=tuple(members),
        nodes=tuple(sorted((n for m in members for n in owned[m]), key=order.__getitem__)),
        kind=kind,
        macs=sum(layer.macs for layer in layers),
        depthwise=any(layer.depthwise for layer in layers),
    )
