"""SSD and its like: decoded boxes in one output, class scores in another.

boxes [1, N, 4] and scores [1, N, C]; C counts the background where there is one. Preprocessing
follows the TensorFlow Object Detection API: RGB, (pixel - 127.5) / 127.5, stretched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.errors import ModelError, UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.candidates import (
    activate,
    best,
    choose,
    corners,
    detections,
    raw_threshold,
)
from edgecv_cli.detector.classes import BACKGROUND, COCO80, COCO91, default_classes
from edgecv_cli.detector.heads.base import Decoder, Reading, check_channels, find_output
from edgecv_cli.detector.heads.views import input_spec, preprocessing_words
from edgecv_cli.detector.priors import prior_boxes
from edgecv_cli.detector.probing import Channels, channels_of, shapes_of
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec
from edgecv_cli.graph.facts import GraphFacts

_SOURCE = "the usual SSD export"


@dataclass(frozen=True)
class _Pair:
    """Two outputs that may be boxes and scores."""

    boxes: str
    scores: str
    channels_last: bool
    candidates: int
    classes: int


class Ssd:
    """The SSD family."""

    family: ClassVar[str] = "ssd"
    defaults: ClassVar[DetectorSpec] = DetectorSpec(
        family="ssd",
        input=InputSpec(
            size=(300, 300),
            color="rgb",
            mean=(127.5, 127.5, 127.5),
            std=(127.5, 127.5, 127.5),
            resize="stretch",
        ),
        outputs=OutputSpec(channels_last=True),
        classes=("object",),
        boxes="yxyx",
        normalized=True,
        # sigmoid scores of an SSD stay high on background (41 boxes an image at 0.25 on COCO);
        # 0.5 is what the TensorFlow Object Detection API draws from (min_score_thresh)
        score_threshold=0.5,
    )

    def recognise(self, facts: GraphFacts) -> Sequence[Reading]:
        """Return the readings as decoded boxes beside scores."""
        return [reading for pair in _pairs(facts) for reading in self._read(pair, facts)]

    def assume(self, facts: GraphFacts) -> Reading:
        """Take the first two outputs that can be boxes and scores."""
        for pair in _pairs(facts):
            names, background, words = _classes(pair.classes, certain=False)
            told = self.defaults.replace(classes=names, background=background)
            evidence = ("family ssd: as told",)
            return self._reading(pair, facts, told, confidence=0.5, evidence=evidence, words=words)
        raise UnrecognisedError(
            "no two outputs have the shapes [1,N,4] and [1,N,classes] of family ssd",
            remedy="give another `family` in --spec",
        )

    def decoder(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
        """Return a decoder of boxes beside scores."""
        boxes = find_output(spec.outputs.boxes, outputs)
        check_channels(find_output(spec.outputs.scores, outputs), spec, len(spec.classes))
        found = boxes.shape[2 if spec.outputs.channels_last else 1] if len(boxes.shape) == 3 else 0
        if found not in (None, 4):
            raise ModelError(f"output {boxes} does not hold boxes", remedy="correct --spec")
        return _Decoder(spec)

    def _read(self, pair: _Pair, facts: GraphFacts) -> Iterator[Reading]:
        if facts.tail is None or facts.input_size is None:
            return
        boxes = channels_of(facts.tail, pair.boxes, channels_last=pair.channels_last)
        scores = channels_of(facts.tail, pair.scores, channels_last=pair.channels_last)
        if boxes is None or scores is None:
            return
        lattice = prior_boxes(boxes.rest, facts.input_size)
        applied = _activation(scores)
        if lattice is None or applied is None:
            return
        names, background, words = _classes(pair.classes, certain=applied == "softmax")
        evidence = (
            f"outputs '{pair.boxes}' and '{pair.scores}' hold {pair.candidates} boxes and "
            f"{pair.candidates} x {pair.classes} scores",
            lattice.evidence(facts.input_size),
            _score_evidence(scores, applied),
        )
        told = self.defaults.replace(
            classes=names,
            background=background,
            boxes=lattice.layout,
            normalized=lattice.normalized,
        )
        if applied != "linear":
            yield self._reading(pair, facts, told, confidence=0.95, evidence=evidence, words=words)
            return
        for activation in ("sigmoid", "softmax"):
            open_reading = told.replace(activations=activation)
            yield self._reading(
                pair, facts, open_reading, confidence=0.5, evidence=evidence, words=words
            )

    def _reading(
        self,
        pair: _Pair,
        facts: GraphFacts,
        told: DetectorSpec,
        *,
        confidence: float,
        evidence: tuple[str, ...],
        words: Mapping[str, str],
    ) -> Reading:
        image = input_spec(facts, self.defaults)
        outputs = OutputSpec(boxes=pair.boxes, scores=pair.scores, channels_last=pair.channels_last)
        assumed = {**preprocessing_words(image, _SOURCE), **words}
        choice: dict[str, Any] = {"family": "ssd"}
        if told.activations != "none":
            choice["activations"] = told.activations
        spec = told.replace(input=image, outputs=outputs)
        return Reading(spec, confidence, evidence, assumed, choice)


def _pairs(facts: GraphFacts) -> Iterator[_Pair]:
    shapes = shapes_of(facts)
    if len(shapes) != 2:
        return
    for boxes, scores in (tuple(shapes), tuple(shapes)[::-1]):
        for channels_last in (True, False):
            rows, columns = (1, 2) if channels_last else (2, 1)
            a, b = shapes[boxes], shapes[scores]
            if len(a) != 3 or len(b) != 3 or a[columns] != 4 or a[rows] != b[rows]:
                continue
            candidates, classes = a[rows], b[columns]
            if candidates is not None and classes is not None:
                yield _Pair(boxes, scores, channels_last, candidates, classes)


def _activation(scores: Channels) -> str | None:
    """Return ``sigmoid`` or ``softmax`` where applied, ``linear`` where not, else None."""
    kinds = set(scores.kinds())
    if kinds in ({"sigmoid"}, {"linear"}):
        return str(kinds.pop())
    even = 1 / scores.count
    same = all(np.abs(part - even).max() < 0.01 for part in (scores.rest, scores.high, scores.low))
    return "softmax" if same and scores.count > 1 else None


def _score_evidence(scores: Channels, applied: str) -> str:
    rest, high, low = (part.mean() for part in (scores.rest, scores.high, scores.low))
    seen = f"scores read {rest:.3f} at rest, {high:.3f} with all heads at +8 and {low:.4f} at -8"
    if applied == "softmax":
        return f"{seen}, that is 1/{scores.count} whatever all of them say: softmax applied"
    return f"{seen}: {'sigmoid applied' if applied == 'sigmoid' else 'scores are logits'}"


def _classes(count: int, *, certain: bool) -> tuple[tuple[str, ...], int | None, dict[str, str]]:
    """Return names, the background's index and what that assumes, for ``count`` score columns."""
    if count == len(COCO91):
        words = "class names coco91 with the background at 0, because there are 91"
        return COCO91, 0, {"classes": words}
    if count == len(COCO80) + 1:
        words = "class names coco80 after a background at 0, because there are 81"
        return (BACKGROUND, *COCO80), 0, {"classes": words}
    if count == len(COCO80) and not certain:
        words = "class names coco80 and no background, because there are 80"
        return COCO80, None, {"classes": words}
    if count == 1:
        return default_classes(1)[0], None, {"background": "one class and no background"}
    names = (BACKGROUND, *(f"class_{index}" for index in range(1, count)))
    return (
        names,
        0,
        {
            "background": "class 0 is the background",
            "classes": "class names by number",
        },
    )


