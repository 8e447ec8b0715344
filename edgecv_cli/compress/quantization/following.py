"""Which tensors have to be observed, and how the statistics of the others follow from them.

Each observer costs a pass over its tensor, and one between a layer and its activation function
keeps the engine from computing both in one go. So no more is observed than is needed: what an
elementwise function makes follows from what it reads (exactly, as it rises throughout, or
has one dip), what a Concat or Split makes from its parts, channel by channel, and where an
activation function is all that reads a tensor, that tensor follows backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import onnx
from numpy.typing import NDArray

from edgecv_cli.compress.quantization.placement import clamp_range
from edgecv_cli.graph.topology import Topology

Values = NDArray[np.float64]
# The least that HardSwish makes, of -1.5.
HARD_SWISH_DIP = -0.375
# Where SiLU is least: 1 + x (1 - sigmoid(x)) = 0.
SILU_DIP = -1.2784645


@dataclass(frozen=True)
class Map:
    """An elementwise function that rises throughout, or falls to one dip and then rises.

    Attributes:
        function: on float64 arrays of any shape.
        dip: where it is least, or None where it rises throughout.
        until: values above this are not counted: another piece does.
    """

    function: Callable[[Values], Values]
    dip: float | None = None
    until: float = np.inf

    def bounds(self, low: Values, high: Values) -> tuple[Values, Values]:
        """Return the least and greatest result over [low, high], elementwise."""
        ends = self.function(low), self.function(high)
        least, most = np.minimum(*ends), np.maximum(*ends)
        if self.dip is None:
            return least, most
        bottom = self.function(np.asarray(self.dip, np.float64))
        return np.where((low < self.dip) & (high > self.dip), bottom, least), most


@dataclass(frozen=True)
class Piece:
    """Some channels of an observed tensor, through some functions.

    Attributes:
        source: the observed tensor.
        start, stop: its channels; a tensor without channels has one.
        maps: applied one after the other.
    """

    source: str
    start: int
    stop: int
    maps: tuple[Map, ...] = ()

    def bounds(self, low: Values, high: Values) -> tuple[Values, Values]:
        """Return the piece's bounds from those of its channels of the source."""
        for step in self.maps:
            low, high = step.bounds(low, high)
        return low, high

    def values(self, source: Values) -> Values:
        """Return the piece's values from those of the source; NaN where it has none."""
        for step in self.maps:
            source = np.where(source > step.until, np.nan, step.function(source))
        return source


@dataclass(frozen=True)
class Origin:
    """Where a tensor's statistics come from.

    Attributes:
        pieces: together they are the tensor.
        channels: whether the pieces' channels, in order, are the tensor's.
    """

    pieces: tuple[Piece, ...]
    channels: bool

    def through(self, step: Map) -> Origin:
        """Return this origin with a function applied."""
        parts = (replace(piece, maps=(*piece.maps, step)) for piece in self.pieces)
        return replace(self, pieces=tuple(parts))

    def cut(self, start: int, stop: int) -> Origin:
        """Return the origin of some of the channels."""
        parts = []
        position = 0
        for piece in self.pieces:
            first = piece.start + max(0, start - position)
            last = min(piece.stop, piece.start + stop - position)
            if first < last:
                parts.append(replace(piece, start=first, stop=last))
            position += piece.stop - piece.start
        return Origin(tuple(parts), channels=True)


def channels_of(topology: Topology, tensor: str) -> int | None:
    """Return the channels of a tensor [1, C, H, W], else None."""
    shape = topology.shapes.get(tensor, ())
    return shape[1] if len(shape) == 4 and shape[0] == 1 and None not in shape else None


def trace(topology: Topology, tensors: Iterable[str]) -> dict[str, Origin]:
    """Return where the statistics of each tensor come from."""
    tracer = _Tracer(topology)
    return {name: tracer.origin(name) for name in tensors}


