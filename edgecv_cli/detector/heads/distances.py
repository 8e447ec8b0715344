"""Outputs that say scores and the distances from a cell's centre to a box's four sides.

NanoDet, NanoDet-Plus, PicoDet and YOLOv6-lite do: distances as a distribution over bins (Li et
al. 2020, Generalized Focal Loss) or plain (Tian et al. 2019, FCOS), in one tensor with the
scores or beside them, of all strides or of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from edgecv_cli.detector.heads.levels import Level, Levels, levels
from edgecv_cli.detector.heads.views import GridView, grid_views
from edgecv_cli.detector.probing import Channels, Kind
from edgecv_cli.detector.spec import OutputSpec, OutputTensor, Role
from edgecv_cli.graph.facts import GraphFacts

BOTH: tuple[Role, Role] = ("scores", "boxes")
"""What a tensor of both holds in most exports."""


@dataclass(frozen=True)
class Distances:
    """Scores and distances found in a graph's outputs.

    Attributes:
        outputs: which output plays which role.
        strides: in the order in which a joint tensor has them, else rising.
        classes: score channels; ``bins``: channels of a side.
        per_stride: outputs of each stride: 0 where one tensor holds all strides, 1 where it
            holds scores and distances, 2 where those are apart.
        logits: whether a sigmoid is still to be applied to the scores.
        shared: whether scores and distances come from the same last layers.
        evidence: what was seen.
    """

    outputs: OutputSpec
    strides: tuple[int, ...]
    classes: int
    bins: int
    per_stride: int
    logits: bool
    shared: bool
    evidence: tuple[str, ...]

    @property
    def scores_first(self) -> bool:
        """Whether scores come before distances where they share a tensor."""
        return self.outputs.tensors[0].holds != ("boxes", "scores")

    @property
    def known(self) -> dict[str, object]:
        """What of a spec it settles."""
        return {
            "strides": self.strides,
            "reg_max": self.bins if self.bins > 1 else 0,
            "activations": "sigmoid" if self.logits else "none",
        }


def find_distances(facts: GraphFacts, bins: Sequence[int]) -> Iterator[Distances]:
    """Yield what can be scores and distances, from what the channels do.

    Args:
        facts: the graph, probed.
        bins: the numbers of channels that a side may have.
    """
    if facts.tail is None or facts.input_size is None:
        return
    for view in grid_views(facts):
        found = _joint(view, facts.input_size, bins)
        if found is not None:
            yield found
    for read in levels(facts):
        if not read.others:
            yield from _by_stride(read, facts.input_size, bins)


def tensor_of(level: Level, holds: tuple[Role, ...]) -> OutputTensor:
    """Say what a level holds."""
    return OutputTensor(name=level.output, holds=holds, axes=level.axes, stride=level.stride)


def _joint(view: GridView, size: tuple[int, int], bins: Sequence[int]) -> Distances | None:
    """Read one tensor of all strides."""
    channels = view.channels
    if channels is None or len(view.strides) < 2:
        return None
    roles = _roles(tuple((kind, len(list(run))) for kind, run in groupby(channels.kinds())), bins)
    moved = {view.head_strides.get(head) for head in channels.heads_of(0)}
    if roles is None or moved != set(view.strides):
        return None
    holds, classes, many = roles
    if not _one_source(channels, _split(holds, classes, many)[0]):
        return None
    axes = "b,n,c" if view.channels_last else "b,c,n"
    tensor = OutputTensor(name=view.output, holds=holds, axes=axes)
    return Distances(
        outputs=OutputSpec(tensors=(tensor,)),
        strides=view.level_order(),
        classes=classes,
        bins=many,
        per_stride=0,
        logits=False,
        shared=_shared(channels, holds, classes, many),
        evidence=(view.shape_evidence(size), _one_tensor_words(channels, holds, classes, many)),
    )


@dataclass(frozen=True)
class _Found:
    """One stride's tensors; all but these must be the same at every stride."""

    tensors: tuple[OutputTensor, ...] = field(compare=False)
    classes: int
    bins: int
    logits: bool
    shared: bool
    words: str


def _by_stride(read: Levels, size: tuple[int, int], bins: Sequence[int]) -> Iterator[Distances]:
    """Read one tensor a stride, or two."""
    found = [_level(entries, bins) for entries in read.strides.values()]
    first = found[0]
    if first is None or any(entry != first for entry in found):
        return
    tensors = [tensor for entry in found if entry is not None for tensor in entry.tensors]
    yield Distances(
        outputs=OutputSpec(tensors=tuple(tensors)),
        strides=tuple(read.strides),
        classes=first.classes,
        bins=first.bins,
        per_stride=len(first.tensors),
        logits=first.logits,
        shared=first.shared,
        evidence=(read.words(size), first.words),
    )