class _Decoder:
    def __init__(self, spec: DetectorSpec) -> None:
        self._spec = spec
        ids = [index for index in range(len(spec.classes)) if index != spec.background]
        self._ids = np.asarray(ids, np.int64)
        # a slice is a view; only a background in the middle needs a copy
        together = len(ids) > 0 and ids[-1] - ids[0] == len(ids) - 1
        self._columns: Any = slice(ids[0], ids[-1] + 1) if together else self._ids

    def candidates(
        self,
        outputs: Mapping[str, NDArray[Any]],
        *,
        threshold: float,
        multi_label: bool,
        limit: int,
    ) -> list[Detections]:
        """See :class:`edgecv_cli.detector.heads.base.Decoder`."""
        spec = self._spec
        boxes, scores = (
            outputs[name or ""]
            if spec.outputs.channels_last
            else outputs[name or ""].swapaxes(1, 2)
            for name in (spec.outputs.boxes, spec.outputs.scores)
        )
        return [
            self._one(box, score, threshold, multi_label, limit)
            for box, score in zip(boxes, scores, strict=True)
        ]

    def _one(
        self,
        boxes: NDArray[Any],
        scores: NDArray[Any],
        threshold: float,
        multi_label: bool,
        limit: int,
    ) -> Detections:
        """Decode boxes [N, 4] and scores [N, C]."""
        spec = self._spec
        bar = raw_threshold(threshold, spec.activations)
        rows = np.flatnonzero(scores[:, self._columns].max(axis=1) >= bar)
        values = activate(scores[rows], spec.activations)[:, self._columns]
        index, classes, chosen = choose(values, threshold=threshold, multi_label=multi_label)
        top = best(chosen, limit)
        found = corners(
            boxes[rows[index[top]]], spec.boxes, normalized=spec.normalized, size=spec.input.size
        )
        return detections(found, chosen[top], self._ids[classes[top]])
