"""Which nodes run in integers, and why the others do not.

``all``               every layer above the decode tail
``last``              the layers that feed the decode tail stay float
``last2``             and so do the layers that feed only those
``depthwise-float``   depthwise layers, and the tensors around them, stay float

The decode tail is always float: it puts boxes (0..640) and scores (0..1) into one tensor, and
one scale over both rounds every score to zero. Around depthwise layers one scale per tensor
serves channels of very different range, which is where small nets lose their accuracy.

What lies between the integer layers is the glue. Engines differ in what they make of it:

``ops``       every op between integer layers that has an 8-bit kernel runs in integers too:
              for ONNX Runtime, where each step to float and back costs time
``inputs``    only the inputs of the layers are on a grid: for OpenVINO, which fuses what follows
              a layer into it
``residual``  the same, and the other operand of an Add that takes a layer's output: for
              TensorRT, whose layer then adds it in one kernel
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from edgecv_cli.graph.topology import Layer, Topology

PLACEMENTS = (
    "all",
    "last",
    "last2",
    "depthwise-float",
    "last-depthwise-float",
    "last2-depthwise-float",
)
Glue = Literal["ops", "inputs", "residual"]
_NO_FLOATS: Mapping[str, str] = {}

# ONNX Runtime has 8-bit kernels, or drops the pair around them, for these.
_ELEMENTWISE = frozenset({"Add", "Mul", "Sigmoid", "LeakyRelu", "Relu", "Clip"})
PASS_THROUGH = frozenset({"MaxPool", "Resize", "Split", "Reshape", "Transpose"})
_GLUE = _ELEMENTWISE | PASS_THROUGH | {"Concat", "GlobalAveragePool", "AveragePool"}
_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm"})  # a MatMul of two tensors is no layer
_INTEGER_LAYERS = frozenset({"Conv", "Gemm", "MatMul"})
_ACTIVATIONS = frozenset({"Add", "Mul", "Sigmoid", "HardSigmoid", "LeakyRelu", "Relu", "Clip"})


@dataclass(frozen=True)
class Placement:
    """A choice of integer nodes.

    Attributes:
        nodes: first outputs of the integer nodes, layers among them, in graph order.
        reasons: float layer -> why it is float.
    """

    nodes: tuple[str, ...]
    reasons: dict[str, str]


def place(
    topology: Topology,
    placement: str,
    *,
    glue: Glue = "ops",
    floats: Mapping[str, str] = _NO_FLOATS,
    keep: AbstractSet[str] = frozenset(),
) -> Placement:
    """Choose the integer nodes of a normalised graph for a named placement.

    Args:
        topology: the graph.
        placement: one of ``PLACEMENTS``.
        glue: what runs in integers between the layers.
        floats: layers that stay float besides those of the placement -> why.
        keep: other nodes that stay float.
    """
    reasons = _reasons(topology, placement)
    for name, reason in floats.items():
        reasons.setdefault(name, reason)
    barred = _around_depthwise(topology) if "depthwise" in placement else frozenset()
    for name in barred & set(topology.layers):
        reasons.setdefault(name, "its output feeds a depthwise layer")
    layers = {name for name in topology.layers if name not in reasons}
    chosen = layers | _glue(topology, layers, barred | keep, glue)
    nodes = tuple(name for name in topology.nodes if name in chosen)
    return Placement(nodes, dict(sorted(reasons.items())))


def distinct_placements(
    topology: Topology, *, glue: Glue = "ops", floats: Mapping[str, str] = _NO_FLOATS
) -> list[str]:
    """Return the placements that differ from each other on this graph, fewest floats first."""
    seen: dict[tuple[str, ...], str] = {}
    for name in PLACEMENTS:
        nodes = place(topology, name, glue=glue, floats=floats).nodes
        if any(node in topology.layers for node in nodes):
            seen.setdefault(nodes, name)
    return list(seen.values())


def stem_layers(topology: Topology) -> tuple[str, ...]:
    """Return the layers that read the picture, with no other layer before them, in graph order.

    A picture's three channels fill a fraction of what an integer kernel multiplies at once, at the
    largest resolution of all: float is often faster there, and always as accurate.
    """
    return tuple(
        name
        for name, layer in topology.layers.items()
        if next(topology.layers_above(layer.data), None) is None
    )


def integer_share(topology: Topology, nodes: tuple[str, ...]) -> float:
    """Return the fraction of the layers' multiply-accumulates that run in integers."""
    total = sum(layer.macs for layer in topology.layers.values())
    chosen = set(nodes)
    part = sum(layer.macs for name, layer in topology.layers.items() if name in chosen)
    return part / total if total else 0.0


