"""What the inputs of convolutions are like: one walk over calibration images."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.compress.patches import take_patches, window_of
from edgecv_cli.compress.pruning.curves import Reader
from edgecv_cli.compress.pruning.flow import Flow
from edgecv_cli.compress.pruning.places import Places
from edgecv_cli.compress.walk import OpenModel, Walk, levels_of
from edgecv_cli.core.context import Context

Feed = Mapping[str, NDArray[Any]]
_MOST_BYTES = 1024 * 1024**2
_IMAGES = 64
# the largest covariance that is taken: 170 MB
_MOST_INPUTS = 4608


def read_inputs(
    flow: Flow,
    feeds: Iterable[Feed],
    places: Places,
    *,
    open_model: OpenModel,
    context: Context,
) -> dict[str, Reader]:
    """Return what each convolution that reads removable channels is fed.

    Grouped convolutions, matrix products and layers of over 4608 inputs are left out: the groups
    that they read are not cut.

    Args:
        flow: the graph's channels.
        feeds: what the input is fed, one image at a time; at most 64 are read.
        places: where on each image inputs are looked at.
        open_model: see :func:`edgecv_cli.compress.walk.exact_opener`.
        context: cancellation is polled per image.
    """
    topology = flow.topology
    targets = {name for group in flow.groups for name in group.consumers if _is_plain(flow, name)}
    levels = levels_of(topology, targets)
    wanted = [[topology.layers[name].data for name in names] for names in levels]
    walk = Walk(topology.model, wanted, open_model)
    each = 4 * max(1, walk.most_held(topology.elements))
    count = int(np.clip(_MOST_BYTES // each, 2, _IMAGES))
    walk.start(
        [{n: np.array(v) for n, v in feed.items()} for feed in itertools.islice(feeds, count)]
    )
    found = {}
    with context.progress.task("observe", len(levels), "level") as task:
        for names in levels:
            walk.advance(context)
            for name in names:
                found[name] = _reader(flow, name, walk, places)
            task.advance()
    return found


def _is_plain(flow: Flow, name: str) -> bool:
    layer, shapes = flow.topology.layers[name], flow.topology.shapes
    shape = shapes[layer.weight]
    whole = shapes.get(layer.data)
    if layer.op != "Conv" or whole is None or len(shape) != 4:
        return False
    return shape[1] == whole[1] and int(np.prod([s or 0 for s in shape[1:]])) <= _MOST_INPUTS


def _reader(flow: Flow, name: str, walk: Walk, places: Places) -> Reader:
    topology = flow.topology
    layer = topology.layers[name]
    weight = topology.constants.value(layer.weight)
    assert weight is not None
    before, after, kernel = (
        (int(shape[2] or 0), int(shape[3] or 0))
        for shape in (topology.shapes[one] for one in (layer.data, name, layer.weight))
    )
    window = window_of(topology.nodes[name], kernel, before, after)
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    gram = np.zeros((rows.shape[1], rows.shape[1]))
    sums, seen = np.zeros(rows.shape[1]), 0
    for index, held in enumerate(walk.held):
        chosen = places.of(index, len(walk.held), rows.shape[1], after)
        patches = take_patches(held[layer.data], window, chosen)[0]
        gram += patches.T @ patches
        sums += patches.sum(axis=0, dtype=np.float64)
        seen += len(patches)
    mean = sums / max(1, seen)
    covariance = gram / max(1, seen) - np.outer(mean, mean)
    variance = float(np.einsum("oi,ij,oj->", rows, covariance, rows, optimize=True))
    return Reader(name, rows, covariance, mean, variance, flow.channels[layer.data].labels)
