"""From observed ranges to the grid of every activation tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgecv_cli.compress.quantization.clipping import heard
from edgecv_cli.compress.quantization.observe import Observations
from edgecv_cli.compress.quantization.placement import (
    PASS_THROUGH,
    Glue,
    added_operand,
    clamp_range,
)
from edgecv_cli.compress.quantization.plan import GridPlan
from edgecv_cli.compress.quantization.ranges import ESTIMATORS, estimate
from edgecv_cli.graph.grid import UNSIGNED, Grid, GridKind, grid_of
from edgecv_cli.graph.topology import Topology

__all__ = ["ESTIMATORS", "implied_clamps", "make_grids", "planned", "tensors_of"]

# Concatenated tensors share one grid where that costs less than a third of a bit.
_CONCAT_SLACK = 1.25


def tensors_of(topology: Topology, nodes: Iterable[str], glue: Glue = "ops") -> list[str]:
    """Return the activation tensors that go onto a grid, in graph order.

    With the glue ``ops`` what integer nodes read or make; else what layers read, and the operand
    of an Add that no layer hands to it alone.
    """
    chosen = set(nodes)
    found: dict[str, None] = {}
    for name in topology.nodes:
        if name not in chosen:
            continue
        if glue == "ops":
            found.update(dict.fromkeys(topology.activations(name)))
            found.update(dict.fromkeys(output for output in topology.nodes[name].output if output))
        elif name in topology.layers:
            found[topology.layers[name].data] = None
        else:
            found[added_operand(topology, name, chosen)] = None
    return list(found)


def implied_clamps(topology: Topology, nodes: tuple[str, ...]) -> tuple[str, ...]:
    """Return clamps at zero whose only work the grid of their output does as well.

    Holds where the clamp is the only reader of an integer node: the output grid begins at 0
    and ends at or below the clamp's upper bound, so storing the value clamps it.
    """
    chosen = set(nodes)
    found = []
    for name in nodes:
        if clamp_range(topology, name) is None or topology.nodes[name].op_type not in (
            "Relu",
            "Clip",
        ):
            continue
        source = topology.nodes[name].input[0]
        producer = topology.producer.get(source)
        only_reader = topology.consumers.get(source, []) == [name]
        if producer in chosen and only_reader and source not in topology.graph_outputs:
            found.append(name)
    return tuple(found)


def make_grids(
    topology: Topology,
    nodes: tuple[str, ...],
    observed: Observations,
    *,
    estimator: str,
    percentile: float,
    kind: GridKind = UNSIGNED,
    glue: Glue = "ops",
) -> dict[str, Grid]:
    """Return tensor -> grid for every tensor of ``tensors_of``.

    Tensors on both sides of a node that only moves values share one grid, and so do the
    tensors of a Concat where their ranges are alike. A sigmoid's output lies in 0..1 whatever
    was seen; what follows a clamp at zero never begins below zero; what the decode tail reads keeps
    its extremes under every estimator. The grid of a dropped clamp's
    output never reaches beyond the clamp's range. Between layers whose inputs alone are on a grid
    it is the float nodes that move values.
    """
    limits = {}
    for name in implied_clamps(topology, nodes):
        bounds = clamp_range(topology, name)
        assert bounds is not None
        limits[name] = bounds[1]
    hidden = {topology.nodes[name].input[0] for name in limits}
    ranges: dict[str, tuple[float, float]] = {}
    for tensor in tensors_of(topology, nodes, glue):
        if tensor not in hidden:
            ranges[tensor] = _range(
                topology, tensor, observed, estimator=estimator, percentile=percentile, kind=kind
            )
    for tensor, (low, high) in list(ranges.items()):
        part = heard(topology, tensor, ranges, kind)
        if part is not None:
            ranges[tensor] = max(low, part[0]), min(high, part[1])
    movers = nodes
    if glue != "ops":
        movers = tuple(name for name in topology.nodes if name not in topology.tail)
    groups = _share(topology, movers, ranges, limits)
    together: dict[str, tuple[float, float]] = {}
    for tensor, (low, high) in ranges.items():
        root = groups.root(tensor)
        known = together.get(root, (low, high))
        together[root] = min(low, known[0]), max(high, known[1])
    return {tensor: grid_of(*together[groups.root(tensor)], kind) for tensor in ranges}


def planned(grids: Mapping[str, Grid]) -> dict[str, GridPlan]:
    """Return grids as a plan holds them."""
    return {
        name: GridPlan(
            scale=grid.scale,
            zero_point=grid.zero_point,
            bits=16 if grid.bits == 16 else 8,
            signed=grid.signed,
        )
        for name, grid in grids.items()
    }


def _range(
    topology: Topology,
    tensor: str,
    observed: Observations,
    *,
    estimator: str,
    percentile: float,
    kind: GridKind,
) -> tuple[float, float]:
    producer = topology.producer.get(tensor)
    if producer in topology.heads:
        # The extremes of what is decoded are the detections: the largest scores and boxes.
        estimator = "minmax"
    low, high = estimate(observed.tensors[tensor], estimator, percentile, kind)
    if producer is None:
        return low, high
    op = topology.nodes[producer].op_type
    if op == "Sigmoid":
        return 0.0, 1.0
    if op in ("Relu", "Clip"):
        bounds = clamp_range(topology, producer)
        if bounds is not None:
            # A hair below the bound, so that no grid point lies above it after rounding.
            return 0.0, min(high, bounds[1] * (1 - 1e-6))
    return low, high


class _Groups:
    """Union-find over tensors."""

    def __init__(self, names: Iterable[str]) -> None:
        self._parent = {name: name for name in names}

    def root(self, name: str) -> str:
        while self._parent[name] != name:
            self._parent[name] = self._parent[self._parent[name]]
            name = self._parent[name]
        return name

    def join(self, a: str, b: str) -> None:
        if a in self._parent and b in self._parent:
            self._parent[self.root(b)] = self.root(a)

    def members(self, name: str) -> list[str]:
        root = self.root(name)
        return [other for other in self._parent if self.root(other) == root]


def _share(
    topology: Topology,
    nodes: tuple[str, ...],
    ranges: dict[str, tuple[float, float]],
    limits: dict[str, float],
) -> _Groups:
    groups = _Groups(ranges)
    for name in nodes:
        node = topology.nodes[name]
        if node.op_type in PASS_THROUGH and topology.activations(name):
            for output in node.output:
                groups.join(topology.activations(name)[0], output)
    for name in nodes:
        if topology.nodes[name].op_type == "Concat" and topology.nodes[name].output[0] in ranges:
            _share_concat(topology, name, ranges, limits, groups)
    return groups


def _share_concat(
    topology: Topology,
    name: str,
    ranges: dict[str, tuple[float, float]],
    limits: dict[str, float],
    groups: _Groups,
) -> None:
    output = topology.nodes[name].output[0]
    for tensor in topology.activations(name):
        if tensor not in ranges:
            continue
        members = {*groups.members(tensor), *groups.members(output)}
        low = min(0.0, *(ranges[member][0] for member in members))
        high = max(0.0, *(ranges[member][1] for member in members))
        narrowest = min(
            max(0.0, ranges[member][1]) - min(0.0, ranges[member][0]) for member in members
        )
        # Half a step is lost in rounding: a range that is estimated may pass a clamp by that.
        half = (high - low) / 510
        clamped = [limits[member] for member in members if member in limits]
        kept = not clamped or (low >= -half and high <= min(clamped) + half)
        if kept and high - low <= _CONCAT_SLACK * narrowest:
            groups.join(output, tensor)
