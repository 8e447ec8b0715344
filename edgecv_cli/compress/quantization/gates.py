"""Give the gate of an activation function a layer of its own, so that its value can be equalised.

SiLU makes x * sigmoid(x): its channels can't be scaled, since a sigmoid's can't, and around
depthwise layers one grid for channels of very different range is what costs most. Written as
v * sigmoid(g), with v and g from two copies of the layer that makes x, it is linear in v: each
channel of v is divided by its range, and what reads the product takes that range into its weights
(cross-layer equalisation, Nagel et al. 2019, section 4.1). The float network computes the same.
In integers the gate's grid ends where a sigmoid says 0 or 1, and v's holds every channel as finely
as the widest. The price is a second run of those layers.

HardSigmoid, of HardSwish (Howard et al. 2019), becomes the clamp to 0..6 that layers of integer
kernels have built in: its slope, offset and sixth go into the weights as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from edgecv_cli.compress.quantization.equalise import find_pairs
from edgecv_cli.compress.quantization.following import gate_of
from edgecv_cli.compress.quantization.plan import GridPlan, QuantizePlan
from edgecv_cli.compress.quantization.scaling import Reader, Rescaler, readers_of, scalable
from edgecv_cli.core.context import Context
from edgecv_cli.graph.grid import Grid, GridKind, grid_of
from edgecv_cli.graph.io import serialize
from edgecv_cli.graph.topology import Topology

Array = NDArray[Any]
Feed = Mapping[str, NDArray[Any]]
Extremes = Mapping[str, tuple[Array, Array]]
"""Layer -> least and greatest of each channel that it makes, float64 [channels] each."""

# Further down, SiLU makes less than 0.07 of everything, and a value that is cut off there still
# meets a gate of its own, so that less than half of that is lost; HardSwish makes 0.
_DEEPEST = {"Sigmoid": 4.0, "HardSigmoid": 3.0}
_LEAST = 1e-3  # of the widest channel: a dead channel stays as it is
_SIX = 6.0


@dataclass(frozen=True)
class Gated:
    """What several layers read of one, beside a depthwise layer.

    Attributes:
        layer: makes x.
        gate: node that makes gate(x), of x * gate(x); None where x itself is read.
        readers: layers that read it, and where in their input it stands.
    """

    layer: str
    gate: str | None
    readers: tuple[Reader, ...]


def find_gated(topology: Topology) -> list[Gated]:
    """Return what can be scaled beside a depthwise layer and is no pair of ``equalise``."""
    found = []
    pairs = {pair.producer for pair in find_pairs(topology)}
    products = {}
    for name in topology.nodes:
        pair = gate_of(topology, name)
        if pair is not None and topology.nodes[pair[1]].op_type in _DEEPEST:
            products[pair[0]] = name, pair[1]
    for name in topology.layers:
        if name in pairs or not scalable(topology, name):
            continue
        product, gate = products.get(name, (name, None))
        if gate is not None and not (
            _alone(topology, name, {gate, product}) and _alone(topology, gate, {product})
        ):
            continue
        readers = readers_of(topology, product)
        around = [name, *(reader.layer for reader in readers)]
        if readers and any(topology.layers[one].depthwise for one in around):
            found.append(Gated(name, gate, readers))
    return found


def _alone(topology: Topology, tensor: str, readers: set[str]) -> bool:
    return tensor not in topology.graph_outputs and set(topology.consumers[tensor]) == readers


def extremes_of(
    topology: Topology,
    layers: Sequence[str],
    feeds: Iterable[Feed],
    *,
    open_model: Callable[[bytes], Callable[[Feed], list[Array]]],
    context: Context,
) -> Extremes:
    """Return the bounds of each channel of what layers make: the mean over images.

    Args:
        topology: the normalised float graph.
        layers: by name.
        feeds: what every input is fed, by name, one image at a time.
        open_model: loads serialized ONNX and returns a function from feed to outputs.
        context: cancellation is polled per image.
    """
    infer = open_model(serialize(_with_extremes(topology, layers)))
    total: list[Array] = []
    images = 0
    for feed in feeds:
        context.cancel.check()
        seen = [np.asarray(value, np.float64).max(axis=0).ravel() for value in infer(feed)]
        total = [a + b for a, b in zip(total, seen, strict=True)] if total else seen
        images += 1
    pairs = zip(total[::2], total[1::2], strict=True)
    means = [(-low / images, high / images) for low, high in pairs]
    return dict(zip(layers, means, strict=True)) if images else {}


def _with_extremes(topology: Topology, layers: Sequence[str]) -> onnx.ModelProto:
    """Return the graph with each channel's greatest of -x and of x as its only outputs."""
    model = onnx.ModelProto()
    model.CopyFrom(topology.model)
    graph = model.graph
    del graph.output[:]
    for name in layers:
        less = f"{name}_edgecv_negated"
        graph.node.append(helper.make_node("Neg", [name], [less]))
        for source in (less, name):
            top = f"{source}_edgecv_top"
            graph.node.append(helper.make_node("GlobalMaxPool", [source], [top]))
            graph.output.append(helper.make_tensor_value_info(top, onnx.TensorProto.FLOAT, None))
    return model


