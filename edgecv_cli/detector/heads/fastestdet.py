"""FastestDet: one map of objectness, box and class chances at stride 16.

[1, 5 + classes, h, w]: objectness after sigmoid, raw tx, ty, tw, th, class chances after
softmax; a cell has one class, its best. Decoding and preprocessing follow dog-qiuqiu's
implementation: centre = (cell + tanh(t)) x stride, size = sigmoid(t) x input, score =
objectness ** 0.6 x class ** 0.4; BGR, 0..1, stretched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.errors import UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.decoding import DenseDecoder
from edgecv_cli.detector.heads.base import Decoder, Reading, dense_reading, numbered_classes
from edgecv_cli.detector.heads.levels import Level, levels
from edgecv_cli.detector.probing import Channels
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec, OutputTensor
from edgecv_cli.graph.facts import GraphFacts

_SOURCE = "the FastestDet reference implementation"
_BOX = ("linear",) * 4


class FastestDet:
    """The FastestDet family."""

    family: ClassVar[str] = "fastestdet"
    defaults: ClassVar[DetectorSpec] = DetectorSpec(
        family="fastestdet",
        input=InputSpec(size=(352, 352), color="bgr", scale=255.0, resize="stretch"),
        outputs=OutputSpec(),
        classes=("object",),
        boxes="cxcywh",
        code="tanh-sigmoid",
        strides=(16,),
        powers=(0.6, 0.4),
        # the powers lift every score: best F1 on COCO; the reference takes 0.65 and this NMS
        score_threshold=0.55,
        nms_iou=0.45,
    )

    def recognise(self, facts: GraphFacts) -> Sequence[Reading]:
        """Return the readings as one map of objectness, box and class chances."""
        return [
            self._reading(level, facts, confidence=0.97, evidence=_evidence(level, facts))
            for level in _single(facts)
            if level.channels is not None and _is_fastestdet(level, level.channels)
        ][:1]

    def assume(self, facts: GraphFacts, told: Mapping[str, Any]) -> Reading:  # noqa: ARG002
        """Take the one output as a map of objectness, box and class chances."""
        for level in _single(facts):
            evidence = ("family fastestdet: as told",)
            return self._reading(level, facts, confidence=0.5, evidence=evidence)
        raise UnrecognisedError(
            "no single output has the shape [1,5+classes,h,w] of family fastestdet",
            remedy="give another `family` in --spec",
        )

    def decoder(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
        """Return a decoder of one map, which gives every cell its best class alone."""
        return _BestClass(spec, outputs)

    def _reading(
        self, level: Level, facts: GraphFacts, *, confidence: float, evidence: Sequence[str]
    ) -> Reading:
        tensor = OutputTensor(
            name=level.output,
            holds=("objectness", "boxes", "scores"),
            axes=level.axes,
            stride=level.stride,
        )
        return dense_reading(
            self.defaults.replace(strides=(level.stride,)),
            facts,
            OutputSpec(tensors=(tensor,)),
            source=_SOURCE,
            classes=numbered_classes(level.count - 5),
            confidence=confidence,
            evidence=evidence,
            assumed={
                "boxes": f"centre = (cell + tanh) x stride, size = sigmoid x input ({_SOURCE})",
                "powers": f"a score is objectness ^ 0.6 x class ^ 0.4 ({_SOURCE})",
            },
        )


class _BestClass(DenseDecoder):
    """Decodes one class a cell: a softmax makes classes compete, and the reference reads one."""

    def candidates(
        self,
        outputs: Mapping[str, NDArray[Any]],
        *,
        threshold: float,
        multi_label: bool,  # noqa: ARG002
        limit: int,
    ) -> list[Detections]:
        """See :class:`edgecv_cli.detector.heads.base.Decoder`; ``multi_label`` changes nothing."""
        return super().candidates(outputs, threshold=threshold, multi_label=False, limit=limit)


def _single(facts: GraphFacts) -> Iterator[Level]:
    """Yield the only output, with the axes that fit."""
    for read in levels(facts):
        entries = [level for found in read.strides.values() for level in found]
        if len(entries) == 1 and not read.others and entries[0].count >= 6:
            yield entries[0]


def _is_fastestdet(level: Level, channels: Channels) -> bool:
    kinds = level.kinds
    apart = not channels.heads_of(0, 1) & channels.heads_of(1)
    return kinds[0] == "sigmoid" and kinds[1:5] == _BOX and apart and _softmax(channels)


def _softmax(channels: Channels) -> bool:
    """Whether the channels after the box share 1 whatever all of them say together."""
    even = 1 / (channels.count - 5)
    parts = (channels.rest[5:], channels.high[5:], channels.low[5:])
    return all(np.abs(part - even).max() < min(0.01, even / 4) for part in parts)


def _evidence(level: Level, facts: GraphFacts) -> tuple[str, ...]:
    assert facts.input_size is not None
    assert level.channels is not None
    size, channels = facts.input_size, level.channels
    rest, high, low = (part[0].mean() for part in (channels.rest, channels.high, channels.low))
    classes = level.count - 5
    return (
        f"output {level.words()} is the only one: the cells of stride {level.stride} at "
        f"{size[0]}x{size[1]}",
        f"channel 0 reads {rest:.2f} at rest, {high:.3f} with all heads at +8 and {low:.4f} at -8, "
        "from layers of its own: objectness, sigmoid applied",
        "channels 1 to 4 are their layers' plain values: a raw box",
        f"the {classes} after read {channels.rest[5:].mean():.4f}, that is 1/{classes} whatever "
        "all of them say: class chances, softmax applied",
    )
