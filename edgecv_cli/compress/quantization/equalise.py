"""Cross-layer equalisation: make the channels of a tensor alike before one grid serves them all.

Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
section 4.1: where f(s x) = s f(x) for s > 0, an output channel of one layer can be divided by s
and the next layer's weights on it multiplied by s; the float graph computes the same. Weights
have one scale an output channel here, so it is the tensor between the layers that gains: the
factors follow from its channels' ranges where they are known. A clamp with an upper bound
(ReLU6) is not homogeneous, nor is SiLU: such pairs are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgecv_cli.compress.quantization.plan import EqualisePlan
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ConfigError
from edgecv_cli.graph.io import serialize
from edgecv_cli.graph.topology import Layer, Topology

Feed = Mapping[str, NDArray[Any]]
Array = NDArray[np.float64]
Ranges = Mapping[str, Array]
"""Tensor -> largest magnitude of each channel, float64 [channels]."""

_HOMOGENEOUS = frozenset(
    {"Relu", "LeakyRelu", "PRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Resize"}
)
_INTERPOLATIONS = frozenset({"nearest", "linear"})
_STEADY = 1e-3
_ROUNDS = 20
# A channel that is nearly dead on the calibration images may wake up on others.
_MOST = 32.0


@dataclass(frozen=True)
class Pair:
    """Two convolutions with nothing but homogeneous ops between them.

    Attributes:
        producer, consumer: layers.
        tensor: what the consumer reads.
    """

    producer: str
    consumer: str
    tensor: str


def find_pairs(topology: Topology) -> list[Pair]:
    """Return the pairs of convolutions that can be equalised exactly, in graph order.

    Every tensor between the two has one reader and is no output of the graph, and no other node
    reads either layer's weights.
    """
    found = []
    for consumer in topology.layers.values():
        producer = _producer(topology, consumer.data) if _scalable(topology, consumer) else None
        if producer is not None and _scalable(topology, producer):
            found.append(Pair(producer.name, consumer.name, consumer.data))
    return found


def _producer(topology: Topology, tensor: str) -> Layer | None:
    """Return the layer that a tensor comes from through homogeneous ops with one reader each."""
    while len(topology.consumers.get(tensor, [])) == 1 and tensor not in topology.graph_outputs:
        name = topology.producer.get(tensor)
        if name is None or name in topology.layers:
            return None if name is None else topology.layers[name]
        if not _is_homogeneous(topology, name):
            return None
        tensor = topology.nodes[name].input[0]
    return None


def _is_homogeneous(topology: Topology, name: str) -> bool:
    node = topology.nodes[name]
    if node.op_type not in _HOMOGENEOUS or topology.activations(name) != [node.input[0]]:
        return False
    if len([output for output in node.output if output]) != 1:
        return False
    if node.op_type == "Resize":
        return _keeps_channels(topology, node)
    return True


def _keeps_channels(topology: Topology, node: onnx.NodeProto) -> bool:
    """Whether a Resize interpolates between positions only, and invents no value at the border."""
    before, after = (topology.shapes.get(name) for name in (node.input[0], node.output[0]))
    if before is None or after is None or len(before) != 4 or before[:2] != after[:2]:
        return False
    texts = {a.name: a.s.decode() for a in node.attribute if a.type == onnx.AttributeProto.STRING}
    return (
        texts.get("mode", "nearest") in _INTERPOLATIONS
        and texts.get("coordinate_transformation_mode") != "tf_crop_and_resize"
    )


def _scalable(topology: Topology, layer: Layer) -> bool:
    if layer.op != "Conv":
        return False
    stored = {tensor.name: tensor.data_type for tensor in topology.model.graph.initializer}
    operands = [layer.weight] + ([layer.bias] if layer.bias else [])
    return all(
        topology.consumers[name] == [layer.name] and stored.get(name) == onnx.TensorProto.FLOAT
        for name in operands
    )


def channel_ranges(
    topology: Topology,
    feeds: Iterable[Feed],
    *,
    open_model: Callable[[bytes], Callable[[Feed], list[NDArray[np.float32]]]],
    context: Context,
) -> Ranges:
    """Return the range of each channel of the tensors between pairs: the mean over images.

    Args:
        topology: the normalised float graph, not equalised.
        feeds: what every input is fed, by name, one image at a time.
        open_model: loads serialized ONNX and returns a function from feed to outputs.
        context: cancellation is polled per image.
    """
    tensors = list(dict.fromkeys(pair.tensor for pair in find_pairs(topology)))
    if not tensors:
        return {}
    infer = open_model(serialize(_with_maxima(topology, tensors)))
    total: list[Array] = []
    images = 0
    for feed in feeds:
        context.cancel.check()
        # a network of a fixed batch: one picture throughout
        maxima = [np.asarray(value, np.float64).max(axis=0).ravel() for value in infer(feed)]
        total = [a + b for a, b in zip(total, maxima, strict=True)] if total else maxima
        images += 1
    return {name: value / images for name, value in zip(tensors, total, strict=False)}


def _with_maxima(topology: Topology, tensors: Sequence[str]) -> onnx.ModelProto:
    """Return the graph with the largest magnitude of each channel as its only outputs."""
    model = onnx.ModelProto()
    model.CopyFrom(topology.model)
    graph = model.graph
    taken = {name for node in graph.node for name in node.output}
    prefix = "edgecv_maxima"
    while any(name.startswith(prefix) for name in taken):
        prefix += "_"
    del graph.output[:]
    for index, tensor in enumerate(tensors):
        size, top = f"{prefix}_{index}_size", f"{prefix}_{index}"
        graph.node.append(helper.make_node("Abs", [tensor], [size]))
        graph.node.append(helper.make_node("GlobalMaxPool", [size], [top]))
        graph.output.append(helper.make_tensor_value_info(top, onnx.TensorProto.FLOAT, None))
    return model


def equalisation(topology: Topology, ranges: Ranges) -> tuple[EqualisePlan, ...]:
    """Return the factors of every pair, from the float graph alone; deterministic.

    A depthwise consumer has one weight scale a channel, so all that counts is that each channel
    fills the grid of its input: factor = range. For a dense consumer the channels' weights share
    scales as well: factor = sqrt(range of the channel / largest weight on it), Nagel's choice.
    Pairs are gone through until the factors are steady.

    Args:
        topology: the normalised float graph, not equalised.
        ranges: as :func:`channel_ranges` gives them; where a tensor is missing, the largest
            weight of each of the producer's channels stands in for its range.
    """
    weights: dict[str, Array] = {}
    pairs = find_pairs(topology)
    for name in {name for pair in pairs for name in (pair.producer, pair.consumer)}:
        weights[name] = np.abs(_value(topology, topology.layers[name].weight).astype(np.float64))
    total = {pair: np.ones(len(weights[pair.producer])) for pair in pairs}
    for _ in range(_ROUNDS):
        moved = 0.0
        for pair in pairs:
            before = total[pair]
            seen = ranges.get(pair.tensor)
            known = None if seen is None else seen / before
            factors = _factors(topology, pair, weights, known)
            after = _bounded(before * factors)
            factors = after / before
            total[pair] = after
            weights[pair.producer] = weights[pair.producer] / _column(factors)
            weights[pair.consumer] = _scale_inputs(weights[pair.consumer], factors)
            moved = max(moved, float(np.abs(np.log(factors)).max(initial=0.0)))
        if moved < _STEADY:
            break
    return tuple(
        EqualisePlan(
            producer=pair.producer,
            consumer=pair.consumer,
            factors=tuple(float(f"{factor:.6g}") for factor in total[pair]),
        )
        for pair in pairs
    )


def _factors(
    topology: Topology, pair: Pair, weights: Mapping[str, Array], known: Array | None
) -> Array:
    """Return what else to divide each channel by, up to a common factor; dead channels by 1."""
    made = weights[pair.producer].reshape(len(weights[pair.producer]), -1).max(axis=1)
    spread = made if known is None else known
    read = _largest_on_input(weights[pair.consumer], len(made))
    alive = (spread > 1e-12) & (read > 1e-12)
    if topology.layers[pair.consumer].depthwise:
        factors = np.where(alive, spread, 1.0)
    else:
        factors = np.sqrt(np.where(alive, spread, 1.0) / np.where(alive, read, 1.0))
    if not alive.any():
        return np.ones_like(factors)
    middle = np.exp(np.log(factors[alive]).mean())
    return np.where(alive, factors / middle, 1.0)


def _bounded(factors: Array) -> Array:
    """Keep every factor within a multiple of the middle one, which is made 1."""
    middle = np.exp(np.median(np.log(factors)))
    bounded: Array = np.clip(factors / middle, 1 / _MOST, _MOST)
    return bounded


def _largest_on_input(weight: Array, channels: int) -> Array:
    """Return the largest magnitude of a convolution's weights on each input channel."""
    groups = channels // weight.shape[1]
    grouped = weight.reshape(groups, -1, *weight.shape[1:])
    largest: Array = np.abs(grouped).max(axis=(1, 3, 4)).ravel()
    return largest


