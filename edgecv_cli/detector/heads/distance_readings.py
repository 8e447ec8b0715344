"""Readings of scores and distances: of what was found, or as a family because it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgecv_cli.core.errors import UnrecognisedError
from edgecv_cli.detector.heads.base import Reading, dense_reading, numbered_classes
from edgecv_cli.detector.heads.distances import BOTH, Distances, find_distances, tensor_of
from edgecv_cli.detector.heads.levels import Level, levels
from edgecv_cli.detector.heads.views import grid_views
from edgecv_cli.detector.probing import Kind
from edgecv_cli.detector.spec import DetectorSpec, OutputSpec, OutputTensor
from edgecv_cli.graph.facts import GraphFacts


def distance_reading(
    defaults: DetectorSpec, facts: GraphFacts, found: Distances, *, source: str, why: str
) -> Reading:
    """Put a reading together from what was found.

    Args:
        defaults: the family's.
        facts: the graph.
        found: its scores and distances.
        source: where preprocessing and geometry come from.
        why: what makes it this family.
    """
    known = defaults.replace(**found.known)
    return dense_reading(
        known,
        facts,
        found.outputs,
        source=source,
        classes=numbered_classes(found.classes),
        confidence=0.9 if found.logits else 0.95,
        evidence=(*found.evidence, why),
        assumed=_geometry_words(known, source),
    )


def assumed_distances(
    defaults: DetectorSpec, facts: GraphFacts, told: Mapping[str, Any], *, source: str
) -> Reading:
    """Read the outputs as a family of distances because the user says so, by their shapes.

    Raises:
        UnrecognisedError: no outputs have shapes that fit.
    """
    bins = int(told.get("reg_max", defaults.reg_max) or 1)
    found = next(find_distances(facts, (bins,)), None) or _told_distances(facts, bins)
    if found is None:
        raise UnrecognisedError(
            f"no outputs have the shapes of family {defaults.family}: classes and {4 * bins} "
            "channels of distances, in one tensor or in two for every stride",
            remedy="give another `family` in --spec, or `reg_max` if a side has other bins",
        )
    why = f"family {defaults.family}: as told"
    reading = distance_reading(defaults, facts, found, source=source, why=why)
    return Reading(reading.spec, 0.5, reading.evidence, reading.assumed, reading.choice)


def _told_distances(facts: GraphFacts, bins: int) -> Distances | None:
    """Return what has the shape of scores and distances of so many bins a side, or None.

    Scores that a probe shows to be their layers' plain values want a sigmoid.
    """
    sides = 4 * bins
    for view in grid_views(facts):
        if view.count > sides and len(view.strides) > 1:
            axes = "b,n,c" if view.channels_last else "b,c,n"
            tensor = OutputTensor(name=view.output, holds=BOTH, axes=axes)
            classes = view.count - sides
            logits = view.channels is not None and _plain(view.channels.kinds()[:classes])
            return _told((tensor,), view.strides, classes, bins, per_stride=0, logits=logits)
    for read in levels(facts):
        tensors = [_shaped(entries, sides) for entries in read.strides.values()]
        counts = {sum(level.count for level in entries) for entries in read.strides.values()}
        if not read.others and len(counts) == 1 and all(tensors):
            flat = tuple(tensor for entry in tensors for tensor in entry)
            classes = counts.pop() - sides
            kinds = {level.output: level.kinds for level in next(iter(read.strides.values()))}
            scores = next(tensor.name for tensor in tensors[0] if "scores" in tensor.holds)
            return _told(
                flat,
                tuple(read.strides),
                classes,
                bins,
                per_stride=len(tensors[0]),
                logits=_plain(kinds[scores][:classes]),
            )
    return None


def _plain(kinds: Sequence[Kind]) -> bool:
    return set(kinds) == {"linear"}


def _told(
    tensors: tuple[OutputTensor, ...],
    strides: tuple[int, ...],
    classes: int,
    bins: int,
    *,
    per_stride: int,
    logits: bool,
) -> Distances:
    outputs = OutputSpec(tensors=tensors)
    return Distances(outputs, strides, classes, bins, per_stride, logits, False, ())


def _shaped(entries: Sequence[Level], sides: int) -> tuple[OutputTensor, ...]:
    """Say what one stride's outputs hold, by their numbers of channels; nothing if they can't."""
    if len(entries) == 1 and entries[0].count > sides:
        return (tensor_of(entries[0], BOTH),)
    if len(entries) == 2 and sides in {level.count for level in entries}:
        boxes = next(level for level in reversed(entries) if level.count == sides)
        return tuple(
            tensor_of(level, ("boxes",) if level is boxes else ("scores",)) for level in entries
        )
    return ()


def _geometry_words(spec: DetectorSpec, source: str) -> dict[str, str]:
    """Say what of the boxes no graph shows, by spec key."""
    centre = "(cell + 0.5) x stride" if spec.cell_offset else "cell x stride"
    over = f", each the mean of a softmax over {spec.reg_max} bins" if spec.reg_max else ""
    words = {
        "cell_offset": f"a cell's centre is {centre} ({source})",
        "boxes": f"distances are left, top, right, bottom in strides{over} ({source})",
    }
    if spec.activations != "none":
        words["activations"] = "a sigmoid still to be applied to the scores"
    return words
