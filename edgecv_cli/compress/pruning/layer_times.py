"""How long each layer takes at several widths, measured: what a budget of time is shared out by.

Time does not follow multiply-accumulates: engines compute channels in blocks, and layers of large
maps wait for memory. So every convolution is run alone, with the activation that follows it, at
three widths of what it reads and three of what it makes, all in turns; between them it is
interpolated. The sum of layers is no forecast of the whole network, where layers find each other's
outputs in the cache: it says where time is saved, and the whole is measured (``prune_speed``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.pruning.flow import Flow
from edgecv_cli.core.context import Context
from edgecv_cli.graph.io import serialize
from edgecv_cli.graph.topology import Layer, Topology
from edgecv_cli.runtime.base import Request
from edgecv_cli.runtime.opening import open_runner

Array = NDArray[np.float64]
_WIDTHS = 3
_ROUNDS = 7
_BLOCK_NS = 2e6
# what an activation is made of; each of them takes one tensor to another of its shape
_ACTIVATIONS = frozenset(
    {
        "Relu",
        "LeakyRelu",
        "Clip",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Tanh",
        "Mul",
        "Add",
        "Div",
    }
)


@dataclass(frozen=True)
class LayerTimes:
    """Times of layers by what stays of their channels; it prices a budget of time.

    Attributes:
        parts: float64 [widths], ascending, the last 1: parts of the channels.
        table: float64 [layers, widths made, widths read], milliseconds, in the graph's order; 0
            where a layer was not timed.
    """

    parts: Array
    table: Array

    def __call__(self, left: Array) -> Array:
        """Return the milliseconds of each layer, float64 [layers], for parts [2, layers]."""
        rows = np.arange(len(self.table))
        (low_out, share_out), (low_in, share_in) = (self._place(one) for one in left)
        total: Array = np.zeros(len(rows))
        for up, weight_out in ((0, 1 - share_out), (1, share_out)):
            for across, weight_in in ((0, 1 - share_in), (1, share_in)):
                found = self.table[rows, low_out + up, low_in + across]
                total += weight_out * weight_in * found
        return total

    def _place(self, parts: Array) -> tuple[NDArray[np.int64], Array]:
        """Return below which widths parts lie, and how far to the next."""
        inside = np.clip(parts, self.parts[0], 1.0)
        low = np.clip(np.searchsorted(self.parts, inside, "right") - 1, 0, len(self.parts) - 2)
        return low, (inside - self.parts[low]) / (self.parts[low + 1] - self.parts[low])


def layer_times(
    flow: Flow, *, cap: float, step: int, threads: int | None, folder: Path, context: Context
) -> LayerTimes:
    """Time the convolutions of a graph at all of their channels, without ``cap`` and half of it.

    Args:
        flow: the graph's channels.
        cap: largest part of a group that may leave.
        step: widths are multiples of it where a layer is that wide.
        threads: of the engine.
        folder: for files in passing.
        context: progress, cancellation and the seed.
    """
    parts = np.linspace(1 - cap, 1, _WIDTHS)
    layers = flow.topology.layers
    table = np.zeros((len(layers), _WIDTHS, _WIDTHS))
    bench = _Bench(flow.topology, parts, step, threads=threads, folder=folder, context=context)
    with context.progress.task("time layers", len(layers), "layer") as task:
        for place, layer in enumerate(layers.values()):
            context.cancel.check()
            if _is_timed(flow.topology, layer):
                table[place] = bench.times(layer)
            task.advance()
    return LayerTimes(parts, table)


def _is_timed(topology: Topology, layer: Layer) -> bool:
    plain = topology.shapes[layer.weight][1] == (topology.shapes.get(layer.data) or (0, 0))[1]
    shapes = (topology.shapes.get(layer.data), topology.shapes[layer.weight])
    known = all(shape is not None and len(shape) == 4 and None not in shape for shape in shapes)
    return layer.op == "Conv" and known and (layer.depthwise or plain)


class _Bench:
    """Runs one layer at a time, at all widths in turns."""

    def __init__(
        self,
        topology: Topology,
        parts: Array,
        step: int,
        *,
        threads: int | None,
        folder: Path,
        context: Context,
    ) -> None:
        self._topology, self._parts, self._step = topology, parts, step
        self._threads, self._folder, self._context = threads, folder, context
        self._rng = np.random.default_rng(context.seed)

    def times(self, layer: Layer) -> Array:
        """Return milliseconds, float64 [widths made, widths read]."""
        shapes = self._topology.shapes
        wide, deep = (
            self._widths(one or 1) for one in (shapes[layer.weight][0], shapes[layer.data][1])
        )
        pairs = [(out, data) for out in wide for data in deep]
        if layer.depthwise:
            pairs = list(zip(wide, deep, strict=True))
        with ExitStack() as stack:
            requests = [self._request(layer, out, data, stack) for out, data in pairs]
            found = self._turns(requests)
        if layer.depthwise:
            return np.repeat(found[:, None], _WIDTHS, axis=1)
        return found.reshape(_WIDTHS, _WIDTHS)

    def _widths(self, channels: int) -> list[int]:
        rounded = [round(float(part) * channels / self._step) * self._step for part in self._parts]
        least = min(self._step, channels)
        return [*(min(max(one, least), channels) for one in rounded[:-1]), channels]

    def _request(self, layer: Layer, out: int, data: int, stack: ExitStack) -> Request:
        path = self._folder / "layer.onnx"
        path.write_bytes(serialize(layer_model(self._topology, layer, out, data, self._rng)))
        runner = open_runner(Artifact.open(path), "onnxruntime", self._threads)
        stack.callback(runner.close)
        request = runner.requests(1)[0]
        for value in request.inputs.values():
            value[...] = self._rng.normal(0, 1, value.shape)
        return request

    def _turns(self, requests: Sequence[Request]) -> Array:
        """Return the median time of each over rounds, in milliseconds."""
        for request in requests:
            request.run()
        count = max(1, int(_BLOCK_NS // max(1.0, self._block(requests[-1], 1))))
        rounds = []
        for _ in range(_ROUNDS):
            taken = np.zeros(len(requests))
            for place in self._rng.permutation(len(requests)):
                taken[place] = self._block(requests[place], count)
            rounds.append(taken)
        every = np.asarray(rounds)
        # Ratios within a round meet the same machine; the last is the whole layer.
        ratios = np.median(every / every[:, -1:], axis=0)
        found: Array = ratios * np.median(every[:, -1]) / 1e6
        return found

    def _block(self, request: Request, count: int) -> float:
        """Return the nanoseconds of one run, by the mean of ``count``."""
        began = time.perf_counter_ns()
        for _ in range(count):
            request.run()
        return (time.perf_counter_ns() - began) / count


def layer_model(
    topology: Topology, layer: Layer, makes: int, reads: int, rng: np.random.Generator
) -> onnx.ModelProto:
    """Return a convolution of so many channels alone, with its activation and random weights.

    A depthwise layer keeps its multiplier, and reads ``reads``.
    """
    node = onnx.NodeProto()
    node.CopyFrom(topology.nodes[layer.name])
    weight, data = (topology.shapes[one] for one in (layer.weight, layer.data))
    inner, kernel = reads, [size or 1 for size in weight[2:]]
    if layer.depthwise:
        inner, makes = 1, reads * ((weight[0] or 1) // (data[1] or 1))
        next(a for a in node.attribute if a.name == "group").i = reads
    scale = 1 / np.sqrt(inner * np.prod(kernel))
    weights = rng.normal(0, scale, (makes, inner, *kernel)).astype(np.float32)
    stored = [numpy_helper.from_array(weights, layer.weight)]
    if layer.bias:
        stored.append(numpy_helper.from_array(np.zeros(makes, np.float32), layer.bias))
    nodes = [node, *_activation(topology, layer.name)]
    read = {name for one in nodes[1:] for name in one.input}
    stored += [one for one in topology.model.graph.initializer if one.name in read]
    shape = [1, reads, *data[2:]]
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info(layer.data, onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], onnx.TensorProto.FLOAT, None)],
        stored,
    )
    model = helper.make_model(graph, ir_version=topology.model.ir_version)
    del model.opset_import[:]
    model.opset_import.extend(topology.model.opset_import)
    return model


def _activation(topology: Topology, name: str) -> list[onnx.NodeProto]:
    """Return the nodes that take a layer's output, and numbers, to its activation."""
    made, found = {name}, []
    pending = list(topology.consumers.get(name, []))
    while pending:
        node = topology.nodes[pending.pop(0)]
        if node.op_type not in _ACTIVATIONS or node.output[0] in made:
            continue
        others = [one for one in node.input if one and one not in made]
        if all(topology.constants.is_constant(one) and _is_number(topology, one) for one in others):
            made.add(node.output[0])
            found.append(node)
            pending += topology.consumers.get(node.output[0], [])
    return found


def _is_number(topology: Topology, name: str) -> bool:
    value = topology.constants.value(name)
    return value is not None and value.size == 1