def _scale_inputs(weight: Array, factors: Array) -> Array:
    """Multiply a convolution's weights on each input channel; [out, in / groups, kh, kw]."""
    groups = len(factors) // weight.shape[1]
    grouped = weight.reshape(groups, -1, *weight.shape[1:])
    scaled: Array = (grouped * factors.reshape(groups, 1, -1, 1, 1)).reshape(weight.shape)
    return scaled


def _column(factors: Array) -> Array:
    return factors[:, None, None, None]


def equalised(topology: Topology, plans: Sequence[EqualisePlan]) -> Topology:
    """Return the float graph with every pair rescaled, in order; the outputs stay the same.

    Ranges that were observed in the graph as it was do not hold in this one: observe it anew.

    Raises:
        ConfigError: a plan names what is no pair of this graph, or has another number of factors.
    """
    if not plans:
        return topology
    known = {(pair.producer, pair.consumer) for pair in find_pairs(topology)}
    changed: dict[str, Array] = {}

    def value(name: str) -> Array:
        return changed[name] if name in changed else _value(topology, name).astype(np.float64)

    for plan in plans:
        factors = np.asarray(plan.factors, np.float64)
        if (plan.producer, plan.consumer) not in known:
            raise _misfit(f"the plan equalises '{plan.producer}' with '{plan.consumer}', no pair")
        producer, consumer = topology.layers[plan.producer], topology.layers[plan.consumer]
        weight = value(producer.weight)
        if len(factors) != len(weight) or not (factors > 0).all():
            raise _misfit(f"the plan equalises {len(factors)} channels of '{plan.producer}'")
        changed[producer.weight] = weight / _column(factors)
        if producer.bias is not None:
            changed[producer.bias] = value(producer.bias) / factors
        changed[consumer.weight] = _scale_inputs(value(consumer.weight), factors)
    model = onnx.ModelProto()
    model.CopyFrom(topology.model)
    for tensor in model.graph.initializer:
        if tensor.name in changed:
            array = changed[tensor.name].astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return Topology(model, topology.shapes)


def _value(topology: Topology, name: str) -> NDArray[Any]:
    value = topology.constants.value(name)
    assert value is not None
    return value


def _misfit(problem: str) -> ConfigError:
    return ConfigError(
        f"{problem} of this model", remedy="quantize anew with this version of edgecv"
    )
