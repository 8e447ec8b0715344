"""Seeded pictures with the statistics of natural ones, to time a network on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import EngineError
from edgecv_cli.core.tensors import TensorSpec, is_image, is_nhwc
from edgecv_cli.detector.feeding import InputFeed
from edgecv_cli.detector.spec import DetectorSpec

_MEAN, _DEVIATION = 110.0, 58.0  # of 8-bit photographs
_COLOUR = 0.25  # share of the contrast that differs between channels


def natural_pictures(count: int, size: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """Draw pictures whose amplitude spectrum falls as 1/f with random phase.

    That is the spectrum of natural scenes (Field, "Relations between the statistics of natural
    images", 1987). Zeros would be unlike any input: they hide denormals, and let everything
    that depends on what is found, such as NMS inside the graph, run on nothing.

    Args:
        count: how many.
        size: [height, width] in pixels.
        seed: of the phases.

    Returns:
        uint8 [count, height, width, 3].
    """
    rng = np.random.default_rng(seed)
    distance = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None, :])
    distance[0, 0] = np.inf  # the mean is set apart
    return np.stack([_picture(rng, distance, size) for _ in range(count)])


def _picture(
    rng: np.random.Generator, distance: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.uint8]:
    noise = rng.standard_normal((4, *size))
    fields = np.fft.irfft2(np.fft.rfft2(noise) / distance, s=size)
    fields /= np.maximum(fields.std(axis=(1, 2), keepdims=True), 1e-9)
    mixed = fields[:1] * (1 - _COLOUR) + fields[1:] * _COLOUR
    mixed *= _DEVIATION / np.hypot(1 - _COLOUR, _COLOUR)
    return np.clip(_MEAN + mixed, 0, 255).round().astype(np.uint8).transpose(1, 2, 0)


def network_feeds(
    inputs: tuple[TensorSpec, ...],
    *,
    count: int,
    seed: int,
    spec: DetectorSpec | None = None,
    size: tuple[int, int] | None = None,
) -> list[dict[str, NDArray[Any]]]:
    """Make ``count`` sets of inputs for a network.

    Args:
        inputs: what the network takes; open batch axes become 1.
        count: how many sets.
        seed: of the pictures.
        spec: how the detector is fed; without one, pictures are scaled to 0..1, and what is no
            picture gets random numbers.
        size: [height, width] for a network that leaves it open and has no spec.

    Raises:
        EngineError: an input's size is open and ``size`` is not given, or the spec does not
            explain it.
    """
    if spec is not None:
        return _as_specified(inputs, count, seed, spec)
    feeds: list[dict[str, NDArray[Any]]] = [{} for _ in range(count)]
    for place, tensor in enumerate(inputs):
        values = _values(tensor, count, seed + place, size)
        for feed, value in zip(feeds, values, strict=True):
            feed[tensor.name] = value
    return feeds


def _as_specified(
    inputs: tuple[TensorSpec, ...], count: int, seed: int, spec: DetectorSpec
) -> list[dict[str, NDArray[Any]]]:
    feed = InputFeed(inputs, spec)
    made = []
    for picture in natural_pictures(count, spec.input.size, seed):
        feed.fill(picture)
        made.append({name: array.copy() for name, array in feed.feeds.items()})
    return made


def _values(
    tensor: TensorSpec, count: int, seed: int, size: tuple[int, int] | None
) -> list[NDArray[Any]]:
    shape = _shape(tensor, size)
    if is_image(shape):
        first = not is_nhwc(shape)
        extent = (shape[2], shape[3]) if first else (shape[1], shape[2])
        pictures = natural_pictures(count, extent, seed)
        return [_as_input(picture, shape, tensor.dtype, first) for picture in pictures]
    if np.issubdtype(np.dtype(tensor.dtype), np.floating):
        rng = np.random.default_rng(seed)
        return [rng.random(shape).astype(tensor.dtype) for _ in range(count)]
    return [np.zeros(shape, tensor.dtype) for _ in range(count)]


def _as_input(
    picture: NDArray[np.uint8], shape: tuple[int, ...], dtype: str, channels_first: bool
) -> NDArray[Any]:
    value: NDArray[Any] = picture
    if np.issubdtype(np.dtype(dtype), np.floating):
        value = picture.astype(np.float32) / np.float32(255)
    if channels_first:
        value = value.transpose(2, 0, 1)
    return np.ascontiguousarray(np.broadcast_to(value, shape), dtype=dtype)


def _shape(tensor: TensorSpec, size: tuple[int, int] | None) -> tuple[int, ...]:
    shape = [1, *tensor.shape[1:]]
    if len(shape) == 4 and size is not None:
        axes = (1, 2) if shape[3] == 3 else (2, 3)
        for axis, side in zip(axes, size, strict=True):
            shape[axis] = shape[axis] or side
    known = [extent for extent in shape if extent is not None]
    if len(known) != len(shape):
        raise EngineError(
            f"input {tensor} leaves its size open", remedy="give it with --input-size HxW"
        )
    return tuple([tensor.shape[0] or 1, *known[1:]] if tensor.shape else [])