def _reasons(topology: Topology, placement: str) -> dict[str, str]:
    reasons = dict.fromkeys(_without_weights(topology), "its weights are computed")
    for name, layer in topology.layers.items():
        unfit = _unfit(topology, layer)
        if unfit is not None:
            reasons[name] = unfit
        elif layer.depthwise and "depthwise" in placement:
            reasons[name] = "depthwise: one scale per tensor does not fit its channels"
    if placement.startswith("last"):
        heads = set(topology.heads)
        for name in heads & set(topology.layers):
            reasons.setdefault(name, "feeds the decode tail")
        if placement.startswith("last2"):
            for name in topology.layers:
                below = set(topology.layers_below(name))
                if below and below <= heads:
                    reasons.setdefault(name, "feeds only layers that feed the decode tail")
    return reasons


def _without_weights(topology: Topology) -> list[str]:
    """Return what would be a layer if its weights were stored."""
    return [
        name
        for name, node in topology.nodes.items()
        if node.op_type in _WEIGHTED
        and name not in topology.tail
        and not topology.constants.is_constant(node.input[1])
    ]


def _unfit(topology: Topology, layer: Layer) -> str | None:
    """Return why a layer can't be stored as integers in any placement, or None."""
    if layer.op not in _INTEGER_LAYERS:
        return f"{layer.op} has no 8-bit kernel on this target"
    if topology.constants.tensor(layer.weight) is None:
        return "its weights are not stored as they are"
    if layer.op != "Conv" and len(topology.shapes[layer.weight]) != 2:
        return "its weights are not a matrix"
    if None in (topology.elements(layer.data), topology.elements(layer.name)):
        return "its size depends on what the image shows"
    return None if layer.bias is None else _unfit_bias(topology, layer, layer.bias)


def _unfit_bias(topology: Topology, layer: Layer, bias: str) -> str | None:
    if topology.constants.tensor(bias) is None:
        return "its bias is computed"
    channels = topology.shapes[layer.name][-1]
    if layer.op == "Gemm" and topology.elements(bias) not in (1, channels):
        return "its bias differs from row to row"
    return None


def _around_depthwise(topology: Topology) -> frozenset[str]:
    """Return the nodes that make a depthwise layer's input, up to the layer above it."""
    barred: set[str] = set()
    for layer in topology.layers.values():
        if not layer.depthwise:
            continue
        pending = [layer.data]
        while pending:
            name = topology.producer.get(pending.pop())
            if name is None or name in barred:
                continue
            node = topology.nodes[name]
            if name in topology.layers:
                barred.add(name)
            elif node.op_type in _ACTIVATIONS:
                barred.add(name)
                pending.extend(topology.activations(name))
    return frozenset(barred)


def _glue(
    topology: Topology, layers: set[str], barred: AbstractSet[str], policy: Glue
) -> frozenset[str]:
    if policy == "inputs":
        return frozenset()
    connected = _connected_glue(topology, layers, barred)
    if policy == "ops":
        return connected
    return frozenset(name for name in connected if _adds_to_layer(topology, name, layers))


