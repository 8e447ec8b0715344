"""YOLOv8, YOLO11 and what is exported like them: one tensor, decoded boxes and class scores.

[1, 4 + classes, N]: no objectness; a box's score is its class's. Preprocessing follows
Ultralytics' exporter: RGB, 0..1, centred letterbox padded with 114.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from edgecv_cli.core.errors import UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.decoding import DenseDecoder
from edgecv_cli.detector.heads.base import Decoder, Reading, dense_reading, numbered_classes
from edgecv_cli.detector.heads.relatives import refuse_relative
from edgecv_cli.detector.heads.views import GridView, grid_views
from edgecv_cli.detector.probing import Channels, grid_boxes
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec
from edgecv_cli.graph.facts import GraphFacts

_SOURCE = "the usual YOLOv8 export"


class YoloV8:
    """The YOLOv8 family."""

    family: ClassVar[str] = "yolov8"
    defaults: ClassVar[DetectorSpec] = DetectorSpec(
        family="yolov8",
        input=InputSpec(size=(640, 640), color="rgb", scale=255.0, resize="letterbox", pad=114),
        outputs=OutputSpec(),
        classes=("object",),
        boxes="cxcywh",
        strides=(8, 16, 32),
    )

    def recognise(self, facts: GraphFacts) -> Sequence[Reading]:
        """Return the readings as decoded boxes followed by class scores.

        Raises:
            UnrecognisedError: there are masks, key points or angles besides.
        """
        readings = (self._read(view, facts) for view in grid_views(facts))
        return [reading for reading in readings if reading is not None]

    def assume(self, facts: GraphFacts, told: Mapping[str, Any]) -> Reading:  # noqa: ARG002
        """Take the first output whose candidates number the cells of the usual strides."""
        for view in grid_views(facts):
            if view.count >= 5:
                known = self.defaults.replace(strides=view.strides)
                evidence = ["family yolov8: as told"]
                return self._reading(view, facts, known, confidence=0.5, evidence=evidence)
        raise UnrecognisedError(
            "no output has the shape [1,4+classes,N] of family yolov8",
            remedy="give another `family` in --spec",
        )

    def decoder(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
        """Return a decoder of one tensor of boxes and scores."""
        return DenseDecoder(spec, outputs)

    def _read(self, view: GridView, facts: GraphFacts) -> Reading | None:
        assert facts.input_size is not None
        channels = view.channels
        if channels is None or view.count < 5:
            return None
        boxes = grid_boxes(channels.rest[:4], view.strides, facts.input_size)
        if boxes is None:
            return None
        kinds = channels.kinds()[4:]
        scores = kinds[0]
        classes = next((i for i, kind in enumerate(kinds) if kind != scores), len(kinds))
        if scores == "other":
            return None
        if classes < len(kinds):
            refuse_relative(view, facts, classes)
            return None
        if has_objectness(channels):
            return None
        evidence = [view.shape_evidence(facts.input_size), boxes.evidence(facts.input_size)]
        evidence.append(_score_evidence(channels, classes, applied=scores == "sigmoid"))
        apart = not channels.heads_of(0, 4) & channels.heads_of(4)
        evidence.append(
            "boxes and scores come from different layers and no channel stands apart: no objectness"
            if apart
            else "boxes and scores share their last layers"
        )
        certain = apart or classes == 1
        confidence = (0.99 if certain else 0.6) - (0.0 if scores == "sigmoid" else 0.2)
        known = self.defaults.replace(
            boxes=boxes.layout,
            normalized=boxes.normalized,
            strides=boxes.strides,
            activations="none" if scores == "sigmoid" else "sigmoid",
        )
        return self._reading(view, facts, known, confidence=confidence, evidence=evidence)

    def _reading(
        self,
        view: GridView,
        facts: GraphFacts,
        known: DetectorSpec,
        *,
        confidence: float,
        evidence: list[str],
    ) -> Reading:
        left = "a sigmoid still to be applied to the scores"
        return dense_reading(
            known,
            facts,
            OutputSpec.joint(view.output, ("boxes", "scores"), channels_last=view.channels_last),
            source=_SOURCE,
            classes=numbered_classes(view.count - 4),
            confidence=confidence,
            evidence=evidence,
            assumed={"activations": left} if known.activations != "none" else None,
        )


def has_objectness(channels: Channels) -> bool:
    """Whether channel 4 comes from layers of its own, apart from those of the channels after."""
    if channels.count < 6:
        return False
    first, others = channels.heads_of(4, 5), channels.heads_of(5)
    return bool(first) and bool(others) and not first & others


def _score_evidence(channels: Channels, classes: int, *, applied: bool) -> str:
    rest, high, low = (part[4:].mean() for part in (channels.rest, channels.high, channels.low))
    verdict = "sigmoid applied" if applied else "scores are logits"
    return (
        f"{classes} score channels read {rest:.2f} at rest, {high:.3f} with all heads at +8 and "
        f"{low:.4f} at -8: {verdict}"
    )
