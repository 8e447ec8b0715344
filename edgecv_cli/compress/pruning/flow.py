"""Which channels of which tensors stand or fall together, over a whole graph.

Every channel that a layer makes gets a label. Labels follow the data: through activations, pools
and depthwise layers as they are, through Concat, Split, Slice and Gather by index, and they are
joined where tensors meet element by element (Fang et al. 2023, "DepGraph: Towards Any Structural
Pruning", with labels a channel in the place of a graph of layers). What no rule describes, the
decode tail and the graph's outputs freeze what they read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.compress.pruning.labels import Labels, LabelSets
from edgecv_cli.graph.topology import Topology

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Channels:
    """The labels of a tensor's channels.

    Attributes:
        axis: where the channels lie.
        labels: int64 [channels]; several may be equal.
    """

    axis: int
    labels: Labels


@dataclass(frozen=True)
class Group:
    """Units that the same layers make.

    A unit is the set of all channels that leave together, named by its label.

    Attributes:
        producers: layers that make its channels, by name, in graph order.
        units: int64 [units], ascending.
        consumers: layers that read its channels, in graph order.
    """

    producers: tuple[str, ...]
    units: Labels
    consumers: tuple[str, ...]


@dataclass(frozen=True)
class Flow:
    """The labels of all tensors of a graph.

    Attributes:
        topology: the graph.
        channels: tensor to its labels, each replaced by the one that stands for its set.
        frozen: sets that stay.
        made_by: layer to the labels of what it makes.
        kept_because: layer whose channels all stay to the reason in words.
    """

    topology: Topology
    channels: Mapping[str, Channels]
    frozen: frozenset[int]
    made_by: Mapping[str, Labels]
    kept_because: Mapping[str, str]

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Groups of removable units, in the order of their first producer."""
        producers: dict[int, list[str]] = {}
        for name, labels in self.made_by.items():
            for unit in np.unique(labels):
                if int(unit) not in self.frozen:
                    producers.setdefault(int(unit), []).append(name)
        members: dict[tuple[str, ...], list[int]] = {}
        for unit, names in producers.items():
            members.setdefault(tuple(names), []).append(unit)
        return tuple(
            Group(names, np.asarray(sorted(units), np.int64), self._consumers(units))
            for names, units in members.items()
        )

    def _consumers(self, units: Collection[int]) -> tuple[str, ...]:
        wanted = np.asarray(sorted(units), np.int64)
        return tuple(
            name
            for name, layer in self.topology.layers.items()
            if not layer.depthwise
            and layer.data in self.channels
            and np.isin(self.channels[layer.data].labels, wanted).any()
        )

    def keep(self, tensor: str, removed: Collection[int]) -> Mask | None:
        """Return which of a tensor's channels stay, bool [channels]; None where it has none."""
        found = self.channels.get(tensor)
        if found is None:
            return None
        stays: Mask = ~_marked(frozenset(removed), self._labels)[found.labels]
        return stays

    @cached_property
    def _labels(self) -> int:
        """One more than the greatest label."""
        return 1 + max(
            (int(one.labels.max(initial=0)) for one in self.channels.values()), default=0
        )

    def survivable(self, removed: Collection[int]) -> frozenset[int]:
        """Return ``removed`` without the units that would leave a tensor with no channel."""
        gone = _marked(frozenset(removed), self._labels).copy()
        for found in self.channels.values():
            if len(found.labels) and gone[found.labels].all():
                gone[found.labels[0]] = False
        return frozenset(int(unit) for unit in removed if gone[unit])

    def macs(self, removed: Collection[int]) -> int:
        """Return the multiply-accumulates of the layers once ``removed`` has left."""
        total = 0.0
        for name, layer in self.topology.layers.items():
            share = self._share(name, removed)
            if not layer.depthwise:
                share *= self._share(layer.data, removed)
            total += layer.macs * share
        return round(total)

    def _share(self, tensor: str, removed: Collection[int]) -> float:
        keep = self.keep(tensor, removed)
        return 1.0 if keep is None else float(keep.mean())


@lru_cache(maxsize=8)
def _marked(removed: frozenset[int], count: int) -> Mask:
    """Return which of so many labels have left, bool [count]; not to be written to."""
    gone = np.zeros(count, np.bool_)
    gone[list(removed)] = True
    return gone


def settled(
    topology: Topology,
    channels: Mapping[str, Channels],
    sets: LabelSets,
    made_by: Mapping[str, Labels],
    reasons: Mapping[int, str],
) -> Flow:
    """Return the flow once all labels are joined.

    Args:
        topology: the graph.
        channels: tensor to its labels as they were given.
        sets: what is joined and frozen.
        made_by: layer to the labels that it was given.
        reasons: label to why it was frozen, in words.
    """
    because: dict[int, str] = {}
    for label, reason in reasons.items():
        because.setdefault(sets.root(label), reason)
    roots = {name: sets.roots(labels) for name, labels in made_by.items()}
    kept = {}
    for name, labels in roots.items():
        if all(sets.is_frozen(int(one)) for one in labels):
            kept[name] = because.get(int(labels[0]), "its channels have to stay")
    every = {name: Channels(one.axis, sets.roots(one.labels)) for name, one in channels.items()}
    found = {int(one) for item in every.values() for one in item.labels}
    frozen = frozenset(label for label in found if sets.is_frozen(label))
    return Flow(topology, every, frozen, roots, kept)
