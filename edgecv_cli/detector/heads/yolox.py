"""YOLOX: one tensor of cell offsets and log sizes, objectness and class scores.

[1, N, 5 + classes]; a box's score is objectness x class. Decoding and preprocessing follow
Megvii's implementation (Ge et al. 2021): centre = (offset + cell) x stride, size = exp x stride;
BGR 0..255, letterbox at the top left padded with 114. Exports that decode in the graph are read
as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections, FloatArray
from edgecv_cli.core.errors import ModelError, UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.candidates import (
    IndexArray,
    activate,
    best,
    choose,
    corners,
    detections,
    raw_threshold,
)
from edgecv_cli.detector.classes import default_classes
from edgecv_cli.detector.grid import cell_count, grid
from edgecv_cli.detector.heads.base import Decoder, Reading, check_channels, find_output
from edgecv_cli.detector.heads.views import (
    GridView,
    grid_views,
    input_spec,
    preprocessing_words,
)
from edgecv_cli.detector.heads.yolov8 import has_objectness
from edgecv_cli.detector.probing import Channels, grid_boxes
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec
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
        outputs=OutputSpec(channels_last=True),
        classes=("object",),
        boxes="cxcywh",
        decoded=False,
        strides=(8, 16, 32),
    )

    def recognise(self, facts: GraphFacts) -> Sequence[Reading]:
        """Return the readings as boxes, objectness and class scores."""
        readings = (self._read(view, facts) for view in grid_views(facts))
        return [reading for reading in readings if reading is not None]

    def assume(self, facts: GraphFacts) -> Reading:
        """Take the first output whose candidates number the cells of the usual strides."""
        for view in grid_views(facts):
            if view.count >= 6:
                told = self.defaults.replace(strides=view.strides)
                evidence = ["family yolox: as told"]
                return self._reading(view, facts, told, confidence=0.5, evidence=evidence)
        raise UnrecognisedError(
            "no output has the shape [1,N,5+classes] of family yolox",
            remedy="give another `family` in --spec",
        )

    def decoder(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
        """Return a decoder of one tensor of boxes, objectness and scores."""
        output = find_output(spec.outputs.all, outputs)
        check_channels(output, spec, 5 + len(spec.classes))
        if spec.activations == "softmax":
            raise ModelError(
                "family yolox knows no softmax", remedy="correct `activations` in --spec"
            )
        found = output.shape[1 if spec.outputs.channels_last else 2]
        expected = cell_count(spec.input.size, spec.strides)
        if not spec.decoded and found not in (None, expected):
            strides = "/".join(str(stride) for stride in spec.strides)
            raise ModelError(
                f"output {output} has {found} candidates, but strides {strides} at "
                f"{spec.input.size[0]}x{spec.input.size[1]} have {expected} cells",
                remedy="correct `strides` or `input: size` in --spec",
            )
        return _Decoder(spec)

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
        told, words = boxes
        evidence = [view.shape_evidence(facts.input_size), words, _score_words(channels, applied)]
        evidence.append(
            "channel 4 comes from layers of its own: objectness"
            if apart
            else "boxes and scores share their last layers"
        )
        confidence = (0.99 if apart else 0.6) - (0.0 if applied else 0.1)
        told = told.replace(activations="none" if applied else "sigmoid")
        reading = self._reading(view, facts, told, confidence=confidence, evidence=evidence)
        if apart:
            return reading
        assumed = {**reading.assumed, "family": "channel 4 is objectness"}
        return Reading(reading.spec, confidence, tuple(evidence), assumed, reading.choice)

    def _boxes(
        self, view: GridView, channels: Channels, size: tuple[int, int]
    ) -> tuple[DetectorSpec, str] | None:
        if all(channels.kind(channel) == "linear" for channel in range(4)):
            order = _level_order(view, channels)
            words = (
                "the first four channels are their layers' plain values (0 at rest, 8 and -8 "
                f"with all heads there): raw boxes, levels in the order of strides "
                f"{'/'.join(str(stride) for stride in order)}"
            )
            return self.defaults.replace(strides=order), words
        boxes = grid_boxes(channels.rest[:4], view.strides, size)
        if boxes is None:
            return None
        told = self.defaults.replace(
            decoded=True,
            boxes=boxes.layout,
            normalized=boxes.normalized,
            strides=boxes.strides,
        )
        return told, boxes.evidence(size)

    def _reading(
        self,
        view: GridView,
        facts: GraphFacts,
        told: DetectorSpec,
        *,
        confidence: float,
        evidence: list[str],
    ) -> Reading:
        names, words = default_classes(view.count - 5)
        image = input_spec(facts, self.defaults)
        assumed = {**preprocessing_words(image, _SOURCE), "classes": words}
        if not told.decoded:
            rule = "centre = (offset + cell) x stride, size = exp x stride"
            assumed["boxes"] = f"{rule} ({_SOURCE})"
        if told.activations != "none":
            assumed["activations"] = "a sigmoid still to be applied to objectness and scores"
        spec = told.replace(
            input=image,
            outputs=OutputSpec(all=view.output, channels_last=view.channels_last),
            classes=names,
        )
        return Reading(spec, confidence, tuple(evidence), assumed, {"family": "yolox"})


def _level_order(view: GridView, channels: Channels) -> tuple[int, ...]:
    """Return the strides in the order in which their heads' cells follow each other."""
    starts = {
        view.head_strides[head]: first
        for head, (first, _) in channels.columns.items()
        if head in view.head_strides
    }
    if set(starts) != set(view.strides):
        return view.strides
    return tuple(sorted(view.strides, key=lambda stride: starts[stride]))


