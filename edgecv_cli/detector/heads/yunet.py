"""YuNet: faces by class, objectness, box and key points, four outputs for every stride.

[1, n, 1] twice, [1, n, 4] and [1, n, 10]; a score is the root of class x objectness, so which of
the two is which changes nothing. Decoding and preprocessing follow OpenCV's FaceDetectorYN:
centre = (offset + cell) x stride, size = exp x stride; BGR 0..255 as it is, padded with black at
the bottom and right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from edgecv_cli.core.errors import UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.decoding import DenseDecoder
from edgecv_cli.detector.heads.base import Decoder, Reading, dense_reading
from edgecv_cli.detector.heads.levels import PLAIN, Level, Levels, levels
from edgecv_cli.detector.spec import Activation, DetectorSpec, InputSpec, OutputSpec, OutputTensor
from edgecv_cli.graph.facts import GraphFacts

_SOURCE = "OpenCV's FaceDetectorYN"
_POINTS = 10


class YuNet:
    """The YuNet family."""

    family: ClassVar[str] = "yunet"
    defaults: ClassVar[DetectorSpec] = DetectorSpec(
        family="yunet",
        input=InputSpec(size=(640, 640), color="bgr", resize="letterbox-topleft", pad=0),
        outputs=OutputSpec(),
        classes=("face",),
        boxes="cxcywh",
        code="grid",
        strides=(8, 16, 32),
        powers=(0.5, 0.5),
        score_threshold=0.5,
        nms_iou=0.3,
    )

    def recognise(self, facts: GraphFacts) -> Sequence[Reading]:
        """Return the reading as four outputs a stride."""
        if facts.tail is None or facts.input_size is None:
            return []
        for read in levels(facts, PLAIN):
            found = _tensors(read)
            kinds = {kind for part in read.strides.values() for kind in _score_kinds(part)}
            if not found or kinds not in ({"sigmoid"}, {"linear"}) or not _plain_boxes(read):
                continue
            left: Activation = "none" if kinds == {"sigmoid"} else "sigmoid"
            seen = (
                "0.50 at rest, sigmoid applied" if left == "none" else "their layers' plain values"
            )
            evidence = (
                read.words(facts.input_size),
                "of each stride two have one channel, boxes are their layers' plain values and "
                f"{_POINTS} channels of key points are not read; the single channels are {seen}",
                "they are class and objectness, whose product makes the score: which is which "
                "changes nothing",
            )
            return [self._reading(facts, found, left, 0.99 if left == "none" else 0.8, evidence)]
        return []

    def assume(self, facts: GraphFacts, told: Mapping[str, Any]) -> Reading:  # noqa: ARG002
        """Take four outputs a stride by their shapes."""
        for read in levels(facts, PLAIN):
            found = _tensors(read)
            if found:
                evidence = ("family yunet: as told",)
                return self._reading(facts, found, "none", 0.5, evidence)
        raise UnrecognisedError(
            "no strides have outputs [1,n,1], [1,n,1], [1,n,4] and [1,n,10] of family yunet",
            remedy="give another `family` in --spec",
        )

    def decoder(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
        """Return a decoder that looks at one of the two chances first."""
        return DenseDecoder(spec, outputs)

    def _reading(
        self,
        facts: GraphFacts,
        tensors: Sequence[OutputTensor],
        activations: Activation,
        confidence: float,
        evidence: Sequence[str],
    ) -> Reading:
        rule = "centre = (offset + cell) x stride, size = exp x stride"
        assumed = {
            "boxes": f"{rule} ({_SOURCE})",
            "powers": f"a score is the root of class x objectness ({_SOURCE})",
        }
        if activations != "none":
            assumed["activations"] = "a sigmoid still to be applied to class and objectness"
        strides = tuple(dict.fromkeys(tensor.stride for tensor in tensors if tensor.stride))
        return dense_reading(
            self.defaults.replace(strides=strides, activations=activations),
            facts,
            OutputSpec(tensors=tuple(tensors)),
            source=_SOURCE,
            classes=(("face",), {"classes": f"class name face ({_SOURCE})"}),
            confidence=confidence,
            evidence=evidence,
            assumed=assumed,
        )


def _tensors(read: Levels) -> list[OutputTensor]:
    """Return what the outputs hold; nothing unless each stride has the four."""
    if read.others or len(read.strides) < 2:
        return []
    return (
        [tensor for entries in read.strides.values() for tensor in _roles(entries)]
        if all(
            sorted(level.count for level in entries) == [1, 1, 4, _POINTS]
            for entries in read.strides.values()
        )
        else []
    )


def _roles(entries: Sequence[Level]) -> Iterator[OutputTensor]:
    """Yield boxes, then the first single channel as the scores and the second as objectness."""
    boxes = next(level for level in entries if level.count == 4)
    scores, found = (level for level in entries if level.count == 1)
    for level, role in ((boxes, "boxes"), (scores, "scores"), (found, "objectness")):
        yield OutputTensor(name=level.output, holds=(role,), axes=level.axes, stride=level.stride)


def _score_kinds(entries: Sequence[Level]) -> Iterator[str]:
    yield from (kind for level in entries if level.count == 1 for kind in level.kinds)


def _plain_boxes(read: Levels) -> bool:
    """Whether boxes and key points are what their own layers say."""
    wide = [level for entries in read.strides.values() for level in entries if level.count > 1]
    return all(set(level.kinds) == {"linear"} for level in wide)
