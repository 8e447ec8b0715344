"""YOLOv6-lite, and YOLOv6 exported like it: scores and plain distances for every stride.

For each of strides 8/16/32 and mostly 64 one output [1, classes + 4, h, w], distances in
strides from a cell's middle. The exporter's other layout is one tensor [1, N, 5 + classes] of
decoded centres and sizes, an objectness that is always 1, and scores; with strides 8/16/32 alone
that is the larger YOLOv6, which ``yolov5.py`` reads. Decoding and preprocessing follow Meituan's
implementation (Li et al. 2022): RGB, 0..1, centred letterbox padded with 114.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.decoding import DenseDecoder
from edgecv_cli.detector.heads.base import Decoder, Reading, dense_reading, numbered_classes
from edgecv_cli.detector.heads.distance_readings import assumed_distances, distance_reading
from edgecv_cli.detector.heads.distances import Distances, find_distances
from edgecv_cli.detector.heads.views import GridView, grid_views
from edgecv_cli.detector.probing import Channels, grid_boxes
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec, Role
from edgecv_cli.graph.facts import GraphFacts

_SOURCE = "the YOLOv6 reference implementation"
_STRIDES = ((8, 16, 32, 64), (8, 16, 32))


class YoloV6Lite:
    """The YOLOv6-lite family."""

    family: ClassVar[str] = "yolov6-lite"
    defaults: ClassVar[DetectorSpec] = DetectorSpec(
        family="yolov6-lite",
        input=InputSpec(size=(320, 320), color="rgb", scale=255.0, resize="letterbox", pad=114),
        outputs=OutputSpec(),
        classes=("object",),
        boxes="ltrb",
        code="distance",
        strides=_STRIDES[0],
        cell_offset=0.5,
        score_threshold=0.35,  # best F1 on COCO; the reference draws from 0.4
    )

    def recognise(self, facts: GraphFacts) -> Sequence[Reading]:
        """Return the readings as scores and plain distances, or decoded beside a constant 1."""
        why = "one output a stride, with distances that are no distributions: YOLOv6-lite"
        raw = [
            distance_reading(self.defaults, facts, found, source=_SOURCE, why=why)
            for found in find_distances(facts, (1,))
            if _is_lite(found)
        ]
        decoded = (self._decoded(view, facts) for view in grid_views(facts))
        return raw or [reading for reading in decoded if reading is not None]

    def assume(self, facts: GraphFacts, told: Mapping[str, Any]) -> Reading:
        """Take the outputs whose channels are classes and four distances."""
        return assumed_distances(self.defaults, facts, told, source=_SOURCE)

    def decoder(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
        """Return a decoder of scores and distances."""
        return DenseDecoder(spec, outputs)

    def _decoded(self, view: GridView, facts: GraphFacts) -> Reading | None:
        channels = view.channels
        if channels is None or facts.input_size is None or view.strides != _STRIDES[0]:
            return None
        if channels.count < 6 or not _constant_one(channels, 4):
            return None
        boxes = grid_boxes(channels.rest[:4], view.strides, facts.input_size)
        if boxes is None or set(channels.kinds()[5:]) != {"sigmoid"}:
            return None
        holds: tuple[Role, ...] = ("boxes", "skip", "scores")
        classes = channels.count - 5
        return dense_reading(
            self.defaults.replace(
                boxes=boxes.layout,
                normalized=boxes.normalized,
                code="none",
                strides=boxes.strides,
                cell_offset=0.0,
            ),
            facts,
            OutputSpec.joint(view.output, holds, channels_last=view.channels_last),
            source=_SOURCE,
            classes=numbered_classes(classes),
            confidence=0.95,
            evidence=(
                view.shape_evidence(facts.input_size),
                boxes.evidence(facts.input_size),
                f"channel 4 is 1 whatever the layers say, and {classes} sigmoid scores follow: an "
                "objectness that YOLOv6 lacks and its exporter fills in",
            ),
        )


def _is_lite(found: Distances) -> bool:
    """Whether scores and distances lie as YOLOv6-lite's do.

    Scores may come second only from layers of their own: what one layer says of a cell is, with
    the box first, YOLOX's box, objectness and scores.
    """
    known = tuple(sorted(found.strides)) in _STRIDES and found.per_stride == 1
    return known and (found.scores_first or not found.shared)


def _constant_one(channels: Channels, index: int) -> bool:
    parts = (channels.rest, channels.high, channels.low)
    same = all(np.abs(part[index] - 1).max() < 1e-3 for part in parts)
    return same and not channels.heads[index]
