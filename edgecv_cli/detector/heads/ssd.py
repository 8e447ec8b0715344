"""SSD and its like: decoded boxes in one output, class scores in another.

boxes [1, N, 4] and scores [1, N, C]; C counts the background where there is one. Preprocessing
follows the TensorFlow Object Detection API: RGB, (pixel - 127.5) / 127.5, stretched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from edgecv_cli.core.errors import UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.classes import BACKGROUND, COCO80, COCO91, default_classes
from edgecv_cli.detector.decoding import DenseDecoder
from edgecv_cli.detector.heads.base import Decoder, Reading, dense_reading
from edgecv_cli.detector.heads.faces import matching_priors
from edgecv_cli.detector.heads.scores import applied_activation
from edgecv_cli.detector.priors import prior_boxes
from edgecv_cli.detector.probing import Channels, channels_of, shapes_of
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec, Role
from edgecv_cli.graph.facts import GraphFacts, TailProbe

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
        outputs=OutputSpec(),
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

    def assume(self, facts: GraphFacts, told: Mapping[str, Any]) -> Reading:  # noqa: ARG002
        """Take the first two outputs that can be boxes and scores."""
        for pair in _pairs(facts):
            names, background, words = _classes(pair.classes, certain=False)
            known = self.defaults.replace(classes=names, background=background)
            evidence = ("family ssd: as told",)
            return self._reading(pair, facts, known, confidence=0.5, evidence=evidence, words=words)
        raise UnrecognisedError(
            "no two outputs have the shapes [1,N,4] and [1,N,classes] of family ssd",
            remedy="give another `family` in --spec",
        )

    def decoder(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
        """Return a decoder of boxes beside scores."""
        return DenseDecoder(spec, outputs)

    def _read(self, pair: _Pair, facts: GraphFacts) -> Iterator[Reading]:
        if facts.tail is None or facts.input_size is None:
            return
        axes = "b,n,c" if pair.channels_last else "b,c,n"
        boxes = channels_of(facts.tail, pair.boxes, axes)
        scores = channels_of(facts.tail, pair.scores, axes)
        if boxes is None or scores is None or not _anchored(facts.tail, boxes, pair.candidates):
            return
        if _is_faces(boxes, scores, facts.input_size):
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
        known = self.defaults.replace(
            classes=names,
            background=background,
            boxes=lattice.layout,
            normalized=lattice.normalized,
        )
        if applied != "linear":
            yield self._reading(pair, facts, known, confidence=0.95, evidence=evidence, words=words)
            return
        for activation in ("sigmoid", "softmax"):
            open_reading = known.replace(activations=activation)
            yield self._reading(
                pair, facts, open_reading, confidence=0.5, evidence=evidence, words=words
            )

    def _reading(
        self,
        pair: _Pair,
        facts: GraphFacts,
        known: DetectorSpec,
        *,
        confidence: float,
        evidence: tuple[str, ...],
        words: Mapping[str, str],
    ) -> Reading:
        names: dict[Role, str] = {"boxes": pair.boxes, "scores": pair.scores}
        return dense_reading(
            known,
            facts,
            OutputSpec.apart(names, channels_last=pair.channels_last),
            source=_SOURCE,
            classes=(known.classes, words),
            confidence=confidence,
            evidence=evidence,
            choice={"activations": known.activations} if known.activations != "none" else None,
        )


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


def _anchored(tail: TailProbe, boxes: Channels, candidates: int) -> bool:
    """Whether maps say the boxes, several anchors a cell: no queries, and no anchor-free grid."""
    maps = [tail.heads[head] for head in boxes.heads_of(0, 4)]
    if any(len(shape) != 4 for shape in maps):
        return False
    return candidates > sum(shape[2] * shape[3] for shape in maps)


def _activation(scores: Channels) -> str | None:
    """Return ``sigmoid`` or ``softmax`` where applied, ``linear`` where not, else None."""
    applied = applied_activation(scores)
    return None if applied == "constant" else applied


def _is_faces(boxes: Channels, scores: Channels, size: tuple[int, int]) -> bool:
    """Whether these are a face detector's published priors beside two scores: no SSD."""
    pairs = matching_priors(boxes.rest, size, landmarks=False)
    return scores.count == 2 and next(pairs, None) is not None


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
