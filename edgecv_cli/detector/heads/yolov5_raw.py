"""Anchor heads before decoding: one tensor a stride, of anchors that are not in the graph.

[1, 3, h, w, 5 + classes], [1, 3 x (5 + classes), h, w] and other orders of these axes, linear or
with the sigmoid applied. What an offset is relative to, and how it grows, is written nowhere:
YOLOv5 and YOLOv7 square a sigmoid, YOLOv3 and YOLOv4 take an exponential, each with anchors of
its own. All of them stay open until the user says which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgecv_cli.core.errors import ConfigError
from edgecv_cli.detector.anchors import ANCHOR_PRESETS, Anchors, anchor_words, read_anchors
from edgecv_cli.detector.grid import head_strides
from edgecv_cli.detector.heads.base import Reading, dense_reading, numbered_classes
from edgecv_cli.detector.heads.levels import ANCHORED, PLAIN, Level, Levels, levels
from edgecv_cli.detector.spec import BoxCode, DetectorSpec, OutputSpec, OutputTensor
from edgecv_cli.graph.facts import GraphFacts

_SOURCE = "the usual YOLOv5 export"
_MAX_TOLD = 16
# presets by their number of strides, each with the code that it was published with
_PUBLISHED: dict[int, tuple[tuple[str, BoxCode], ...]] = {
    2: (("yolov3-tiny", "anchor-exp"), ("yolov3-tiny", "anchor-square")),
    3: (
        ("yolov5", "anchor-square"),
        ("yolov7", "anchor-square"),
        ("yolov3", "anchor-exp"),
        ("yolov4", "anchor-exp"),
    ),
    4: (("yolov5-p6", "anchor-square"), ("yolov7-w6", "anchor-square")),
}
_EXPONENTIAL = ("yolov3", "yolov4", "yolov3-tiny", "yolov4-tiny")


@dataclass(frozen=True)
class _Raw:
    """One tensor a stride, and what of it the probe shows."""

    tensors: tuple[OutputTensor, ...]
    strides: tuple[int, ...]
    anchors: int
    count: int
    activated: bool
    codes: tuple[BoxCode, ...]
    evidence: tuple[str, ...]


def raw_readings(defaults: DetectorSpec, facts: GraphFacts) -> Iterator[Reading]:
    """Yield one reading for every published set of anchors that fits."""
    raw = next(_found(facts), None)
    if raw is None:
        return
    for name, code in _PUBLISHED.get(len(raw.strides), ()):
        anchors = ANCHOR_PRESETS[name]
        if code in raw.codes and len(anchors[0]) == raw.anchors:
            words = f"published anchors that begin {anchor_words(anchors[:1])}"
            choice = {"anchors": name, "code": code}
            yield _reading(defaults, facts, raw, anchors, code, words=words, choice=choice)


def told_raw(defaults: DetectorSpec, facts: GraphFacts, told: Mapping[str, Any]) -> Reading | None:
    """Read one tensor a stride with the anchors that the user gives, or None.

    Raises:
        ConfigError: the anchors make no sense.
    """
    given = told.get("anchors")
    if given is None:
        return None
    code = _told_code(told)
    for read in levels(facts, (*ANCHORED, *PLAIN), range(2, _MAX_TOLD + 1)):
        try:
            anchors = read_anchors(given, len(read.strides))
        except ValueError as error:
            raise ConfigError(
                f"detector spec, anchors: {error}",
                remedy="give `anchors: yolov5`, or one row of [width, height] pairs per stride",
            ) from error
        entries = _one_each(read)
        if entries and _fit(anchors, read) and entries[0].count >= 6:
            raw = _as_told(read, entries)
            return _reading(defaults, facts, raw, anchors, code, words="anchors as told")
    return None


def _told_code(told: Mapping[str, Any]) -> BoxCode:
    """Return the code that the user names, else that of the anchors."""
    if told.get("code") in ("anchor-square", "anchor-exp"):
        return "anchor-exp" if told["code"] == "anchor-exp" else "anchor-square"
    given = told["anchors"]
    exponential = isinstance(given, str) and given in _EXPONENTIAL
    return "anchor-exp" if exponential else "anchor-square"


def _found(facts: GraphFacts) -> Iterator[_Raw]:
    """Yield the ways to see the outputs as anchors of every stride's cells."""
    if facts.tail is None or facts.input_size is None:
        return
    maps = head_strides(facts.tail.heads, facts.input_size)
    for read in levels(facts, ANCHORED, (3,)):
        entries = _one_each(read)
        if read.others or len(entries) < 2 or read.anchors < 2 or entries[0].count < 6:
            continue
        runs = {level.runs for level in entries}
        found = _codes(entries[0]) if len(runs) == 1 else None
        if found is None or not all(_of_one_layer(level, facts, maps) for level in entries):
            continue
        activated, codes, words = found
        yield _Raw(
            tensors=_tensors(entries),
            strides=tuple(read.strides),
            anchors=read.anchors,
            count=entries[0].count,
            activated=activated,
            codes=codes,
            evidence=(
                read.words(facts.input_size),
                f"one layer a stride says {read.anchors} x {entries[0].count} channels: "
                f"{read.anchors} anchors a cell; {words}",
            ),
        )


