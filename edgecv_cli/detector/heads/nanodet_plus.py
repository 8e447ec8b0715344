"""NanoDet-Plus: one tensor of class scores and distributions of distances, strides 8 to 64.

[1, N, classes + 4 x bins]. Decoding and preprocessing follow RangiLyu's implementation: a cell's
centre is its corner, unlike in NanoDet before it; BGR, ImageNet's mean and deviation on 0..255,
stretched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.decoding import DenseDecoder
from edgecv_cli.detector.heads.base import Decoder, Reading
from edgecv_cli.detector.heads.distance_readings import assumed_distances, distance_reading
from edgecv_cli.detector.heads.distances import find_distances
from edgecv_cli.detector.heads.nanodet import BINS, NanoDet
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.facts import GraphFacts

_SOURCE = "the NanoDet-Plus reference implementation"
_STRIDES = (8, 16, 32, 64)


class NanoDetPlus:
    """The NanoDet-Plus family."""

    family: ClassVar[str] = "nanodet-plus"
    defaults: ClassVar[DetectorSpec] = NanoDet.defaults.replace(
        family="nanodet-plus",
        input={**NanoDet.defaults.input.model_dump(), "size": (416, 416), "resize": "stretch"},
        strides=_STRIDES,
        cell_offset=0.0,
    )

    def recognise(self, facts: GraphFacts) -> Sequence[Reading]:
        """Return the readings as scores beside distributions in one tensor, at four strides."""
        why = "scores and distances in one tensor, with a stride of 64: NanoDet-Plus"
        return [
            distance_reading(self.defaults, facts, found, source=_SOURCE, why=why)
            for found in find_distances(facts, BINS)
            if tuple(sorted(found.strides)) == _STRIDES
            and found.per_stride < 2
            and found.scores_first
        ]

    def assume(self, facts: GraphFacts, told: Mapping[str, Any]) -> Reading:
        """Take the outputs whose channels are classes and distances of `reg_max` bins a side."""
        return assumed_distances(self.defaults, facts, told, source=_SOURCE)

    def decoder(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
        """Return a decoder of scores and distances."""
        return DenseDecoder(spec, outputs)