def is_hard_swish(topology: Topology, name: str, tensor: str | None = None) -> bool:
    """Return whether a node makes HardSwish (of ``tensor``), as one op or as x * HardSigmoid(x)."""
    node = topology.nodes[name]
    if node.op_type == "HardSwish":
        return tensor in (None, node.input[0])
    found = gate_of(topology, name)
    if found is None or tensor not in (None, found[0]):
        return False
    gate = topology.nodes[found[1]]
    if gate.op_type != "HardSigmoid" or topology.consumers[gate.output[0]] != [name]:
        return False
    slope, offset = _attribute(gate, "alpha", 0.2), _attribute(gate, "beta", 0.5)
    return abs(slope - 1 / 6) < 1e-5 and offset == 0.5


def gate_of(topology: Topology, name: str) -> tuple[str, str] | None:
    """Return (x, gate) where a node is x * gate(x), the gate by its node's name."""
    node = topology.nodes[name]
    if node.op_type != "Mul":
        return None
    left, right = node.input
    for value, factor in ((left, right), (right, left)):
        gate = topology.producer.get(factor)
        if gate is not None and list(topology.nodes[gate].input) == [value]:
            return value, gate
    return None


class _Tracer:
    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._known: dict[str, Origin] = {}

    def origin(self, tensor: str) -> Origin:
        """Return a tensor's origin; each is worked out once."""
        if tensor not in self._known:
            self._known[tensor] = self._backward(tensor) or self._forward(tensor)
        return self._known[tensor]

    def _observed(self, tensor: str) -> Origin:
        channels = channels_of(self._topology, tensor)
        return Origin((Piece(tensor, 0, channels or 1),), channels is not None)

    def _backward(self, tensor: str) -> Origin | None:
        """Return the origin of what an activation function alone reads and can be undone."""
        topology = self._topology
        readers = topology.consumers.get(tensor, [])
        if tensor in topology.graph_outputs or not 1 <= len(readers) <= 2:
            return None
        last = readers[-1]
        if is_hard_swish(topology, last, tensor):
            return self._before_hard_swish(topology.nodes[last].output[0])
        return self._before_rising(last) if len(readers) == 1 else None

    def _before_rising(self, reader: str) -> Origin | None:
        node = self._topology.nodes[reader]
        if node.op_type in ("Relu", "Clip") and clamp_range(self._topology, reader) is not None:
            # What the clamp removes needs no place on the grid.
            return self._observed(node.output[0])
        if node.op_type == "LeakyRelu" and _slope(node) > 0:
            undone = Map(partial(_leaky, 1 / _slope(node)))
            return self._observed(node.output[0]).through(undone)
        return None

    def _before_hard_swish(self, output: str) -> Origin:
        """Return the origin of what a HardSwish reads, from both branches of its inverse.

        Below -3 it makes 0 of everything, so that a grid needs to go no further.
        """
        made = self._observed(output)
        parts = made.through(_ABOVE_DIP).pieces + made.through(_BELOW_DIP).pieces
        return Origin(parts, channels=False)

    def _forward(self, tensor: str) -> Origin:
        name = self._topology.producer.get(tensor)
        if name is None or name in self._topology.layers:
            return self._observed(tensor)
        node = self._topology.nodes[name]
        made = None
        if node.op_type == "Mul":
            made = self._gated(name)
        elif node.op_type in ("Sigmoid", "HardSigmoid", "LeakyRelu", "Relu", "Clip"):
            made = self._applied(name)
        elif node.op_type == "Concat":
            made = self._concat(name)
        elif node.op_type == "Split":
            made = self._split(name, tensor)
        elif node.op_type == "Resize" and _repeats(node):
            made = self._same_channels(node.input[0], tensor)
        return made or self._observed(tensor)

    def _same_channels(self, source: str, tensor: str) -> Origin | None:
        if channels_of(self._topology, source) != channels_of(self._topology, tensor):
            return None
        return self.origin(source)

    def _applied(self, name: str) -> Origin | None:
        node = self._topology.nodes[name]
        step = self._step(name)
        source = node.input[0]
        if step is None or self._topology.constants.is_constant(source):
            return None
        # What leads back to this node's output would lead in a circle.
        alone = self._topology.consumers[source] == [name]
        if alone and self._backward(source) is not None:
            return None
        return self.origin(source).through(step)

    def _step(self, name: str) -> Map | None:
        node = self._topology.nodes[name]
        if node.op_type in ("Relu", "Clip"):
            bounds = clamp_range(self._topology, name)
            return None if bounds is None else Map(partial(np.clip, a_min=0.0, a_max=bounds[1]))
        if node.op_type == "Sigmoid":
            return Map(_sigmoid)
        if node.op_type == "HardSigmoid":
            return Map(_hard_sigmoid(node))
        slope = _slope(node)
        return Map(partial(_leaky, slope)) if slope >= 0 else None

    def _gated(self, name: str) -> Origin | None:
        """Return the origin of x * Sigmoid(x); x * HardSigmoid(x) is left to its output."""
        found = gate_of(self._topology, name)
        if found is None:
            return None
        value, gate = found
        if self._topology.nodes[gate].op_type == "Sigmoid":
            return self.origin(value).through(_SILU)
        return None

    def _concat(self, name: str) -> Origin | None:
        node = self._topology.nodes[name]
        if any(self._topology.constants.is_constant(tensor) for tensor in node.input):
            return None
        axis = next(a.i for a in node.attribute if a.name == "axis")
        parts = [self.origin(tensor) for tensor in node.input]
        channels = axis in (1, -3) and all(part.channels for part in parts)
        return Origin(tuple(piece for part in parts for piece in part.pieces), channels)

    def _split(self, name: str, tensor: str) -> Origin | None:
        node = self._topology.nodes[name]
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        source = self.origin(node.input[0])
        sizes = [channels_of(self._topology, output) for output in node.output]
        if axis not in (1, -3) or not source.channels or None in sizes:
            return None
        index = list(node.output).index(tensor)
        start = sum(size or 0 for size in sizes[:index])
        return source.cut(start, start + (sizes[index] or 0))