def _adds_to_layer(topology: Topology, name: str, layers: AbstractSet[str]) -> bool:
    """Return whether a node adds a computed tensor to what an integer layer alone hands it."""
    operands = topology.activations(name)
    if topology.nodes[name].op_type != "Add" or len(set(operands)) != 2:
        return False
    return any(_handed(topology, tensor, name, layers) for tensor in operands)


def added_operand(topology: Topology, name: str, layers: AbstractSet[str]) -> str:
    """Return what an Add of the glue ``residual`` adds to the output of an integer layer.

    Of two layers that both hand it their output the later one adds, for it has to wait anyway.
    """
    operands = topology.activations(name)
    order = {node: place for place, node in enumerate(topology.nodes)}
    handed = [tensor for tensor in operands if _handed(topology, tensor, name, layers)]
    last = max(handed, key=lambda tensor: order[topology.producer[tensor]])
    return next(tensor for tensor in operands if tensor != last)


def _handed(topology: Topology, tensor: str, reader: str, layers: AbstractSet[str]) -> bool:
    producer = topology.producer.get(tensor)
    return (
        producer in layers
        and producer in topology.layers
        and topology.consumers[tensor] == [reader]
        and tensor not in topology.graph_outputs
    )


def _connected_glue(
    topology: Topology, layers: set[str], barred: AbstractSet[str]
) -> frozenset[str]:
    """Return the nodes between integer layers that should run in integers too.

    A node joins if at least half of what it reads is made by integer nodes (otherwise it would
    only add rounding), and stays if an integer node reads what it makes. An activation function
    also stays before a float layer: what is quantized is then its output, not its input, whose
    range is wider, and the engine computes both in one go.
    """
    glue: set[str] = set()
    for name, node in topology.nodes.items():
        if name in topology.layers or name in topology.tail or name in barred:
            continue
        if node.op_type not in _GLUE or not _supported(topology, name):
            continue
        sources = [topology.producer.get(tensor) for tensor in topology.activations(name)]
        integer = sum(source in layers or source in glue for source in sources)
        if sources and 2 * integer >= len(sources):
            glue.add(name)
    changed = True
    while changed:
        useless = {name for name in glue if not _is_read(topology, name, layers | glue)}
        glue -= useless
        changed = bool(useless)
    return frozenset(glue)


def _is_read(topology: Topology, name: str, integer: set[str]) -> bool:
    node = topology.nodes[name]
    readers = [reader for output in node.output for reader in topology.consumers.get(output, [])]
    if any(reader in integer for reader in readers):
        return True
    return node.op_type in _ELEMENTWISE and any(reader in topology.layers for reader in readers)


def _supported(topology: Topology, name: str) -> bool:
    node = topology.nodes[name]
    tensors = [*topology.activations(name), *filter(None, node.output)]
    if any(topology.elements(tensor) is None for tensor in tensors):
        return False
    if node.op_type in PASS_THROUGH and topology.activations(name) != [node.input[0]]:
        return False
    if node.op_type == "Resize":
        modes = [a.s.decode() for a in node.attribute if a.name == "mode"]
        return not modes or modes == ["nearest"]
    if node.op_type == "MaxPool":
        return len([output for output in node.output if output]) == 1
    if node.op_type in {"Relu", "Clip"}:
        return clamp_range(topology, name) is not None
    return True


def clamp_range(topology: Topology, name: str) -> tuple[float, float] | None:
    """Return [0, high] of a Relu or Clip that clamps at zero from below, else None."""
    node = topology.nodes[name]
    if node.op_type == "Relu":
        return 0.0, float("inf")
    bounds: list[float | None] = []
    for index in (1, 2):
        present = len(node.input) > index and node.input[index]
        value = topology.constants.value(node.input[index]) if present else None
        if present and (value is None or value.size != 1):
            return None
        bounds.append(None if value is None else float(value.ravel()[0]))
    low, high = bounds
    if low != 0.0:
        return None
    return 0.0, float("inf") if high is None else high
