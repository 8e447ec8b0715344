"""Observers: ONNX nodes that turn each observed activation into a few numbers.

For images they are pooling operators and 1x1 depthwise convolutions, which engines run in their
own blocked layout; reductions and slices would first have every tensor copied back from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgecv_cli.compress.quantization.following import HARD_SWISH_DIP, channels_of, is_hard_swish
from edgecv_cli.compress.quantization.placement import clamp_range
from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.topology import Topology

SAMPLE = 1024
# Larger tensors are thinned in the engine's layout before they are copied out of it.
_THINNED = 64 * 1024
# Engines block channels by 8 or 16.
_BLOCK = 16
_REDUCE_AXES_AS_INPUT = 18
_FOLLOWING = frozenset({"Relu", "Clip", "LeakyRelu"})


@dataclass(frozen=True)
class Watched:
    """An observed tensor among the outputs of the observed graph.

    Attributes:
        channels: its part of the bounds; one number where it has no channels.
        floor: what it is never below where its producer ensures that: its smallest values are
            not observed then.
        samples: its part of the samples.
        owners: channel of each of its samples, ascending, int64.
        elements: how many it has in one image.
    """

    name: str
    channels: slice
    floor: float | None
    samples: slice
    owners: NDArray[np.int64]
    elements: int


@dataclass(frozen=True)
class Observed:
    """The graph with observers, and what its outputs are.

    Attributes:
        model: outputs float32 vectors, in this order: the greatest value of each channel of the
            watched tensors; the smallest, negated, of those without a floor; the samples;
            the channel means.
        watched: the observed tensors, in the order of the outputs.
        means: tensor -> its part of the channel means.
    """

    model: onnx.ModelProto
    watched: tuple[Watched, ...]
    means: dict[str, slice]


def with_observers(topology: Topology, names: Iterable[str], means: Iterable[str]) -> Observed:
    """Append observers to a normalised graph; its own outputs go.

    Args:
        topology: the graph; it is not changed.
        names: tensors whose bounds and samples are wanted; at least one.
        means: 4-D tensors whose channel means are wanted.

    Raises:
        ModelError: a tensor's size is open.
    """
    model = onnx.ModelProto()
    model.CopyFrom(topology.model)
    del model.graph.output[:]
    builder = _Builder(model)
    tensors = sorted((_tensor(topology, name) for name in names), key=lambda one: one.layout)
    watched, samples = [], []
    channel = sample = 0
    for one in tensors:
        taken, owners = builder.sample(one)
        samples.append(taken)
        channels = slice(channel, channel + one.width)
        part = slice(sample, sample + len(owners))
        elements = math.prod(one.shape)
        watched.append(Watched(one.name, channels, one.floor, part, owners, elements))
        channel, sample = channels.stop, part.stop
    averaged = sorted((_tensor(topology, name) for name in means), key=lambda one: one.layout)
    builder.output("highs", builder.highs(tensors))
    builder.output("lows", builder.lows([one for one in tensors if one.floor is None]))
    builder.output("samples", samples)
    builder.output("means", builder.means(averaged))
    parts = {}
    position = 0
    for one in averaged:
        size = math.prod(one.shape[:2])
        parts[one.name] = slice(position, position + size)
        position += size
    return Observed(model, tuple(watched), parts)


@dataclass(frozen=True)
class _Tensor:
    """A tensor to observe.

    Attributes:
        layout: 0 where engines block its channels, 1 for other images, 2 for anything else.
    """

    name: str
    shape: tuple[int, ...]
    layout: int
    floor: float | None

    @property
    def width(self) -> int:
        """Numbers that its bounds are."""
        return self.shape[1] if self.layout < 2 else 1


def _tensor(topology: Topology, name: str) -> _Tensor:
    shape = topology.shapes.get(name)
    if shape is None or None in shape:
        raise ModelError(f"the size of tensor '{name}' is open", remedy="give --input-size HxW")
    layout = 2
    if channels_of(topology, name) is not None:
        layout = 0 if _is_blocked(topology, name) else 1
    sizes = tuple(size for size in shape if size is not None)
    return _Tensor(name, sizes, layout, _floor(topology, name))


def _is_blocked(topology: Topology, tensor: str) -> bool:
    """Return whether an engine has a tensor in blocks of channels: after most convolutions."""
    channels = channels_of(topology, tensor)
    name = topology.producer.get(tensor)
    if name is None or channels is None or channels % _BLOCK:
        return False
    node = topology.nodes[name]
    layer = topology.layers.get(name)
    if layer is None:
        operands = topology.activations(name)
        follows = node.op_type in _FOLLOWING or is_hard_swish(topology, name)
        return follows and _is_blocked(topology, operands[0])
    groups = next((a.i for a in node.attribute if a.name == "group"), 1)
    width = channels_of(topology, layer.data) or 0
    fits = width % _BLOCK == 0 or width < _BLOCK // 4
    return layer.op == "Conv" and (layer.depthwise or groups == 1) and fits


def _floor(topology: Topology, tensor: str) -> float | None:
    name = topology.producer.get(tensor)
    if name is None:
        return None
    if topology.nodes[name].op_type in ("Relu", "Clip"):
        return None if clamp_range(topology, name) is None else 0.0
    return HARD_SWISH_DIP if is_hard_swish(topology, name) else None


class _Builder:
    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = graph = model.graph
        opsets = {one.domain: one.version for one in model.opset_import}
        self._axes_are_inputs = opsets.get("", 1) >= _REDUCE_AXES_AS_INPUT
        self._count = 0
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        taken = {output for node in graph.node for output in node.output}
        taken |= {value.name for value in [*graph.input, *graph.initializer]}
        self._prefix = "edgecv_observer"
        while any(name.startswith(self._prefix) for name in taken):
            self._prefix += "_"

    def _name(self) -> str:
        self._count += 1
        return f"{self._prefix}_{self._count}"

    def _constant(self, value: NDArray[Any]) -> str:
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._constants:
            self._constants[key] = self._name()
            self._graph.initializer.append(numpy_helper.from_array(value, self._constants[key]))
        return self._constants[key]

    def _integers(self, *values: int) -> str:
        return self._constant(np.asarray(values, np.int64))

    def _add(self, op: str, inputs: list[str], **attributes: Any) -> str:
        name = self._name()
        self._graph.node.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def _flat(self, tensor: str) -> str:
        return self._add("Reshape", [tensor, self._integers(-1)])

    def highs(self, tensors: Sequence[_Tensor]) -> list[str]:
        return self._vectors(tensors, self._high)

    def lows(self, tensors: Sequence[_Tensor]) -> list[str]:
        return self._vectors(tensors, self._negated_low)

    def means(self, tensors: Sequence[_Tensor]) -> list[str]:
        return self._vectors(tensors, lambda one: self._add("GlobalAveragePool", [one.name]))

    def _vectors(self, tensors: Sequence[_Tensor], reduce: Callable[[_Tensor], str]) -> list[str]:
        """Reduce tensors, and join what comes of one layout before it is flattened."""
        joined: list[str] = []
        for layout in (0, 1):
            parts = [reduce(one) for one in tensors if one.layout == layout]
            if parts:
                joined.append(self._flat(self._add("Concat", parts, axis=1)))
        return joined + [self._flat(reduce(one)) for one in tensors if one.layout == 2]

    def _high(self, one: _Tensor) -> str:
        if one.layout < 2:
            return self._add("GlobalMaxPool", [one.name])
        return self._add("ReduceMax", [one.name], keepdims=0)

    def _negated_low(self, one: _Tensor) -> str:
        if one.layout == 2:
            return self._add("Neg", [self._add("ReduceMin", [one.name], keepdims=0)])
        if one.layout == 1:
            return self._add("Neg", [self._least_of_channels(one.name)])
        weight = self._constant(np.full((one.width, 1, 1, 1), -1, np.float32))
        negated = self._add("Conv", [one.name, weight], group=one.width, kernel_shape=[1, 1])
        return self._add("GlobalMaxPool", [negated])

    def _least_of_channels(self, tensor: str) -> str:
        if self._axes_are_inputs:
            return self._add("ReduceMin", [tensor, self._integers(2, 3)], keepdims=1)
        return self._add("ReduceMin", [tensor], axes=[2, 3], keepdims=1)

    def sample(self, one: _Tensor) -> tuple[str, NDArray[np.int64]]:
        """Take at most ``SAMPLE`` elements, evenly; return them and the channel of each."""
        tensor, shape = self._thin(one) if one.layout == 0 else (one.name, one.shape)
        count = math.prod(shape)
        step = max(1, -(-count // SAMPLE))
        # A step that shares a factor with the width would see some columns only.
        while step > 1 and math.gcd(step, shape[-1]) > 1:
            step += 1
        taken = np.arange(0, count, step, dtype=np.int64)
        flat = self._flat(tensor)
        if step > 1:
            bounds = [self._integers(value) for value in (0, np.iinfo(np.int64).max, 0, step)]
            flat = self._add("Slice", [flat, *bounds])
        return flat, taken // math.prod(shape[2:]) if one.layout < 2 else np.zeros_like(taken)

    def _thin(self, one: _Tensor) -> tuple[str, tuple[int, ...]]:
        step = 1
        thin = one.shape
        while math.prod(thin) > _THINNED and max(thin[2:]) > 1:
            step += 1
            thin = (*one.shape[:2], *(-(-size // step) for size in one.shape[2:]))
        if step == 1:
            return one.name, one.shape
        strides = [step, step]
        return self._add("MaxPool", [one.name], kernel_shape=[1, 1], strides=strides), thin

    def output(self, label: str, vectors: list[str]) -> None:
        """Join vectors to an output; without any it is one zero."""
        name = f"{self._prefix}_{label}"
        vectors = vectors or [self._constant(np.zeros(1, np.float32))]
        self._graph.node.append(helper.make_node("Concat", vectors, [name], axis=0))
        self._graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
