"""From patches of a layer's inputs to their second moments, and from those to its rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.compress.patches import take_patches, window_of
from edgecv_cli.compress.quantization.rounding import (
    choose_rounding,
    encode_mask,
    nearest,
    rounding_error,
)
from edgecv_cli.compress.quantization.weights import LIMITS
from edgecv_cli.graph.qdq import LayerWeights
from edgecv_cli.graph.topology import Layer, Topology

Array = NDArray[np.float64]
_FEWEST_PATCHES, _MOST_PATCHES = 1024, 6144


class Patches:
    """Patches of a convolution's input in the float and in the integer graph, image by image.

    Args:
        topology: the float graph.
        layer: the convolution.
        wanted, seen: its input in either graph, float32 [1, channels, height, width] an image.
        seed: picks the places, the same in both.
    """

    def __init__(
        self,
        topology: Topology,
        layer: Layer,
        wanted: Sequence[NDArray[Any]],
        seen: Sequence[NDArray[Any]],
        *,
        seed: int,
    ) -> None:
        shapes = [topology.shapes[name] for name in (layer.data, layer.name, layer.weight)]
        before, after, kernel = ((int(s[2] or 0), int(s[3] or 0)) for s in shapes)
        window = window_of(topology.nodes[layer.name], kernel, before, after)
        width = int(shapes[2][1] or 0) * kernel[0] * kernel[1]
        rows = int(np.clip(4 * width, _FEWEST_PATCHES, _MOST_PATCHES))
        count = min(-(-rows // len(wanted)), after[0] * after[1])
        rng = np.random.default_rng(seed)
        self.images: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        for pair in zip(wanted, seen, strict=True):
            places = rng.choice(after[0] * after[1], count, replace=False)
            patches = [take_patches(data, window, places) for data in pair]
            self.images.append((patches[0], patches[1]))
        self.groups = window.groups


def moments(
    wanted: NDArray[np.float32], seen: NDArray[np.float32], *, centred: bool
) -> tuple[Array, Array]:
    """Return E[x~ x~^T] and E[x~ (x - x~)^T]; float64 [groups, inputs, inputs].

    Args:
        wanted, seen: [groups, patches, inputs], x and x~.
        centred: about the means, for a layer whose bias takes the mean error away.
    """
    missing = wanted - seen
    if centred:
        seen = seen - seen.mean(axis=1, keepdims=True)
        missing -= missing.mean(axis=1, keepdims=True)
    across = seen.transpose(0, 2, 1)
    count = seen.shape[1]
    return (across @ seen).astype(np.float64) / count, (across @ missing).astype(np.float64) / count


def adapted(
    topology: Topology,
    layer: Layer,
    stored: LayerWeights,
    patches: Patches,
    held_out: Callable[[int, int], bool],
    *,
    bits: int,
    centred: bool,
) -> str | None:
    """Return the mask of a convolution's adaptive rounding, or None if it is to the nearest.

    An output channel is rounded adaptively where that lowers its error on held-out images.

    Args:
        topology: the float graph.
        layer: the convolution.
        stored: its integers as rounded to nearest; their scales count.
        patches: of its input.
        held_out: whether an image, by index and count, is not fitted on.
        bits: width of the weights.
        centred: whether the layer's bias will be corrected.
    """
    weight = topology.constants.value(layer.weight)
    assert weight is not None
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    steps = stored.scales.astype(np.float64)[:, None]
    ratios = (rows / steps).reshape(patches.groups, -1, rows.shape[1])
    limit = LIMITS[bits]
    gram, cross = _moments_of(patches, held_out, False, centred=centred)
    up = choose_rounding(ratios, gram, limit=limit, pull=ratios @ cross.transpose(0, 2, 1))
    gram, cross = _moments_of(patches, held_out, True, centred=centred)
    plain = nearest(ratios)
    pull = ratios @ cross.transpose(0, 2, 1)
    before, after = (
        rounding_error(ratios, mask, gram, limit=limit, pull=pull) for mask in (plain, up)
    )
    kept = np.where((after < before)[..., None], up, plain)
    return None if (kept == plain).all() else encode_mask(kept)


def _moments_of(
    patches: Patches, held_out: Callable[[int, int], bool], apart: bool, *, centred: bool
) -> tuple[Array, Array]:
    count = len(patches.images)
    chosen = [pair for i, pair in enumerate(patches.images) if held_out(i, count) == apart]
    wanted, seen = (np.concatenate([pair[side] for pair in chosen], axis=1) for side in (0, 1))
    return moments(wanted, seen, centred=centred)