def _score_words(channels: Channels, applied: bool) -> str:
    rest, high, low = (part[4:].mean() for part in (channels.rest, channels.high, channels.low))
    verdict = "sigmoid applied" if applied else "logits"
    return (
        f"channels 4 to {channels.count - 1} read {rest:.2f} at rest, {high:.3f} with all heads "
        f"at +8 and {low:.4f} at -8: {verdict}"
    )


class _Decoder:
    def __init__(self, spec: DetectorSpec) -> None:
        self._spec = spec
        self._name = spec.outputs.all or ""
        self._cells, self._strides = grid(spec.input.size, spec.strides)

    def candidates(
        self,
        outputs: Mapping[str, NDArray[Any]],
        *,
        threshold: float,
        multi_label: bool,
        limit: int,
    ) -> list[Detections]:
        """See :class:`edgecv_cli.detector.heads.base.Decoder`."""
        return [
            self._one(image if self._spec.outputs.channels_last else image.T,
                      threshold, multi_label, limit)
            for image in outputs[self._name]
        ]  # fmt: skip

    def _one(
        self, table: NDArray[Any], threshold: float, multi_label: bool, limit: int
    ) -> Detections:
        """Decode [N, 5 + classes]; objectness first, because no score is above it."""
        spec = self._spec
        cells = np.flatnonzero(table[:, 4] >= raw_threshold(threshold, spec.activations))
        found = table[cells]
        values = activate(found[:, 4:], spec.activations)
        scores = values[:, 1:] * values[:, :1]
        rows, classes, chosen = choose(scores, threshold=threshold, multi_label=multi_label)
        top = best(chosen, limit)
        boxes = self._boxes(found[rows[top], :4], cells[rows[top]])
        return detections(boxes, chosen[top], classes[top])

    def _boxes(self, raw: NDArray[Any], cells: IndexArray) -> FloatArray:
        spec = self._spec
        if not spec.decoded:
            raw = raw.astype(np.float32)
            strides = self._strides[cells]
            with np.errstate(over="ignore"):
                extents = np.exp(raw[:, 2:]) * strides
            raw = np.concatenate([(raw[:, :2] + self._cells[cells]) * strides, extents], axis=1)
        return corners(raw, spec.boxes, normalized=spec.normalized, size=spec.input.size)
