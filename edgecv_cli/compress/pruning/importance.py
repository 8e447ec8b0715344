"""Simple rankings of channels, to hold the measured ones against.

L1 and L2 norms of what makes a channel (Li et al. 2017, "Pruning Filters for Efficient ConvNets"),
over the mean of the group; and what the channel adds to the output of those that read it: the
energy of its weights times the variance of its values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.compress.pruning.curves import Curve, Reader
from edgecv_cli.compress.pruning.flow import Flow, Group

Array = NDArray[np.float64]
Simple = Literal["activation", "l2", "l1"]


def simple_curve(
    flow: Flow,
    group: Group,
    readers: Mapping[str, Reader],
    kind: Simple,
    *,
    cap: float,
) -> Curve | None:
    """Return how a group's units leave by a simple ranking; None where it has no say."""
    if kind == "activation":
        if not group.consumers or any(name not in readers for name in group.consumers):
            return None
        scores = sum((_added(readers[name], group) for name in group.consumers), np.zeros(1))
    else:
        scores = sum((_norms(flow, name, group, kind) for name in group.producers), np.zeros(1))
    return _least_first(group, scores, cap)


def curve_by(group: Group, importance: Array, *, cap: float) -> Curve:
    """Return how a group's units leave by an importance that is known of each label."""
    return _least_first(group, importance[group.units], cap)


def _least_first(group: Group, scores: Array, cap: float) -> Curve:
    order = np.argsort(scores, kind="stable")[: int(cap * len(group.units))]
    return Curve(group, group.units[order], np.cumsum(scores[order]))


def _added(reader: Reader, group: Group) -> Array:
    power = (reader.weight**2).sum(axis=0) * np.diagonal(reader.covariance)
    of_channel = power.reshape(len(reader.labels), -1).sum(axis=1)
    return _by_unit(of_channel, reader.labels, group) / max(reader.variance, 1e-12)


def _norms(flow: Flow, name: str, group: Group, kind: Simple) -> Array:
    layer = flow.topology.layers[name]
    weight = flow.topology.constants.value(layer.weight)
    assert weight is not None
    axis = 1 if layer.op in ("ConvTranspose", "MatMul") else 0
    rows = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1).astype(np.float64)
    norms = np.abs(rows).sum(axis=1) if kind == "l1" else np.sqrt((rows**2).sum(axis=1))
    labels = flow.made_by[name]
    if len(norms) != len(labels):
        return np.zeros(len(group.units))
    found = _by_unit(norms, labels, group)
    return found / max(float(found.mean()), 1e-12) / len(group.producers)


def _by_unit(values: Array, labels: NDArray[np.int64], group: Group) -> Array:
    places = np.searchsorted(group.units, labels)
    places = np.clip(places, 0, len(group.units) - 1)
    inside = group.units[places] == labels
    total: Array = np.zeros(len(group.units))
    np.add.at(total, places[inside], values[inside])
    return total