def _one_each(read: Levels) -> tuple[Level, ...]:
    """Return the outputs, one a stride and alike; none if it is not so."""
    if any(len(entries) != 1 for entries in read.strides.values()):
        return ()
    flat = tuple(entries[0] for entries in read.strides.values())
    return flat if len({level.count for level in flat}) == 1 else ()


def _of_one_layer(level: Level, facts: GraphFacts, maps: Mapping[str, int]) -> bool:
    """Whether one layer at the level's own stride makes all of its channels and nothing else."""
    assert facts.tail is not None
    if level.channels is None:
        return False
    every = set(level.channels.heads)
    if len(every) != 1 or len(level.channels.heads[0]) != 1:
        return False
    (head,) = level.channels.heads[0]
    wide = facts.tail.heads[head][1]
    return maps.get(head) == level.stride and wide == level.anchors * level.count


def _codes(level: Level) -> tuple[bool, tuple[BoxCode, ...], str] | None:
    """Return whether sigmoids are applied, and the codes that this leaves open."""
    kinds = level.kinds
    if set(kinds) == {"linear"}:
        both: tuple[BoxCode, ...] = ("anchor-square", "anchor-exp")
        return False, both, "they are its plain values: a sigmoid is still to be applied"
    if set(kinds) == {"sigmoid"}:
        return True, ("anchor-square",), "they are 0.50 at rest: sigmoid applied"
    if set(kinds[2:4]) == {"linear"} and {*kinds[:2], *kinds[4:]} == {"sigmoid"}:
        return True, ("anchor-exp",), "all but log sizes are 0.50 at rest: sigmoid applied"
    return None


def _fit(anchors: Anchors, read: Levels) -> bool:
    return [len(row) for row in anchors] == [read.anchors] * len(read.strides)


def _as_told(read: Levels, entries: Sequence[Level]) -> _Raw:
    activated = bool(entries[0].kinds) and set(entries[0].kinds) == {"sigmoid"}
    return _Raw(
        tensors=_tensors(entries),
        strides=tuple(read.strides),
        anchors=read.anchors,
        count=entries[0].count,
        activated=activated,
        codes=(),
        evidence=("family yolov5: as told",),
    )


def _tensors(entries: Sequence[Level]) -> tuple[OutputTensor, ...]:
    return tuple(
        OutputTensor(
            name=level.output,
            holds=("boxes", "objectness", "scores"),
            axes=level.axes,
            stride=level.stride,
        )
        for level in entries
    )


def _reading(
    defaults: DetectorSpec,
    facts: GraphFacts,
    raw: _Raw,
    anchors: Anchors,
    code: BoxCode,
    *,
    words: str,
    choice: Mapping[str, Any] | None = None,
) -> Reading:
    known = defaults.replace(
        code=code,
        strides=raw.strides,
        anchors=anchors,
        activations="none" if raw.activated else "sigmoid",
    )
    assumed = {"anchors": f"anchors {anchor_words(anchors)}", "code": f"code {code}"}
    if not raw.activated:
        assumed["activations"] = "a sigmoid still to be applied to objectness and scores"
    return dense_reading(
        known,
        facts,
        OutputSpec(tensors=raw.tensors),
        source=_SOURCE,
        classes=numbered_classes(raw.count - 5),
        confidence=0.5,
        evidence=(*raw.evidence, words),
        assumed=assumed,
        choice=choice,
    )
