"""Streaming ranges: one pass, observers inside the graph, memory independent of the images.

What leaves the engine for each image is a few numbers a tensor: the least and greatest element of
each channel, a strided sample of the elements, and channel means of the layers' inputs. No
activation is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.compress.quantization.following import Origin, Piece, trace
from edgecv_cli.compress.quantization.observers import Observed, with_observers
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

SIGNATURES = 1024
SIGNATURE_WIDTH = 512
# Images whose bounds, and whose samples, are worked up together: fewer, larger steps in numpy. The
# samples of one take megabytes.
_BOUNDS_BATCH = 128
_SAMPLES_BATCH = 32
# What the least of a sample may be above the least of all.
_MARGIN = 1.25
Feed = Mapping[str, NDArray[Any]]
Array = NDArray[np.float32]
Floats = NDArray[np.float64]


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
            span = max(high - low, 1e-6, 1e-6 * abs(low))
            self._low, self._width = low, span * (1 + 1e-6) / len(self._counts)
        while high >= self._low + self._width * len(self._counts):
            self._merge(0)
        while low < self._low:
            self._low -= self._width * len(self._counts)
            self._merge(len(self._counts) // 2)
        index = ((values.astype(np.float64) - self._low) / self._width).astype(np.intp)
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
        tensors: activation tensors whose statistics are wanted.
        open_model: loads serialized ONNX and returns a function from feed to outputs.
        context: cancellation is polled per image.

    Raises:
        DataError: there was no image.
        ModelError: an activation is not a finite number, or its size is open.
    """
    origins = trace(topology, tensors)
    roots = dict.fromkeys(piece.source for origin in origins.values() for piece in origin.pieces)
    inputs = dict.fromkeys(layer.data for layer in topology.layers.values())
    averaged = [
        name for name in inputs if name in origins and len(topology.shapes.get(name, ())) == 4
    ]
    observed = with_observers(topology, roots, averaged)
    infer = open_model(serialize(observed.model))
    state = _Running(observed, origins)
    for feed in feeds:
        context.cancel.check()
        state.add(*infer(feed))
    if state.images == 0:
        raise DataError("there is no calibration image", remedy="put images into --calibration")
    return state.result(topology)