def _attribute(node: onnx.NodeProto, name: str, default: float) -> float:
    return next((a.f for a in node.attribute if a.name == name), default)


def _slope(node: onnx.NodeProto) -> float:
    return _attribute(node, "alpha", 0.01)


def _repeats(node: onnx.NodeProto) -> bool:
    """Return whether a Resize only repeats elements."""
    modes = [a.s for a in node.attribute if a.name == "mode"]
    return not modes or modes == [b"nearest"]


def _sigmoid(x: Values) -> Values:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x), np.float64)


def _silu(x: Values) -> Values:
    return x * _sigmoid(x)


def _leaky(slope: float, x: Values) -> Values:
    return np.where(x < 0, slope * x, x)


def _hard_sigmoid(node: onnx.NodeProto) -> Callable[[Values], Values]:
    slope, offset = _attribute(node, "alpha", 0.2), _attribute(node, "beta", 0.5)
    return partial(_hard, slope, offset)


def _hard(slope: float, offset: float, x: Values) -> Values:
    return np.clip(slope * x + offset, 0.0, 1.0)


def _above_dip(y: Values) -> Values:
    """Solve x (x + 3) / 6 = y for x >= -1.5; from x = 3 on it is x = y."""
    root = np.sqrt(np.maximum(9 + 24 * y, 0.0))
    return np.where(y > 3, y, (root - 3) / 2)


def _below_dip(y: Values) -> Values:
    root = np.sqrt(np.maximum(9 + 24 * y, 0.0))
    return np.maximum((-root - 3) / 2, -3.0)


_SILU = Map(_silu, dip=SILU_DIP)
_ABOVE_DIP = Map(_above_dip)
_BELOW_DIP = Map(_below_dip, until=0.0)
