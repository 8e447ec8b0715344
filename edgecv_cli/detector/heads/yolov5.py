"""YOLOv5, YOLOv7 and what is exported like them: several anchors a cell, objectness, scores.

Decoded, [1, anchors x cells, 5 + classes]: boxes, objectness and class scores as they are; a
box's score is objectness x class. Before decoding, one tensor a stride whose anchors are not in
the graph: ``yolov5_raw.py``. Preprocessing follows Ultralytics' exporter: RGB, 0..1, centred
letterbox padded with 114. YOLOv6 writes the same columns with one candidate a cell and an
objectness that is always 1, fed alike: it is read here as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgecv_cli.core.errors import UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.decoding import DenseDecoder
from edgecv_cli.detector.grid import head_strides
from edgecv_cli.detector.heads.base import Decoder, Reading, dense_reading, numbered_classes
from edgecv_cli.detector.heads.relatives import TASKS, refuse
from edgecv_cli.detector.heads.views import GridView, grid_views
from edgecv_cli.detector.heads.yolov5_raw import raw_readings, told_raw
from edgecv_cli.detector.lattice import anchor_lattice, anchored_strides
from edgecv_cli.detector.probing import Channels, channels_of, grid_boxes, shapes_of
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec, Role
from edgecv_cli.graph.facts import GraphFacts

_SOURCE = "the usual YOLOv5 export"
_WHOLE: tuple[Role, ...] = ("boxes", "objectness", "scores")
_WITHOUT: tuple[Role, ...] = ("boxes", "scores")


@dataclass(frozen=True)
class _Rows:
    """An output whose candidates are several anchors of every cell."""

    output: str
    channels_last: bool
    candidates: int
    count: int
    anchors: int
    strides: tuple[int, ...]

    def words(self, size: tuple[int, int]) -> str:
        rows = (self.candidates, self.count)
        shape = rows if self.channels_last else rows[::-1]
        return (
            f"output '{self.output}' [1,{shape[0]},{shape[1]}]: {self.candidates} candidates are "
            f"{self.anchors} for each cell of strides "
            f"{'/'.join(str(stride) for stride in self.strides)} at {size[0]}x{size[1]}"
        )


class YoloV5:
    """The YOLOv5 family."""

    family: ClassVar[str] = "yolov5"
    defaults: ClassVar[DetectorSpec] = DetectorSpec(
        family="yolov5",
        input=InputSpec(size=(640, 640), color="rgb", scale=255.0, resize="letterbox", pad=114),
        outputs=OutputSpec(),
        classes=("object",),
        boxes="cxcywh",
        strides=(8, 16, 32),
    )

    def recognise(self, facts: GraphFacts) -> Sequence[Reading]:
        """Return the reading of decoded boxes, or those of tensors before decoding.

        Raises:
            UnrecognisedError: there are masks or key points besides.
        """
        decoded = [self._decoded(rows, facts) for rows in _rows(facts)]
        decoded += [self._without_anchors(view, facts) for view in grid_views(facts)]
        found = [reading for reading in decoded if reading is not None]
        return found[:1] or list(raw_readings(self.defaults, facts))

    def assume(self, facts: GraphFacts, told: Mapping[str, Any]) -> Reading:
        """Take tensors of every stride if anchors are told, else decoded boxes by their shape."""
        raw = told_raw(self.defaults, facts, told)
        if raw is not None:
            return raw
        for rows in _rows(facts):
            if rows.count >= 5:
                known = self.defaults.replace(strides=rows.strides)
                holds = _WHOLE if rows.count > 5 else _WITHOUT
                told_so = ["family yolov5: as told"]
                return _reading(known, facts, rows, holds=holds, confidence=0.5, evidence=told_so)
        raise UnrecognisedError(
            "no output has the shape [1,anchors x cells,5+classes] of family yolov5, nor is there "
            "one of 3 x (5+classes) channels a stride",
            remedy="give `anchors`, such as yolov5 or yolov7, or another `family` in --spec",
        )

    def decoder(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
        """Return a decoder that looks at the objectness first."""
        return DenseDecoder(spec, outputs)

    def _decoded(self, rows: _Rows, facts: GraphFacts) -> Reading | None:
        if facts.tail is None or facts.input_size is None or rows.count < 5:
            return None
        axes = "b,n,c" if rows.channels_last else "b,c,n"
        channels = channels_of(facts.tail, rows.output, axes)
        if channels is None:
            return None
        lattice = anchor_lattice(channels.rest[:4], rows.anchors, rows.strides, facts.input_size)
        if lattice is None:
            return None
        columns = _columns(rows, channels, facts)
        if columns is None:
            return None
        holds, activated, words = columns
        known = self.defaults.replace(
            boxes=lattice.layout,
            normalized=lattice.normalized,
            strides=lattice.strides,
            activations="none" if activated else "sigmoid",
        )
        size = facts.input_size
        evidence = [rows.words(size), lattice.evidence(size), words]
        confidence = 0.99 if activated else 0.8
        return _reading(known, facts, rows, holds=holds, confidence=confidence, evidence=evidence)

    def _without_anchors(self, view: GridView, facts: GraphFacts) -> Reading | None:
        """Read YOLOv6: decoded boxes of the cells, a constant 1, scores."""
        channels = view.channels
        if channels is None or facts.input_size is None or view.count < 6:
            return None
        if 64 in view.strides:  # YOLOv6-lite, a family of its own
            return None
        parts = (channels.rest[4], channels.high[4], channels.low[4])
        if any(np.abs(part - 1).max() > 1e-3 for part in parts):
            return None
        boxes = grid_boxes(channels.rest[:4], view.strides, facts.input_size)
        if boxes is None or set(channels.kinds()[5:]) != {"sigmoid"}:
            return None
        size = facts.input_size
        evidence = [
            view.shape_evidence(size),
            boxes.evidence(size),
            f"channel 4 reads 1 whatever the heads say, as YOLOv6 writes its objectness: a box's "
            f"score is that of its class; {_score_words(channels, 5)}: sigmoid applied",
        ]
        known = self.defaults.replace(
            boxes=boxes.layout, normalized=boxes.normalized, strides=boxes.strides
        )
        rows = _Rows(view.output, view.channels_last, view.candidates, view.count, 1, boxes.strides)
        holds: tuple[Role, ...] = ("boxes", "skip", "scores")
        return _reading(known, facts, rows, holds=holds, confidence=0.95, evidence=evidence)


def _rows(facts: GraphFacts) -> Iterator[_Rows]:
    """Yield every output that can hold several candidates of each cell."""
    if facts.input_size is None:
        return
    maps = head_strides(facts.tail.heads, facts.input_size) if facts.tail else {}
    for name, shape in shapes_of(facts).items():
        for last in (True, False) if len(shape) == 3 else ():
            candidates, count = (shape[1], shape[2]) if last else (shape[2], shape[1])
            if candidates is None or count is None:
                continue
            found = list(maps.values())
            for anchors, strides in anchored_strides(candidates, facts.input_size, found):
                yield _Rows(name, last, candidates, count, anchors, strides)


def _columns(
    rows: _Rows, channels: Channels, facts: GraphFacts
) -> tuple[tuple[Role, ...], bool, str] | None:
    """Return what the columns hold, whether scores are applied, and how that was seen.

    Raises:
        UnrecognisedError: masks or key points follow the scores.
    """
    kinds = channels.kinds()[4:]
    words = _score_words(channels, 4)
    if len(set(kinds)) == 1 and kinds[0] != "other":
        verdict = "sigmoid applied" if kinds[0] == "sigmoid" else "logits"
        if len(kinds) == 1:
            return _WITHOUT, kinds[0] == "sigmoid", f"{words}: one score, {verdict}"
        apart = "objectness first, then the classes"
        return _WHOLE, kinds[0] == "sigmoid", f"{words}: {verdict}, {apart}"
    part = (channels.rest[4:] - 0.25, channels.high[4:] - 1, channels.low[4:])
    if all(np.abs(values).max() < 0.05 for values in part):
        product = "a quarter at rest is objectness x class, multiplied in the graph"
        return _WITHOUT, True, f"{words}: {product}"
    _refuse_relative(rows, kinds, facts)
    return None


def _refuse_relative(rows: _Rows, kinds: Sequence[str], facts: GraphFacts) -> None:
    """Refuse outputs that go on after the scores with mask coefficients or key points."""
    scores = next((i for i, kind in enumerate(kinds) if kind != "sigmoid"), len(kinds))
    extra = len(kinds) - scores
    if scores < 2:
        return
    words = f"{extra} channels follow 4 of boxes, objectness and {scores - 1} of scores"
    masks = any(len(shape) == 4 and shape[1] == extra for shape in shapes_of(facts).values())
    if masks:
        raise refuse(TASKS["segment"], f"{words} in '{rows.output}', as many as there are masks")
    raise refuse(TASKS["pose"], f"{words} in '{rows.output}'")


def _score_words(channels: Channels, start: int) -> str:
    parts = (channels.rest, channels.high, channels.low)
    rest, high, low = (part[start:].mean() for part in parts)
    return (
        f"channels {start} to {channels.count - 1} read {rest:.2f} at rest, {high:.3f} with all "
        f"heads at +8 and {low:.4f} at -8"
    )


def _reading(
    known: DetectorSpec,
    facts: GraphFacts,
    rows: _Rows,
    *,
    holds: tuple[Role, ...],
    confidence: float,
    evidence: Sequence[str],
) -> Reading:
    left = "a sigmoid still to be applied to objectness and scores"
    return dense_reading(
        known,
        facts,
        OutputSpec.joint(rows.output, holds, channels_last=rows.channels_last),
        source=_SOURCE,
        classes=numbered_classes(rows.count - 4 - (len(holds) - 2)),
        confidence=confidence,
        evidence=evidence,
        assumed={"activations": left} if known.activations != "none" else None,
    )
