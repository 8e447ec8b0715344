"""What a grid before an activation function need not hold, for nothing of it is left after.

Far below zero SiLU makes nearly 0 of everything, and far from zero a sigmoid makes 0 or 1. Where
that is less than half a step of the grid that the *result* is put on, values out there come to
the same integer, and the grid before can spend its steps on the others. It matters: what SiLU reads
often reaches several times as far below zero as above.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from edgecv_cli.compress.quantization.following import SILU_DIP, gate_of
from edgecv_cli.graph.grid import GridKind
from edgecv_cli.graph.topology import Topology

Range = tuple[float, float]
_FAR = -80.0
# Of a step: what is exactly half of one may round either way.
_UNDER_HALF = 0.495
_HALVINGS = 60


def heard(
    topology: Topology, tensor: str, ranges: Mapping[str, Range], kind: GridKind
) -> Range | None:
    """Return the part (low, high) of a tensor's values that its readers tell apart, or None.

    Args:
        topology: the graph.
        tensor: what an activation function may read.
        ranges: of every tensor that is put on a grid.
        kind: of the grids.
    """
    readers = topology.consumers.get(tensor, [])
    if tensor in topology.graph_outputs or not readers:
        return None
    last = topology.nodes[readers[-1]]
    made = last.output[0]
    if made not in ranges:
        return None
    half = _half_step(ranges[made], kind)
    if len(readers) == 1 and last.op_type == "Sigmoid":
        edge = math.log((1 - half) / half)
        return -edge, edge
    if len(readers) == 2 and _is_silu(topology, tensor, readers[-1]):
        return _last_negligible(half), math.inf
    return None


def _half_step(held: Range, kind: GridKind) -> float:
    low, high = min(held[0], 0.0), max(held[1], 0.0)
    wide = 2 * max(-low, high) if kind.symmetric else high - low
    return max(_UNDER_HALF * wide / ((1 << kind.bits) - 1), 1e-9)


def _is_silu(topology: Topology, tensor: str, name: str) -> bool:
    """Return whether a node is tensor * sigmoid(tensor), and reads that sigmoid alone."""
    found = gate_of(topology, name)
    if found is None or found[0] != tensor:
        return False
    gate = topology.nodes[found[1]]
    return gate.op_type == "Sigmoid" and topology.consumers[gate.output[0]] == [name]


def _silu(x: float) -> float:
    return x / (1 + math.exp(-x))


def _last_negligible(half: float) -> float:
    """Return the greatest x left of SiLU's dip from which down it stays within ``half`` of 0."""
    if -_silu(SILU_DIP) <= half:
        return SILU_DIP
    low, high = _FAR, SILU_DIP
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if -_silu(middle) <= half:
            low = middle
        else:
            high = middle
    return low
