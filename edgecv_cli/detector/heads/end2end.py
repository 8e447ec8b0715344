"""Networks that select boxes themselves, by NMS or by the best of a transformer's queries.

Tables of box, score and label in one output, or boxes, scores and labels in outputs of their
own: Ultralytics' ``nms=True``, YOLOv10 and YOLO26, YOLOv7's ``--end2end``, PaddleDetection,
mmdeploy, torchvision, TensorFlow's Object Detection API, TensorRT's NMS plugins, RT-DETR.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from edgecv_cli.core.errors import UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.heads.base import Decoder, Reading
from edgecv_cli.detector.heads.relatives import refuse_selected
from edgecv_cli.detector.heads.selections import (
    Selection,
    probed_selections,
    signed_selections,
    told_selections,
)
from edgecv_cli.detector.heads.sources import feeding_of, names_of, preprocessed
from edgecv_cli.detector.heads.views import input_spec, preprocessing_words
from edgecv_cli.detector.selection import SelectionDecoder
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec, OutputTensor
from edgecv_cli.graph.facts import GraphFacts


class EndToEnd:
    """Boxes selected inside the graph."""

    family: ClassVar[str] = "end2end"
    defaults: ClassVar[DetectorSpec] = DetectorSpec(
        family="end2end",
        input=InputSpec(size=(640, 640), color="rgb", scale=255.0, resize="letterbox", pad=114),
        outputs=OutputSpec(),
        classes=("object",),
        boxes="xyxy",
        # what the graph let pass does not overlap any more
        nms_iou=1.0,
    )

    def recognise(self, facts: GraphFacts) -> Sequence[Reading]:
        """Return the readings as selected boxes.

        Raises:
            UnrecognisedError: there are masks, key points or angles besides.
        """
        refuse_selected(facts)
        found = list(probed_selections(facts) if facts.tail else signed_selections(facts))
        return [
            _reading(selection, facts, confidence=0.95 if facts.tail else 0.7)
            for selection in found
        ]

    def assume(self, facts: GraphFacts, told: Mapping[str, Any]) -> Reading:
        """Take the outputs that the user names, or the first whose shapes fit."""
        for selection in told_selections(facts, told.get("outputs") or {}):
            return _reading(selection, facts, confidence=0.5)
        raise UnrecognisedError(
            "no outputs have the shapes [N,6] or [N,7], or [N,4], [N] and [N], of family end2end",
            remedy="give another `family` in --spec, or name the outputs: `outputs: {boxes: A, "
            "score: B, label: C}`",
        )

    def decoder(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
        """Return a decoder of selected rows."""
        return SelectionDecoder(spec, outputs)


def _reading(selection: Selection, facts: GraphFacts, *, confidence: float) -> Reading:
    names, background, words = names_of(selection)
    outputs = OutputSpec(
        tensors=tuple(
            OutputTensor(name=part.name, holds=part.holds, axes=part.axes)
            for part in selection.parts
        )
    )
    feeding = feeding_of(selection, facts)
    known, source = preprocessed(EndToEnd.defaults, selection, facts)
    image = input_spec(facts, known)
    spec = known.replace(
        input=image,
        outputs=outputs,
        classes=names,
        background=background,
        boxes=selection.corners.layout,
        normalized=selection.corners.normalized and not feeding.scaled,
        extra_inputs=feeding.fed,
    )
    assumed = {**preprocessing_words(image, source), **words, **feeding.assumed}
    if not selection.corners.seen:
        assumed["boxes"] = f"corners are {spec.boxes}, as such exports usually write them"
    asks = {} if selection.classes else {"classes": "how many classes there are can't be seen"}
    choice = {"family": "end2end", "outputs": selection.told()}
    evidence = (*selection.evidence, *feeding.seen)
    return Reading(spec, confidence, evidence, assumed, choice, asks)
