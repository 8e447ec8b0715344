"""Yolo-FastestV2: three anchors of a cell share one row of class scores.

A tensor a stride (16 and 32), [h, w, 5 anchors' worth + classes] with or without a batch axis,
holds four sigmoids of a box for every anchor, their objectness, then a softmax over the classes;
or three tensors hold them apart. A box's score is objectness x class. Decoding and preprocessing
follow dog-qiuqiu's implementation: centre = (2 s - 0.5 + cell) x stride, size = (2 s)^2 x anchor;
BGR 0..1, stretched. Anchors are not in the graph: those of its ``coco.data`` are assumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from edgecv_cli.core.errors import ConfigError, UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.anchors import ANCHOR_PRESETS, anchor_words, read_anchors
from edgecv_cli.detector.heads.base import Decoder, Reading, dense_reading, numbered_classes
from edgecv_cli.detector.heads.levels import PLAIN, Level, Levels, levels
from edgecv_cli.detector.heads.scores import applied_activation
from edgecv_cli.detector.shared_scores import SharedScoresDecoder
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec, OutputTensor, Role
from edgecv_cli.graph.facts import GraphFacts

_SOURCE = "the Yolo-FastestV2 reference implementation"
_PARTS: tuple[Role, ...] = ("boxes", "objectness", "scores")


@dataclass(frozen=True)
class _Found:
    """What the outputs of all strides hold."""

    tensors: tuple[OutputTensor, ...]
    strides: tuple[int, ...]
    anchors: int
    classes: int
    activated: bool
    evidence: tuple[str, ...]


class YoloFastestV2:
    """The Yolo-FastestV2 family."""

    family: ClassVar[str] = "yolo-fastestv2"
    defaults: ClassVar[DetectorSpec] = DetectorSpec(
        family="yolo-fastestv2",
        input=InputSpec(size=(352, 352), color="bgr", scale=255.0, resize="stretch"),
        outputs=OutputSpec(),
        classes=("object",),
        boxes="cxcywh",
        code="anchor-square",
        strides=(16, 32),
        anchors=ANCHOR_PRESETS["yolo-fastestv2"],
    )

    def recognise(self, facts: GraphFacts) -> Sequence[Reading]:
        """Return the reading as boxes and objectness of three anchors beside shared scores."""
        found = next(_found(facts), None)
        shape = [len(row) for row in self.defaults.anchors]
        if found is None or [found.anchors] * len(found.strides) != shape:
            return []
        return [self._reading(found, self.defaults, facts, 0.95)]

    def assume(self, facts: GraphFacts, told: Mapping[str, Any]) -> Reading:
        """Take one output a stride; the anchors that are told say how many channels are boxes'."""
        for read in levels(facts, PLAIN):
            try:
                anchors = read_anchors(told.get("anchors", self.family), len(read.strides))
            except ValueError as error:
                raise ConfigError(
                    f"detector spec, anchors: {error}",
                    remedy="give one row of [width, height] pairs per stride",
                ) from error
            many = len(anchors[0]) if anchors else 0
            found = _told(read, many)
            if found is not None and [many] * len(found.strides) == [len(row) for row in anchors]:
                known = self.defaults.replace(anchors=anchors, strides=found.strides)
                return self._reading(found, known, facts, 0.5)
        raise UnrecognisedError(
            "no output a stride has the 5 x anchors + classes channels of family yolo-fastestv2",
            remedy="give `anchors`, or another `family` in --spec",
        )

    def decoder(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
        """Return a decoder of anchors that share their scores."""
        return SharedScoresDecoder(spec, outputs)

    def _reading(
        self, found: _Found, known: DetectorSpec, facts: GraphFacts, confidence: float
    ) -> Reading:
        assumed = {"anchors": f"anchors {anchor_words(known.anchors)} ({_SOURCE})"}
        if not found.activated:
            assumed["activations"] = (
                "a sigmoid still to be applied to boxes and objectness, a softmax to the scores"
            )
        known = known.replace(
            strides=found.strides, activations="none" if found.activated else "softmax"
        )
        return dense_reading(
            known,
            facts,
            OutputSpec(tensors=found.tensors),
            source=_SOURCE,
            classes=numbered_classes(found.classes),
            confidence=confidence,
            evidence=found.evidence,
            assumed=assumed,
        )


def _found(facts: GraphFacts) -> Iterator[_Found]:
    if facts.tail is None or facts.input_size is None:
        return
    for read in levels(facts, PLAIN):
        parts = [_split(entries) for entries in read.strides.values()]
        first = parts[0]
        if read.others or len(parts) < 2 or first is None:
            continue
        if any(part is None or part[1:] != first[1:] for part in parts):
            continue
        _, anchors, classes, activated = first
        words = (
            "boxes and objectness read 0.50 at rest and scores "
            f"1/{classes} whatever the heads say: sigmoid and softmax applied"
            if activated
            else "all are their layers' plain values"
        )
        yield _Found(
            tensors=tuple(tensor for part in parts if part for tensor in part[0]),
            strides=tuple(read.strides),
            anchors=anchors,
            classes=classes,
            activated=activated,
            evidence=(
                read.words(facts.input_size),
                f"three layers a stride say {4 * anchors} channels of boxes, {anchors} of "
                f"objectness and {classes} of scores: {anchors} anchors a cell share the scores; "
                f"{words}",
            ),
        )


_Split = tuple[tuple[OutputTensor, ...], int, int, bool]


def _split(entries: Sequence[Level]) -> _Split | None:
    """Return one stride's tensors, its anchors and classes, and what is applied."""
    if len(entries) == 1:
        return _joint(entries[0])
    return _apart(entries) if len(entries) == 3 else None


def _joint(level: Level) -> _Split | None:
    """Split a tensor by which layer says which channels, and hold it against what they do."""
    channels, runs = level.channels, level.runs
    if channels is None or not runs or runs[0][0] != "sigmoid" or runs[0][1] % 5:
        return None
    anchors, classes = runs[0][1] // 5, level.count - runs[0][1]
    bounds = (0, 4 * anchors, 5 * anchors, level.count)
    heads = [channels.heads_of(*pair) for pair in pairwise(bounds)]
    # a softmax over one class is a constant: no layer moves it
    single = [len(head) == 1 for head in heads[:2]]
    told_apart = heads[0] != heads[1] and heads[2].isdisjoint(heads[0] | heads[1])
    if classes < 1 or not all(single) or not told_apart:
        return None
    if applied_activation(channels, 5 * anchors) not in {"softmax", "constant"}:
        return None
    return (_tensor(level, _PARTS),), anchors, classes, True


def _apart(entries: Sequence[Level]) -> _Split | None:
    """Tell boxes, objectness and scores apart: four times as many boxes as objectness."""
    for boxes in entries:
        for found in entries:
            rest = [level for level in entries if level not in (boxes, found)]
            if len(rest) != 1 or boxes.count != 4 * found.count or found.count < 2:
                continue
            kinds = {*boxes.kinds, *found.kinds}
            scores = rest[0].channels
            applied = None if scores is None else applied_activation(scores)
            activated = kinds == {"sigmoid"} and applied in {"softmax", "constant"}
            if activated or (kinds == {"linear"} and applied == "linear"):
                ordered = zip((boxes, found, rest[0]), _PARTS, strict=True)
                tensors = tuple(_tensor(level, (role,)) for level, role in ordered)
                return tensors, found.count, rest[0].count, activated
    return None


def _told(read: Levels, many: int) -> _Found | None:
    """Return what has the shapes of so many anchors that share their scores."""
    tensors: list[OutputTensor] = []
    classes = set()
    for entries in read.strides.values():
        if len(entries) == 1 and entries[0].count > 5 * many:
            tensors.append(_tensor(entries[0], _PARTS))
            classes.add(entries[0].count - 5 * many)
            continue
        parts = _in_order(entries, (4 * many, many))
        if len(parts) != 3:
            return None
        tensors += [_tensor(part, (role,)) for part, role in zip(parts, _PARTS, strict=True)]
        classes.add(parts[2].count)
    if len(classes) != 1 or many < 1:
        return None
    evidence = ("family yolo-fastestv2: as told",)
    return _Found(tuple(tensors), tuple(read.strides), many, classes.pop(), True, evidence)


def _in_order(entries: Sequence[Level], counts: Sequence[int]) -> list[Level]:
    """Return the first output of every number of channels, then all others."""
    left, chosen = list(entries), []
    for count in counts:
        level = next((level for level in left if level.count == count), None)
        if level is None:
            return []
        left.remove(level)
        chosen.append(level)
    return chosen + left


def _tensor(level: Level, holds: tuple[Role, ...]) -> OutputTensor:
    return OutputTensor(name=level.output, holds=holds, axes=level.axes, stride=level.stride)
