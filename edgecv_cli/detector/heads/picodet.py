"""PicoDet: scores and distributions of distances, two outputs for each of strides 8 to 64.

Scores [1, n, classes] and distances [1, n, 4 x bins], as PaddleDetection exports them without
post-processing; without NMS alone it leaves decoded corners [1, N, 4] and scores
[1, classes, N]. Decoding and preprocessing follow PaddleDetection (Yu et al. 2021): a cell's
centre is its middle; RGB, ImageNet's mean and deviation on 0..1, stretched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.decoding import DenseDecoder
from edgecv_cli.detector.heads.base import (
    Decoder,
    Reading,
    dense_reading,
    numbered_classes,
)
from edgecv_cli.detector.heads.distance_readings import assumed_distances, distance_reading
from edgecv_cli.detector.heads.distances import find_distances
from edgecv_cli.detector.heads.views import GridView, grid_views
from edgecv_cli.detector.probing import GridBoxes, grid_boxes
from edgecv_cli.detector.spec import DetectorSpec, Fed, InputSpec, OutputSpec, OutputTensor
from edgecv_cli.graph.facts import GraphFacts

_SOURCE = "PaddleDetection"
_STRIDES = (8, 16, 32, 64)
_BINS = (8,)
_EXTENT = 7.0  # cells from side to side at rest: twice the mean of bins 0..7


class PicoDet:
    """The PicoDet family."""

    family: ClassVar[str] = "picodet"
    defaults: ClassVar[DetectorSpec] = DetectorSpec(
        family="picodet",
        input=InputSpec(
            size=(320, 320),
            color="rgb",
            scale=255.0,
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            resize="stretch",
        ),
        outputs=OutputSpec(),
        classes=("object",),
        boxes="ltrb",
        code="distance",
        strides=_STRIDES,
        cell_offset=0.5,
        reg_max=8,
        score_threshold=0.4,  # as NanoDet, whose loss on quality it shares
    )

    def recognise(self, facts: GraphFacts) -> Sequence[Reading]:
        """Return the readings as scores beside distributions, or beside decoded corners."""
        why = "two outputs for each of four strides: PicoDet without post-processing"
        known = self.defaults.replace(extra_inputs=_second_inputs(facts))
        raw = [
            distance_reading(known, facts, found, source=_SOURCE, why=why)
            for found in find_distances(facts, _BINS)
            if found.strides == _STRIDES and found.per_stride == 2
        ]
        return raw or [
            self._decoded(boxes, scores, facts, layout)
            for boxes, scores, layout in _decoded_pairs(facts)
        ]

    def assume(self, facts: GraphFacts, told: Mapping[str, Any]) -> Reading:
        """Take the outputs whose channels are classes and distances of `reg_max` bins a side."""
        known = self.defaults.replace(extra_inputs=_second_inputs(facts))
        return assumed_distances(known, facts, told, source=_SOURCE)

    def decoder(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
        """Return a decoder of scores and distances."""
        return DenseDecoder(spec, outputs)

    def _decoded(
        self, boxes: GridView, scores: GridView, facts: GraphFacts, layout: GridBoxes
    ) -> Reading:
        assert facts.input_size is not None
        tensors = (
            OutputTensor(name=boxes.output, holds=("boxes",), axes="b,n,c"),
            OutputTensor(name=scores.output, holds=("scores",), axes="b,c,n"),
        )
        return dense_reading(
            self.defaults.replace(
                boxes="xyxy",
                code="none",
                strides=layout.strides,
                reg_max=0,
                cell_offset=0.0,
                extra_inputs=_second_inputs(facts),
            ),
            facts,
            OutputSpec(tensors=tensors),
            source=_SOURCE,
            classes=numbered_classes(scores.count),
            confidence=0.9,
            evidence=(
                boxes.shape_evidence(facts.input_size),
                layout.evidence(facts.input_size),
                f"output '{scores.output}' holds {scores.count} scores of each, sigmoid applied, "
                "the other way round: PicoDet without NMS",
            ),
        )


def _second_inputs(facts: GraphFacts) -> dict[str, Fed]:
    """Feed PaddleDetection's image shape and scale factors with ones: boxes stay in the input."""
    return {tensor.name: "ones" for tensor in facts.inputs if tensor.shape[1:] == (2,)}


def _decoded_pairs(facts: GraphFacts) -> Iterator[tuple[GridView, GridView, GridBoxes]]:
    """Yield corners of strides 8 to 64 as their distributions leave them, and their scores."""
    if facts.input_size is None or len(facts.outputs) != 2:
        return
    views = [view for view in grid_views(facts) if view.strides == _STRIDES and view.channels]
    for boxes in views:
        if boxes.channels is None or not boxes.channels_last or boxes.count != 4:
            continue
        layout = grid_boxes(boxes.channels.rest, boxes.strides, facts.input_size)
        if layout is None or layout.extent is None or abs(layout.extent - _EXTENT) > 0.01:
            continue
        if (layout.layout, layout.normalized) != ("xyxy", False):
            continue
        for scores in views:
            same = scores.output == boxes.output or scores.channels_last
            if not same and scores.channels and set(scores.channels.kinds()) == {"sigmoid"}:
                yield boxes, scores, layout
