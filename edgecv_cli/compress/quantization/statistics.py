"""What was observed of a float model's activations: plain data, to bytes and back."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 2048
_VERSION = 1
# A network of 2,000 tensors fills a tenth of this.
_MAX_BYTES = 512 * 1024**2
_ARRAYS: dict[str, tuple[Any, int]] = {
    "meta": (np.uint8, 1),
    "bounds": (np.float64, 2),
    "counts": (np.int64, 2),
    "bins": (np.float64, 2),
    "means": (np.float64, 1),
    "ranges": (np.float64, 2),
    "signatures": (np.float32, 2),
}
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    EOFError,
    OSError,
)
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of a sample of a tensor's elements, as data.

    Attributes:
        counts: int64 [bins]; bin i holds the values of ``low + width * [i, i + 1)``.
        low, width: where the bins are.
    """

    counts: NDArray[np.int64]
    low: float
    width: float

    @property
    def centres(self) -> Floats:
        """The middle of each bin, float64 [bins]."""
        middles: Floats = np.arange(len(self.counts), dtype=np.float64) + 0.5
        return self.low + middles * self.width

    def quantile(self, fraction: float) -> float:
        """Return the value below which ``fraction`` of what was counted lies."""
        cumulative = np.cumsum(self.counts)
        target = fraction * cumulative[-1]
        index = min(int(np.searchsorted(cumulative, target, side="left")), len(self.counts) - 1)
        before = cumulative[index - 1] if index else 0
        inside = (target - before) / max(int(self.counts[index]), 1)
        return self.low + (index + float(np.clip(inside, 0, 1))) * self.width


@dataclass(frozen=True, eq=False)
class TensorStats:
    """What was seen of one activation tensor over all images.

    Attributes:
        mean_low, mean_high: mean over images of the smallest and largest element.
        low, high: smallest and largest element of all.
        histogram: of a strided sample of the elements of all images.
    """

    mean_low: float
    mean_high: float
    low: float
    high: float
    histogram: Histogram

    def quantile(self, fraction: float) -> float:
        """Return the value below which ``fraction`` of the sampled elements lies."""
        return self.histogram.quantile(fraction)


@dataclass(frozen=True, eq=False)
class Observations:
    """Statistics of the activations over the calibration images.

    Attributes:
        images: how many were run.
        tensors: by tensor name.
        channel_means: 4-D layer inputs -> mean of each channel, float64 [C].
        channel_lows, channel_highs: 4-D tensors whose channels are known -> mean over images of
            each channel's smallest and largest element, float64 [C].
        signatures: of the first images, one row each: means of some channels of the layers'
            inputs, the same ones in each row; float32 [images kept, channels kept].
    """

    images: int
    tensors: dict[str, TensorStats]
    channel_means: dict[str, Floats]
    channel_lows: dict[str, Floats] = field(default_factory=dict)
    channel_highs: dict[str, Floats] = field(default_factory=dict)
    signatures: NDArray[np.float32] = field(
        default_factory=lambda: np.zeros((0, 0), dtype=np.float32)
    )

    def dumps(self) -> bytes:
        """Return the observations as a compressed npz; nothing in it is pickled."""
        meta = {
            "version": _VERSION,
            "images": self.images,
            "tensors": list(self.tensors),
            "means": {name: len(part) for name, part in self.channel_means.items()},
            "ranges": {name: len(part) for name, part in self.channel_lows.items()},
        }
        stats = self.tensors.values()
        histograms = [one.histogram for one in stats]
        data = io.BytesIO()
        np.savez_compressed(
            data,
            meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
            bounds=_rows([(s.mean_low, s.mean_high, s.low, s.high) for s in stats], 4),
            counts=np.asarray([h.counts for h in histograms], np.int64).reshape(-1, BINS),
            bins=_rows([(h.low, h.width) for h in histograms], 2),
            means=_joined(self.channel_means),
            ranges=np.stack([_joined(self.channel_lows), _joined(self.channel_highs)]),
            signatures=self.signatures,
        )
        return data.getvalue()

    @classmethod
    def loads(cls, data: bytes) -> Observations:
        """Read what :meth:`dumps` wrote, exactly.

        Raises:
            ValueError: it is something else, damaged, or of another version.
        """
        try:
            return _observations(_read_arrays(data))
        except (KeyError, TypeError, AttributeError, RecursionError, ValueError) as error:
            raise ValueError(f"these are no observations: {error}") from error


def _rows(rows: list[tuple[float, ...]], width: int) -> Floats:
    return np.asarray(rows, np.float64).reshape(-1, width)


def _joined(parts: Mapping[str, Floats]) -> Floats:
    return np.concatenate([np.zeros(0), *parts.values()])


def _read_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """Read exactly the arrays that observations have; a header alone allocates nothing.

    Raises:
        ValueError: it is no such file.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name, (dtype, rank) in _ARRAYS.items():
                size = archive.getinfo(f"{name}.npy").file_size
                if size > _MAX_BYTES:
                    raise ValueError("the observations are too large")
                with archive.open(f"{name}.npy") as member:
                    # Never more than is declared, whatever it inflates to.
                    arrays[name] = _array(member.read(size), dtype, rank)
    except _UNREADABLE as error:
        raise ValueError("a damaged file") from error
    return arrays


def _array(data: bytes, dtype: Any, rank: int) -> NDArray[Any]:
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array of an unknown version")
    shape, fortran, stored = np.lib.format.read_array_header_1_0(stream)
    if stored != np.dtype(dtype) or fortran or len(shape) != rank:
        raise ValueError("an array of another type")
    body = data[stream.tell() :]
    return np.frombuffer(body, dtype).reshape(shape)


def _observations(arrays: dict[str, NDArray[Any]]) -> Observations:
    meta = json.loads(arrays["meta"].tobytes())
    if meta["version"] != _VERSION or not isinstance(meta["images"], int) or meta["images"] < 1:
        raise ValueError("observations of another version")
    if not all(np.isfinite(arrays[name]).all() for name in _ARRAYS if name != "meta"):
        raise ValueError("observations that are no numbers")
    names: list[str] = [str(name) for name in meta["tensors"]]
    shapes = [arrays[name].shape for name in ("bounds", "counts", "bins")]
    if shapes != [(len(names), 4), (len(names), BINS), (len(names), 2)]:
        raise ValueError("observations of another number of tensors")
    tensors = {}
    rows = zip(arrays["bounds"], arrays["counts"], arrays["bins"], strict=True)
    for name, (bounds, counts, (low, width)) in zip(names, rows, strict=True):
        histogram = Histogram(counts, float(low), float(width))
        mean_low, mean_high, least, most = (float(bound) for bound in bounds)
        tensors[name] = TensorStats(mean_low, mean_high, least, most, histogram)
    lows, highs = arrays["ranges"]
    return Observations(
        images=meta["images"],
        tensors=tensors,
        channel_means=_parted(arrays["means"], meta["means"]),
        channel_lows=_parted(lows, meta["ranges"]),
        channel_highs=_parted(highs, meta["ranges"]),
        signatures=arrays["signatures"],
    )


def _parted(values: Floats, sizes: dict[str, int]) -> dict[str, Floats]:
    if sum(sizes.values()) != len(values) or min(sizes.values(), default=0) < 0:
        raise ValueError("observations of another number of channels")
    parts = {}
    start = 0
    for name, size in sizes.items():
        parts[name] = values[start : start + size]
        start += size
    return parts
