"""Walk a graph once and label the channels of every tensor."""

from __future__ import annotations

from edgecv_cli.compress.pruning.flow import Flow, settled
from edgecv_cli.compress.pruning.rules import RULES
from edgecv_cli.compress.pruning.tracer import Tracer
from edgecv_cli.graph.topology import Topology

_TAIL = "the decode tail reads them"
_OUTPUT = "they are an output of the model"


def analyse(topology: Topology) -> Flow:
    """Return which channels of a normalised float graph stand or fall together."""
    tracer = Tracer(topology)
    for value in topology.model.graph.input:
        shape = tracer.shape(value.name)
        if shape is not None and len(shape) == 4:
            tracer.give(value.name, 1, tracer.sets.new(shape[1], frozen=True))
    for name, node in topology.nodes.items():
        if name in topology.tail:
            tracer.stop(node, _TAIL)
            continue
        rule = RULES.get(node.op_type)
        if rule is None or not rule(tracer, node):
            tracer.stop(node, f"{node.op_type} '{name}' reads them as a whole")
    for tensor in topology.graph_outputs:
        tracer.freeze(tensor, _OUTPUT)
    return settled(topology, tracer.channels, tracer.sets, tracer.made_by, tracer.reasons)
