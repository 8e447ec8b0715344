"""YOLOX: one tensor of cell offsets and log sizes, objectness and class scores.

[1, N, 5 + classes]; a box's score is objectness x class. Decoding and preprocessing follow
Megvii's implementation (Ge et al. 2021): centre = (offset + cell) x stride, size = exp x stride;
BGR 0..255, letterbox at the top left padded with 114. Exports that decode in the graph are read
as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from edgecv_cli.core.errors import ModelError, UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.decoding import DenseDecoder
from edgecv_cli.detector.heads.base import Decoder, Reading, dense_reading, numbered_classes
from edgecv_cli.detector.heads.views import GridView, grid_views
from edgecv_cli.detector.heads.yolov8 import has_objectness
from edgecv_cli.detector.probing import Channels, grid_boxes
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec, Role
from edgecv_cli.graph.facts import GraphFacts

_SOURCE = "the YOLOX reference implementation"


class YoloX:
    """The YOLOX family."""

    family: ClassVar[str] = "yolox"
    defaults: ClassVar[DetectorSpec] = DetectorSpec(
        family="yolox",
        input=InputSpec(
            size=(640, 640), color="bgr", scale=1.0, resize="letterbox-topleft", pad=114
        ),
        outputs=OutputSpec(),
        classes=("object",),
        boxes="cxcywh",
        code="grid",
        strides=(8, 16, 32),
    )

    def recognise(self, facts: GraphFacts) -> Sequence[Reading]:
        """Return the readings as boxes, objectness and class scores."""
        readings = (self._read(view, facts) for view in grid_views(facts))
        return [reading for reading in readings if reading is not None]

    def assume(self, facts: GraphFacts, told: Mapping[str, Any]) -> Reading:  # noqa: ARG002
        """Take the first output whose candidates number the cells of the usual strides."""
        for view in grid_views(facts):
            if view.count >= 6:
                known = self.defaults.replace(strides=view.strides)
                evidence = ["family yolox: as told"]
                return self._reading(view, facts, known, confidence=0.5, evidence=evidence)
        raise UnrecognisedError(
            "no output has the shape [1,N,5+classes] of family yolox",
            remedy="give another `family` in --spec",
        )

    def decoder(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
        """Return a decoder of one tensor of boxes, objectness and scores."""
        if spec.activations == "softmax":
            raise ModelError(
                "family yolox knows no softmax", remedy="correct `activations` in --spec"
            )
        return DenseDecoder(spec, outputs)

    def _read(self, view: GridView, facts: GraphFacts) -> Reading | None:
        assert facts.input_size is not None
        channels = view.channels
        if channels is None or view.count < 6:
            return None
        scores = set(channels.kinds()[4:])
        if scores not in ({"sigmoid"}, {"linear"}):
            return None
        applied = scores == {"sigmoid"}
        apart = has_objectness(channels)
        coupled = bool(channels.heads_of(0, 4) & channels.heads_of(4))
        if not apart and not (coupled and applied):
            return None
        boxes = self._boxes(view, channels, facts.input_size)
        if boxes is None:
            return None
        known, words = boxes
        evidence = [view.shape_evidence(facts.input_size), words, _score_words(channels, applied)]
        evidence.append(
            "channel 4 comes from layers of its own: objectness"
            if apart
            else "boxes and scores share their last layers"
        )
        confidence = (0.99 if apart else 0.6) - (0.0 if applied else 0.1)
        known = known.replace(activations="none" if applied else "sigmoid")
        reading = self._reading(view, facts, known, confidence=confidence, evidence=evidence)
        if apart:
            return reading
        assumed = {**reading.assumed, "family": "channel 4 is objectness"}
        return Reading(reading.spec, confidence, tuple(evidence), assumed, reading.choice)

    def _boxes(
        self, view: GridView, channels: Channels, size: tuple[int, int]
    ) -> tuple[DetectorSpec, str] | None:
        if all(channels.kind(channel) == "linear" for channel in range(4)):
            order = view.level_order()
            words = (
                "the first four channels are their layers' plain values (0 at rest, 8 and -8 "
                f"with all heads there): raw boxes, levels in the order of strides "
                f"{'/'.join(str(stride) for stride in order)}"
            )
            return self.defaults.replace(strides=order), words
        boxes = grid_boxes(channels.rest[:4], view.strides, size)
        if boxes is None:
            return None
        known = self.defaults.replace(
            code="none",
            boxes=boxes.layout,
            normalized=boxes.normalized,
            strides=boxes.strides,
        )
        return known, boxes.evidence(size)

    def _reading(
        self,
        view: GridView,
        facts: GraphFacts,
        known: DetectorSpec,
        *,
        confidence: float,
        evidence: list[str],
    ) -> Reading:
        assumed = {}
        if known.code != "none":
            rule = "centre = (offset + cell) x stride, size = exp x stride"
            assumed["boxes"] = f"{rule} ({_SOURCE})"
        if known.activations != "none":
            assumed["activations"] = "a sigmoid still to be applied to objectness and scores"
        holds: tuple[Role, ...] = ("boxes", "objectness", "scores")
        return dense_reading(
            known,
            facts,
            OutputSpec.joint(view.output, holds, channels_last=view.channels_last),
            source=_SOURCE,
            classes=numbered_classes(view.count - 5),
            confidence=confidence,
            evidence=evidence,
            assumed=assumed,
        )


def _score_words(channels: Channels, applied: bool) -> str:
    rest, high, low = (part[4:].mean() for part in (channels.rest, channels.high, channels.low))
    verdict = "sigmoid applied" if applied else "logits"
    return (
        f"channels 4 to {channels.count - 1} read {rest:.2f} at rest, {high:.3f} with all heads "
        f"at +8 and {low:.4f} at -8: {verdict}"
    )