def _level(entries: Sequence[Level], bins: Sequence[int]) -> _Found | None:
    """Read one stride."""
    if len(entries) == 1:
        return _in_one(entries[0], bins)
    if len(entries) != 2:
        return None
    first, second = entries
    readings = [_apart(first, second, bins), _apart(second, first, bins)]
    known = [reading for reading in readings if reading is not None]
    return known[0] if len(known) == 1 else None


def _in_one(level: Level, bins: Sequence[int]) -> _Found | None:
    """Read one tensor as scores and distances."""
    roles = _roles(level.runs, bins)
    if roles is None or level.channels is None:
        return None
    holds, classes, many = roles
    if not _one_source(level.channels, _split(holds, classes, many)[0]):
        return None
    shared = _shared(level.channels, holds, classes, many)
    words = _one_tensor_words(level.channels, holds, classes, many)
    return _Found((tensor_of(level, holds),), classes, many, False, shared, words)


def _apart(scores: Level, sides: Level, bins: Sequence[int]) -> _Found | None:
    """Read two tensors as scores and distances."""
    many, rest = divmod(sides.count, 4)
    if rest or many not in bins or set(sides.kinds) != {"linear"}:
        return None
    if len(set(scores.kinds)) != 1 or scores.kinds[0] == "other":
        return None
    if scores.channels is None or sides.channels is None:
        return None
    logits = scores.kinds[0] == "linear"
    shared = bool(scores.channels.heads_of(0) & sides.channels.heads_of(0))
    words = f"{_score_words(scores.channels, 0, scores.count)}; {_side_words(many)} in the other"
    tensors = (tensor_of(scores, ("scores",)), tensor_of(sides, ("boxes",)))
    return _Found(tensors, scores.count, many, logits, shared, words)


def _roles(
    runs: Sequence[tuple[Kind, int]], bins: Sequence[int]
) -> tuple[tuple[Role, ...], int, int] | None:
    """Return the roles of a tensor's channels in order, classes and bins, or None."""
    if sorted(kind for kind, _ in runs) != ["linear", "sigmoid"]:
        return None
    counts = dict(runs)
    many, rest = divmod(counts["linear"], 4)
    if rest or many not in bins:
        return None
    holds = BOTH if runs[0][0] == "sigmoid" else BOTH[::-1]
    return holds, counts["sigmoid"], many


def _split(holds: Sequence[Role], classes: int, bins: int) -> tuple[slice, slice]:
    """Return the channels of scores and of distances."""
    if holds[0] == "scores":
        return slice(0, classes), slice(classes, classes + 4 * bins)
    return slice(4 * bins, 4 * bins + classes), slice(0, 4 * bins)


def _shared(channels: Channels, holds: Sequence[Role], classes: int, bins: int) -> bool:
    scores, sides = _split(holds, classes, bins)
    return bool(
        channels.heads_of(scores.start, scores.stop) & channels.heads_of(sides.start, sides.stop)
    )


def _one_source(channels: Channels, scores: slice) -> bool:
    """Whether all scores come from the same layers: objectness before them does not."""
    return len(set(channels.heads[scores])) == 1


def _one_tensor_words(channels: Channels, holds: Sequence[Role], classes: int, bins: int) -> str:
    scores, sides = _split(holds, classes, bins)
    return (
        f"{_score_words(channels, scores.start, scores.stop)}; {_side_words(bins)} in channels "
        f"{sides.start} to {sides.stop - 1}"
    )


def _score_words(channels: Channels, start: int, stop: int) -> str:
    levels_of = (channels.rest, channels.high, channels.low)
    rest, high, low = (part[start:stop].mean() for part in levels_of)
    verdict = "sigmoid applied" if abs(rest - 0.5) < 0.1 else "scores are logits"
    return (
        f"channels {start} to {stop - 1} read {rest:.2f} at rest, {high:.3f} with all heads at +8 "
        f"and {low:.4f} at -8: {stop - start} scores, {verdict}"
    )


def _side_words(bins: int) -> str:
    sides = f"4 sides of {bins} bins" if bins > 1 else "4 distances"
    return f"{4 * bins} plain values of their layers (0, 8 and -8 there), {sides},"