class _Running:
    """What is kept between images: sums, extremes and counts."""

    def __init__(self, observed: Observed, origins: dict[str, Origin]) -> None:
        self._watched = {one.name: one for one in observed.watched}
        self._open = np.zeros(observed.watched[-1].channels.stop, np.bool_)
        for one in observed.watched:
            self._open[one.channels] = one.floor is None
        self._mean_parts = observed.means
        self._origins = origins
        pieces = [piece for origin in origins.values() for piece in origin.pieces]
        self._counters = {(p.source, p.start, p.stop): Counter() for p in pieces}
        self._sums = np.zeros((2, len(origins)))
        self._bounds = np.stack([np.full(len(origins), np.inf), np.full(len(origins), -np.inf)])
        self._channels: dict[str, Floats] = {}
        self._means: Floats = np.zeros(0)
        self._signatures: list[Array] = []
        self._waiting_bounds: list[tuple[Array, Array]] = []
        self._waiting_samples: list[Array] = []
        self.images = 0

    def add(self, highs: Array, negated: Array, samples: Array, means: Array) -> None:
        lows = self._lows(negated, samples)
        self._require_finite(highs, lows, samples)
        self._waiting_bounds.append((lows, highs))
        self._waiting_samples.append(samples)
        if self._mean_parts:
            self._means = means + (self._means if self.images else np.zeros(len(means)))
            if len(self._signatures) < SIGNATURES:
                step = -(-len(means) // SIGNATURE_WIDTH)
                self._signatures.append(means[::step].astype(np.float32))
        self.images += 1
        if len(self._waiting_samples) == _SAMPLES_BATCH:
            self._count()
        if len(self._waiting_bounds) == _BOUNDS_BATCH:
            self._add_bounds()

    def _lows(self, negated: Array, samples: Array) -> Array:
        """Return the least value of each channel; above a floor the samples tell, with a margin."""
        lows = np.zeros(self._open.shape, np.float32)
        if self._open.any():
            lows[self._open] = -negated
        for one in self._watched.values():
            if one.floor:
                lows[one.channels] = max(one.floor, _MARGIN * float(samples[one.samples].min()))
        return lows

    def _require_finite(self, highs: Array, lows: Array, samples: Array) -> None:
        if all(np.isfinite(part).all() for part in (highs, lows, samples)):
            return
        for name, one in self._watched.items():
            parts = (highs[one.channels], lows[one.channels], samples[one.samples])
            if not all(np.isfinite(part).all() for part in parts):
                raise ModelError(
                    f"activation '{name}' is not a finite number on a calibration image",
                    remedy="check the model in float first: `edgecv evaluate`",
                )

    def _add_bounds(self) -> None:
        lows, highs = (np.stack(parts) for parts in zip(*self._waiting_bounds, strict=True))
        self._waiting_bounds.clear()
        for index, (name, origin) in enumerate(self._origins.items()):
            pairs = [self._piece_bounds(piece, lows, highs) for piece in origin.pieces]
            low, high = (np.concatenate(parts, axis=1) for parts in zip(*pairs, strict=True))
            if origin.channels:
                sums = np.stack([low.sum(axis=0), high.sum(axis=0)])
                self._channels[name] = self._channels.get(name, 0) + sums
            least, most = low.min(axis=1), high.max(axis=1)
            self._sums[:, index] += least.sum(), most.sum()
            self._bounds[0, index] = min(self._bounds[0, index], least.min())
            self._bounds[1, index] = max(self._bounds[1, index], most.max())

    def _count(self) -> None:
        samples = np.stack(self._waiting_samples)
        self._waiting_samples.clear()
        for (source, start, stop), counter in self._counters.items():
            one = self._watched[source]
            first, last = np.searchsorted(one.owners, (start, stop))
            if first < last:
                counter.add(samples[:, one.samples][:, first:last].ravel())

    def _piece_bounds(self, piece: Piece, lows: Array, highs: Array) -> tuple[Floats, Floats]:
        """Return least and greatest elements, float64 [images, channels]."""
        base = self._watched[piece.source].channels.start
        part = slice(base + piece.start, base + piece.stop)
        return piece.bounds(lows[:, part].astype(np.float64), highs[:, part].astype(np.float64))

    def result(self, topology: Topology) -> Observations:
        if self._waiting_bounds:
            self._add_bounds()
        if self._waiting_samples:
            self._count()
        mean = self._sums / self.images
        stats = {}
        for index, (name, origin) in enumerate(self._origins.items()):
            stats[name] = TensorStats(
                mean_low=float(mean[0, index]),
                mean_high=float(mean[1, index]),
                low=float(self._bounds[0, index]),
                high=float(self._bounds[1, index]),
                histogram=self._histogram(origin),
            )
        ranges = {name: sums / self.images for name, sums in self._channels.items()}
        return Observations(
            images=self.images,
            tensors=stats,
            channel_means=self._channel_means(topology),
            channel_lows={name: pair[0] for name, pair in ranges.items()},
            channel_highs={name: pair[1] for name, pair in ranges.items()},
            signatures=np.stack(self._signatures)
            if self._signatures
            else np.zeros((0, 0), np.float32),
        )

    def _channel_means(self, topology: Topology) -> dict[str, Floats]:
        found = {}
        for name, part in self._mean_parts.items():
            batch = topology.shapes[name][0] or 1
            found[name] = self._means[part].reshape(batch, -1).mean(axis=0) / self.images
        return found

    def _histogram(self, origin: Origin) -> Histogram:
        """Return the histogram of a tensor from those of its pieces."""
        parts = []
        for piece in origin.pieces:
            seen = self._counters[piece.source, piece.start, piece.stop].histogram()
            if not piece.maps and len(origin.pieces) == 1:
                return seen
            one = self._watched[piece.source]
            share = (piece.stop - piece.start) / (one.channels.stop - one.channels.start)
            total = int(seen.counts.sum())
            if total:
                parts.append(
                    (piece.values(seen.centres), seen.counts, one.elements * share / total)
                )
        return _merged(parts)


def _merged(parts: Sequence[tuple[Floats, NDArray[np.int64], float]]) -> Histogram:
    """Return one histogram of (values, counts, elements that a count stands for)."""
    least = min(weight for _, _, weight in parts)
    chosen = [np.isfinite(values) & (counts > 0) for values, counts, _ in parts]
    values = np.concatenate([part[0][taken] for part, taken in zip(parts, chosen, strict=True)])
    counts = np.concatenate(
        [
            np.rint(part[1][taken] * (part[2] / least))
            for part, taken in zip(parts, chosen, strict=True)
        ]
    )
    low = float(values.min())
    width = max(float(values.max()) - low, 1e-6, 1e-6 * abs(low)) * (1 + 1e-6) / BINS
    index = np.clip(((values - low) / width).astype(np.int64), 0, BINS - 1)
    return Histogram(
        np.bincount(index, weights=counts, minlength=BINS).astype(np.int64), low, width
    )
