"""NanoDet before NanoDet-Plus: class scores and distributions of distances at strides 8/16/32.

One tensor [1, N, classes + 4 x bins], or for every stride scores [1, n, classes] beside
distances [1, n, 4 x bins], as the exports for ncnn have them. Decoding and preprocessing follow
RangiLyu's implementation: a cell's centre is its middle; BGR, ImageNet's mean and deviation on
0..255, letterbox padded with black.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.decoding import DenseDecoder
from edgecv_cli.detector.heads.base import Decoder, Reading
from edgecv_cli.detector.heads.distance_readings import assumed_distances, distance_reading
from edgecv_cli.detector.heads.distances import find_distances
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec
from edgecv_cli.graph.facts import GraphFacts

BINS = (8, 11)
"""Bins a side in the published models: reg_max 7, and 10 in NanoDet-g and -EfficientNet."""

_SOURCE = "the NanoDet reference implementation"
_STRIDES = ((8, 16, 32), (16, 32))


class NanoDet:
    """The NanoDet family."""

    family: ClassVar[str] = "nanodet"
    defaults: ClassVar[DetectorSpec] = DetectorSpec(
        family="nanodet",
        input=InputSpec(
            size=(320, 320),
            color="bgr",
            mean=(103.53, 116.28, 123.675),
            std=(57.375, 57.12, 58.395),
            resize="letterbox",
            pad=0,
        ),
        outputs=OutputSpec(),
        classes=("object",),
        boxes="ltrb",
        code="distance",
        strides=(8, 16, 32),
        cell_offset=0.5,
        reg_max=8,
        # scores say quality too and stay high on background; the reference demos draw from 0.4,
        # the best F1 on COCO as well
        score_threshold=0.4,
    )

    def recognise(self, facts: GraphFacts) -> Sequence[Reading]:
        """Return the readings as scores and distributions at three strides."""
        why = "no stride 64: NanoDet, and not NanoDet-Plus or PicoDet"
        return [
            distance_reading(self.defaults, facts, found, source=_SOURCE, why=why)
            for found in find_distances(facts, BINS)
            if tuple(sorted(found.strides)) in _STRIDES and found.scores_first
        ]

    def assume(self, facts: GraphFacts, told: Mapping[str, Any]) -> Reading:
        """Take the outputs whose channels are classes and distances of `reg_max` bins a side."""
        return assumed_distances(self.defaults, facts, told, source=_SOURCE)

    def decoder(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
        """Return a decoder of scores and distances."""
        return DenseDecoder(spec, outputs)
