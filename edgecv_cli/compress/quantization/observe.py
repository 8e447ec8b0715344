"""Streaming ranges: one pass, observers inside the graph, memory independent of the images.

The observers are ONNX nodes, so that what leaves the engine for each image is a few numbers a
tensor: its minimum and maximum, a strided sample of its elements, and per-channel means of the
layers' inputs. No activation is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgecv_cli.compress.quantization.statistics import (
    BINS,
    Histogram,
    Observations,
    TensorStats,
)
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError, ModelError
from edgecv_cli.graph.io import serialize
from edgecv_cli.graph.topology import Topology

__all__ = ["Feed", "Observations", "TensorStats", "observe"]

SAMPLE = 2048
Feed = Mapping[str, NDArray[Any]]
Array = NDArray[np.float32]


class Counter:
    """Counts on a range that doubles when a value falls outside; old counts are merged in pairs."""

    def __init__(self, bins: int = BINS) -> None:
        self._counts = np.zeros(bins, np.int64)
        self._low = 0.0
        self._width = 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        """Count finite values."""
        low, high = float(values.min()), float(values.max())
        if self._width == 0.0:
            span = max(high - low, 1e-6)
            self._low, self._width = low, span * (1 + 1e-6) / len(self._counts)
        while high >= self._low + self._width * len(self._counts):
            self._merge(0)
        while low < self._low:
            self._low -= self._width * len(self._counts)
            self._merge(len(self._counts) // 2)
        index = ((values - self._low) / self._width).astype(np.int64)
        np.clip(index, 0, len(self._counts) - 1, out=index)
        self._counts += np.bincount(index, minlength=len(self._counts))

    def _merge(self, offset: int) -> None:
        half = len(self._counts) // 2
        pairs = self._counts.reshape(half, 2).sum(axis=1)
        self._counts = np.zeros_like(self._counts)
        self._counts[offset : offset + half] = pairs
        self._width *= 2

    def histogram(self) -> Histogram:
        """Return what was counted."""
        return Histogram(self._counts, self._low, self._width)


def observe(
    topology: Topology,
    feeds: Iterable[Feed],
    *,
    tensors: Sequence[str],
    open_model: Callable[[bytes], Callable[[Feed], list[Array]]],
    context: Context,
) -> Observations:
    """Run every image once through the graph with observers in it.

    Args:
        topology: the normalised graph.
        feeds: what every input is fed, by name, one image at a time.
        tensors: activation tensors to observe.
        open_model: loads serialized ONNX and returns a function from feed to outputs.
        context: cancellation is polled per image.

    Raises:
        DataError: there was no image.
        ModelError: an activation is not a finite number.
    """
    names = list(tensors)
    inputs = dict.fromkeys(layer.data for layer in topology.layers.values())
    channels = [
        name for name in inputs if name in names and len(topology.shapes.get(name, ())) == 4
    ]
    model, slices = _with_observers(topology, names, channels)
    infer = open_model(serialize(model))
    state = _Running(names, slices)
    for feed in feeds:
        context.cancel.check()
        low, high, samples, means = infer(feed)
        state.add(low, high, samples, means)
    if state.images == 0:
        raise DataError("there is no calibration image", remedy="put images into --calibration")
    return state.result(channels, topology)


class _Running:
    def __init__(self, names: list[str], slices: list[slice]) -> None:
        self._names = names
        self._slices = slices
        self._histograms = [Counter() for _ in names]
        self._sums = np.zeros((2, len(names)))
        self._bounds = np.stack([np.full(len(names), np.inf), np.full(len(names), -np.inf)])
        self._means: NDArray[np.float64] | None = None
        self.images = 0

    def add(self, low: Array, high: Array, samples: Array, means: Array) -> None:
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            bad = self._names[int(np.argmin(np.isfinite(low) & np.isfinite(high)))]
            raise ModelError(
                f"activation '{bad}' is not a finite number on a calibration image",
                remedy="check the model in float first: `edgecv evaluate`",
            )
        self._sums += np.stack([low, high])
        self._bounds[0] = np.minimum(self._bounds[0], low)
        self._bounds[1] = np.maximum(self._bounds[1], high)
        for histogram, part in zip(self._histograms, self._slices, strict=True):
            histogram.add(samples[part])
        self._means = means.astype(np.float64) + (0 if self._means is None else self._means)
        self.images += 1

    def result(self, channels: list[str], topology: Topology) -> Observations:
        mean = self._sums / self.images
        stats = {
            name: TensorStats(
                mean_low=float(mean[0, index]),
                mean_high=float(mean[1, index]),
                low=float(self._bounds[0, index]),
                high=float(self._bounds[1, index]),
                histogram=self._histograms[index].histogram(),
            )
            for index, name in enumerate(self._names)
        }
        assert self._means is not None
        parts: dict[str, NDArray[np.float64]] = {}
        start = 0
        for name in channels:
            batch, width = (int(size or 0) for size in topology.shapes[name][:2])
            means = self._means[start : start + batch * width].reshape(batch, width)
            parts[name] = means.mean(axis=0) / self.images
            start += batch * width
        return Observations(self.images, stats, parts)


def _with_observers(
    topology: Topology, names: list[str], channels: list[str]
) -> tuple[onnx.ModelProto, list[slice]]:
    """Append observers; the outputs become lows, highs, samples and channel means."""
    model = onnx.ModelProto()
    model.CopyFrom(topology.model)
    graph = model.graph
    builder = _Builder(graph)
    lows, highs, samples, slices = [], [], [], []
    position = 0
    for name in names:
        lows.append(builder.reduce("ReduceMin", name))
        highs.append(builder.reduce("ReduceMax", name))
        elements = topology.elements(name)
        if elements is None:
            raise ModelError(f"the size of tensor '{name}' is open", remedy="give --input-size HxW")
        step = max(1, elements // SAMPLE)
        count = -(-elements // step)
        samples.append(builder.sample(name, step))
        slices.append(slice(position, position + count))
        position += count
    means = [builder.channel_mean(name) for name in channels] or [lows[0]]
    del graph.output[:]
    for label, parts in (("lows", lows), ("highs", highs), ("samples", samples), ("means", means)):
        builder.join(f"edgecv_{label}", parts)
    return model, slices


class _Builder:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._count = 0
        self._flat = self._constant(np.asarray([-1], np.int64))
        self._zero = self._constant(np.asarray([0], np.int64))
        self._end = self._constant(np.asarray([np.iinfo(np.int64).max], np.int64))

    def _name(self) -> str:
        self._count += 1
        return f"edgecv_observer_{self._count}"

    def _constant(self, value: NDArray[np.int64]) -> str:
        name = self._name()
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def _add(self, op: str, inputs: list[str], **attributes: Any) -> str:
        name = self._name()
        self._graph.node.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def reduce(self, op: str, tensor: str) -> str:
        return self._add("Reshape", [self._add(op, [tensor], keepdims=0), self._flat])

    def sample(self, tensor: str, step: int) -> str:
        flat = self._add("Reshape", [tensor, self._flat])
        if step == 1:
            return flat
        return self._add(
            "Slice",
            [flat, self._zero, self._end, self._zero, self._constant(np.asarray([step]))],
        )

    def channel_mean(self, tensor: str) -> str:
        pooled = self._add("GlobalAveragePool", [tensor])
        return self._add("Reshape", [pooled, self._flat])

    def join(self, name: str, parts: list[str]) -> None:
        self._graph.node.append(helper.make_node("Concat", parts, [name], axis=0))
        self._graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
