"""Hand a plan to a quantizer of another maker, which takes a float network and ranges.

Such a quantizer rounds weights to nearest by the largest of each output channel, and fits the
grid of an activation to a range. So what a plan decides is told in its own terms: weights that lie
on the plan's grid already come out as they are, biases are shifted before it sees them, and each
grid is given as the range that it covers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgecv_cli.compress.quantization.apply import store_layer
from edgecv_cli.compress.quantization.equalise import equalised
from edgecv_cli.compress.quantization.plan import LayerPlan, QuantizePlan
from edgecv_cli.compress.quantization.rounding import decode_mask, encode_mask
from edgecv_cli.compress.quantization.weights import LIMITS
from edgecv_cli.graph.grid import Grid
from edgecv_cli.graph.topology import Layer, Topology

Array = NDArray[Any]


@dataclass(frozen=True)
class Handover:
    """A float network whose weights lie on their grids, and what to fit activations' grids to.

    Attributes:
        network: computes what the plan's integers compute, but for the activations' rounding.
        ranges: activation tensor -> [low, high].
    """

    network: onnx.ModelProto
    ranges: Mapping[str, tuple[float, float]]


def hand_over(topology: Topology, plan: QuantizePlan) -> Handover:
    """Return a plan of int8 as a float network and ranges.

    Args:
        topology: the normalised float graph that the plan was made for, not equalised.
        plan: the plan.

    Raises:
        ConfigError: the plan was made for another graph.
    """
    equal = equalised(topology, plan.equalise)
    model = onnx.ModelProto()
    model.CopyFrom(equal.model)
    nodes = {node.output[0]: node for node in model.graph.node}
    for name, stored in plan.layers.items():
        weight, bias = _values(equal, equal.layers[name], stored)
        _feed(model.graph, nodes[name], 1, weight)
        if bias is not None:
            _feed(model.graph, nodes[name], 2, bias)
    _drop_unread(model.graph)
    ranges = {}
    for name, grid in plan.grids.items():
        held = Grid(grid.scale, grid.zero_point, grid.bits, grid.signed)
        ranges[name] = held.low, held.high
    return Handover(model, ranges)


def _values(topology: Topology, layer: Layer, plan: LayerPlan) -> tuple[Array, Array | None]:
    stored = store_layer(topology, layer, _topped(topology, layer, plan), None)
    shape = [1] * stored.weight.ndim
    shape[stored.axis] = -1
    weight = stored.weight.astype(np.float32) * stored.scales.reshape(shape)
    return weight.astype(np.float32), stored.bias


def _topped(topology: Topology, layer: Layer, plan: LayerPlan) -> LayerPlan:
    """Return the plan with the largest weight of each channel on the last step of its grid.

    Rounded the other way, it would give the channel another scale when that is fitted anew.
    """
    if plan.rounding is None or layer.op != "Conv":
        return plan
    weight = topology.constants.value(layer.weight)
    assert weight is not None
    up = decode_mask(plan.rounding, weight.shape)
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    largest = np.abs(rows).argmax(axis=1)
    channels = np.arange(len(rows))
    scales = (np.abs(rows).max(axis=1) / LIMITS[plan.bits]).astype(np.float32).astype(np.float64)
    ratios = rows[channels, largest] / np.where(scales > 0, scales, 1.0)
    flat = up.reshape(rows.shape)
    # just short of the step by float32, or on it: where up would clip
    flat[channels, largest] = np.rint(ratios) > np.floor(ratios)
    return plan.model_copy(update={"rounding": encode_mask(up)})


def _feed(graph: onnx.GraphProto, node: onnx.NodeProto, index: int, value: Array) -> None:
    name = f"{node.output[0]}_handed{index}"
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
    while len(node.input) <= index:
        node.input.append("")
    node.input[index] = name


def _drop_unread(graph: onnx.GraphProto) -> None:
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