def factors_of(topology: Topology, gated: Sequence[Gated], seen: Extremes) -> dict[str, Array]:
    """Return what to divide each channel of the values by, by the layer that makes them."""
    found = {}
    for one in gated:
        if one.layer not in seen:
            continue
        low, high = seen[one.layer]
        deepest = np.inf if one.gate is None else _DEEPEST[topology.nodes[one.gate].op_type]
        wide = np.maximum(high, np.minimum(-low, deepest))
        most = float(wide.max(initial=0.0))
        if most > 0:
            found[one.layer] = np.maximum(wide, _LEAST * most)
    return found


def parted(
    topology: Topology, gated: Sequence[Gated], factors: Mapping[str, Array]
) -> onnx.ModelProto:
    """Return the network with gates and values apart; it computes the same.

    Args:
        topology: the normalised float graph.
        gated: of ``find_gated``; those without factors are left alone.
        factors: layer -> what each of its channels is divided by.
    """
    rescaler = Rescaler(topology)
    for one in gated:
        divided = factors.get(one.layer)
        if divided is None:
            continue
        back = divided if one.gate is None else divided / _part(rescaler, topology, one, one.gate)
        rescaler.divide(one.layer, divided)
        for reader in one.readers:
            rescaler.multiply(reader, back)
    return rescaler.model()


def _part(rescaler: Rescaler, topology: Topology, one: Gated, gate: str) -> float:
    """Give a gate a layer of its own; returns how many times the gate it then makes."""
    node, twin = topology.nodes[gate], rescaler.twin(one.layer, _twin(one.layer))
    if node.op_type == "Sigmoid":
        rescaler.read(gate, twin)
        return 1.0
    slope, offset = _hard(node)
    rescaler.stretch(twin, _SIX * slope)
    # The offset stays outside: converters build the clamp into a sum, not into the layer.
    moved = f"{twin}_moved"
    bounds = [rescaler.store(f"{gate}_{bound:.0f}", np.float32(bound)) for bound in (0.0, _SIX)]
    by = rescaler.store(f"{moved}_by", np.float32(_SIX * offset))
    added = helper.make_node("Add", [twin, by], [moved], moved)
    clamp = helper.make_node("Clip", [moved, *bounds], [gate], gate)
    rescaler.replace(gate, [added, clamp])
    return _SIX


def _twin(layer: str) -> str:
    return f"{layer}_gate"


def _hard(node: onnx.NodeProto) -> tuple[float, float]:
    given = {attribute.name: attribute.f for attribute in node.attribute}
    return given.get("alpha", 0.2), given.get("beta", 0.5)


def cuts_of(
    topology: Topology, gated: Sequence[Gated], factors: Mapping[str, Array]
) -> dict[str, tuple[float, float]]:
    """Return between what bounds the parted tensors count: beyond them a gate is shut or open.

    By tensor of the network that :func:`parted` makes.
    """
    cuts = {}
    for one in gated:
        if one.gate is None or one.layer not in factors:
            continue
        cuts[one.layer] = -1.0, math.inf
        node = topology.nodes[one.gate]
        if node.op_type == "HardSigmoid":
            offset = _SIX * _hard(node)[1]
            cuts[_twin(one.layer)] = -offset, _SIX - offset
    return cuts


def with_grids_cut(plan: QuantizePlan, cuts: Mapping[str, tuple[float, float]]) -> QuantizePlan:
    """Return the plan with grids ended where nothing beyond counts."""
    grids = dict(plan.grids)
    for name, (low, high) in cuts.items():
        held = grids.get(name)
        if held is None:
            continue
        grid = Grid(held.scale, held.zero_point, held.bits, held.signed)
        kind = GridKind(grid.bits, grid.signed)
        cut = grid_of(max(grid.low, low), min(grid.high, high), kind)
        grids[name] = GridPlan(
            scale=cut.scale, zero_point=cut.zero_point, bits=held.bits, signed=held.signed
        )
    return plan.model_copy(update={"grids": grids})
