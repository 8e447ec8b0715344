"""What the rules of the operators read and write while channels are labelled."""

from __future__ import annotations

import onnx

from edgecv_cli.compress.pruning.flow import Channels
from edgecv_cli.compress.pruning.labels import Labels, LabelSets
from edgecv_cli.core.tensors import Shape
from edgecv_cli.graph.topology import Topology


class Tracer:
    """The labels of a graph, half way through.

    Attributes:
        topology: the graph.
        sets: labels, joined and frozen.
        channels: tensor to its labels so far.
        made_by: layer to the labels of its outputs.
    """

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.sets = LabelSets()
        self.channels: dict[str, Channels] = {}
        self.made_by: dict[str, Labels] = {}
        self.reasons: dict[int, str] = {}

    def shape(self, tensor: str) -> tuple[int, ...] | None:
        """Return a tensor's shape where all of it is known."""
        known: Shape | None = self.topology.shapes.get(tensor)
        if known is None or any(size is None for size in known):
            return None
        return tuple(size for size in known if size is not None)

    def is_stored(self, tensor: str) -> bool:
        """Whether a tensor stands in the file."""
        return self.topology.constants.is_constant(tensor)

    def freeze(self, tensor: str, reason: str) -> None:
        """Have all channels of a tensor stay."""
        found = self.channels.get(tensor)
        if found is not None:
            self.sets.freeze(found.labels)
            for label in found.labels:
                self.reasons.setdefault(int(label), reason)

    def give(self, tensor: str, axis: int, labels: Labels) -> None:
        """Say what the channels of a tensor are."""
        self.channels[tensor] = Channels(axis, labels)

    def make(self, layer: str, tensor: str, axis: int, count: int) -> None:
        """Give a layer's output channels of its own."""
        labels = self.sets.new(count)
        self.made_by[layer] = labels
        self.give(tensor, axis, labels)

    def stop(self, node: onnx.NodeProto, reason: str) -> None:
        """Freeze what a node reads; what it makes has no channels that could leave."""
        for tensor in node.input:
            self.freeze(tensor, reason)
