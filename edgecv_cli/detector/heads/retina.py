"""Face detectors with square priors: UltraFace, RetinaFace and what is exported like them.

Boxes [1, N, 4] and scores [1, N, 2], background first, beside key points [1, N, 10] or without;
boxes decoded in the graph, or offsets from priors (Liu et al. 2016) whose published sets
``faces.py`` lists. An SSD has the same two outputs: it is told by its priors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from edgecv_cli.core.errors import UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.classes import BACKGROUND
from edgecv_cli.detector.decoding import DenseDecoder
from edgecv_cli.detector.grid import head_strides
from edgecv_cli.detector.heads.base import Decoder, Reading, dense_reading
from edgecv_cli.detector.heads.faces import PRIOR_SETS, PriorSet, matching_priors
from edgecv_cli.detector.heads.scores import Applied, applied_activation
from edgecv_cli.detector.probing import Channels, channels_of, shapes_of
from edgecv_cli.detector.spec import Activation, DetectorSpec, OutputSpec, Role
from edgecv_cli.graph.facts import GraphFacts

_FACES = (BACKGROUND, "face")
_APPLIED: dict[Applied, Activation] = {"softmax": "none", "linear": "softmax"}


@dataclass(frozen=True)
class _Outputs:
    """The outputs of a face detector by what their shapes make of them."""

    boxes: str
    scores: str
    landmarks: str | None
    channels_last: bool
    candidates: int

    @property
    def axes(self) -> str:
        return "b,n,c" if self.channels_last else "b,c,n"


class Retina:
    """The family of face detectors with square priors."""

    family: ClassVar[str] = "retina"
    defaults: ClassVar[DetectorSpec] = DetectorSpec(
        family="retina",
        input=PRIOR_SETS[0].input,
        outputs=OutputSpec(),
        classes=_FACES,
        boxes="xyxy",
        normalized=True,
        background=0,
        score_threshold=0.5,
        nms_iou=0.4,
    )

    def recognise(self, facts: GraphFacts) -> Sequence[Reading]:
        """Return the reading as decoded boxes, or as offsets from a published set of priors."""
        if facts.tail is None or facts.input_size is None:
            return []
        found = []
        for outputs in _outputs(facts):
            boxes = channels_of(facts.tail, outputs.boxes, outputs.axes)
            scores = channels_of(facts.tail, outputs.scores, outputs.axes)
            if boxes is None or scores is None:
                continue
            applied = applied_activation(scores)
            if applied in _APPLIED:
                read = (*_decoded(boxes, outputs, facts), *_raw(boxes, outputs, facts))
                found += [
                    self._reading(
                        outputs, facts, known, priors, activations=_APPLIED[applied],
                        confidence=0.95, evidence=(words, _score_words(scores, applied)),
                    )
                    for known, priors, words in read
                ]  # fmt: skip
        return found[:1]

    def assume(self, facts: GraphFacts, told: Mapping[str, Any]) -> Reading:
        """Take boxes beside two scores; as offsets from priors if ``code: prior`` is told."""
        size = facts.input_size
        for outputs in _outputs(facts):
            if size is None:
                break
            sets = [
                known
                for known in PRIOR_SETS
                if known.count(size) == outputs.candidates
                and known.landmarks == (outputs.landmarks is not None)
            ]
            priors = sets[0] if sets else PRIOR_SETS[0]
            offsets = bool(sets) and told.get("code") == "prior"
            known = _offsets(priors, size) if offsets else self.defaults
            evidence = ("family retina: as told",)
            return self._reading(
                outputs, facts, known, priors,
                activations="none", confidence=0.5, evidence=evidence,
            )  # fmt: skip
        raise UnrecognisedError(
            "no two outputs have the shapes [1,N,4] and [1,N,2] of family retina",
            remedy="give another `family` in --spec",
        )

    def decoder(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
        """Return a decoder of boxes beside scores."""
        return DenseDecoder(spec, outputs)

    def _reading(
        self,
        outputs: _Outputs,
        facts: GraphFacts,
        known: DetectorSpec,
        priors: PriorSet,
        *,
        activations: Activation,
        confidence: float,
        evidence: Sequence[str],
    ) -> Reading:
        source = f"the {priors.name} reference implementation"
        names: dict[Role, str] = {"boxes": outputs.boxes, "scores": outputs.scores}
        unread = f"output '{outputs.landmarks}' holds key points and is not read"
        assumed = {"background": "class 0 is the background, class 1 a face"}
        if known.code == "prior":
            assumed["anchors"] = f"square priors of {priors.words()} pixels ({source})"
            assumed["variances"] = f"variances 0.1 and 0.2 ({source})"
        return dense_reading(
            known.replace(input=priors.input, activations=activations),
            facts,
            OutputSpec.apart(names, channels_last=outputs.channels_last),
            source=source,
            classes=(
                _FACES,
                {"classes": "class name face, because the priors are a face detector's"},
            ),
            confidence=confidence,
            evidence=(*evidence, unread) if outputs.landmarks else evidence,
            assumed=assumed,
        )


def _outputs(facts: GraphFacts) -> Iterator[_Outputs]:
    """Yield boxes, two scores and perhaps ten key points of as many candidates."""
    shapes = shapes_of(facts)
    if len(shapes) not in (2, 3) or any(len(shape) != 3 for shape in shapes.values()):
        return
    for last in (True, False):
        rows, columns = (1, 2) if last else (2, 1)
        counts = {shape[columns]: name for name, shape in shapes.items()}
        candidates = {shape[rows] for shape in shapes.values()}
        wanted = {4, 2} if len(shapes) == 2 else {4, 2, 10}
        if set(counts) == wanted and len(candidates) == 1:
            many = candidates.pop()
            if many is not None:
                yield _Outputs(counts[4], counts[2], counts.get(10), last, many)


_Found = tuple[DetectorSpec, PriorSet, str]


def _decoded(boxes: Channels, outputs: _Outputs, facts: GraphFacts) -> Iterator[_Found]:
    assert facts.input_size is not None
    size = facts.input_size
    landmarks = outputs.landmarks is not None
    for priors, layout, normalized in matching_priors(boxes.rest, size, landmarks=landmarks):
        unit = "0..1" if normalized else f"pixels of {size[0]}x{size[1]}"
        words = (
            f"with all heads at 0 the {outputs.candidates} boxes of '{outputs.boxes}' are the "
            f"square priors of {priors.name}, {priors.words()} pixels at strides "
            f"{_strides(priors)}: decoded {layout} in {unit}"
        )
        yield Retina.defaults.replace(boxes=layout, normalized=normalized), priors, words


def _raw(boxes: Channels, outputs: _Outputs, facts: GraphFacts) -> Iterator[_Found]:
    assert facts.tail is not None
    assert facts.input_size is not None
    size = facts.input_size
    maps = head_strides(facts.tail.heads, size)
    starts = {maps.get(head): first for head, (first, _) in boxes.columns.items()}
    if set(boxes.kinds()) != {"linear"} or None in starts:
        return
    order = tuple(sorted(starts, key=lambda stride: starts[stride]))
    for priors in PRIOR_SETS:
        landmarks = outputs.landmarks is not None
        fits = priors.count(size) == outputs.candidates and priors.strides == order
        if fits and priors.landmarks == landmarks:
            words = (
                f"'{outputs.boxes}' holds its layers' plain values for {outputs.candidates} "
                f"candidates, as many as {priors.name} has square priors at strides "
                f"{_strides(priors)} of {size[0]}x{size[1]}: offsets from them"
            )
            yield _offsets(priors, size), priors, words


def _offsets(priors: PriorSet, size: tuple[int, int]) -> DetectorSpec:
    """Return what a spec says of boxes that are offsets from priors."""
    return Retina.defaults.replace(
        boxes="cxcywh",
        normalized=False,
        code="prior",
        strides=priors.strides,
        anchors=priors.anchors(size),
        cell_offset=0.5,
        even_cells=priors.even,
    )


def _strides(priors: PriorSet) -> str:
    return "/".join(str(stride) for stride in priors.strides)


def _score_words(scores: Channels, applied: str) -> str:
    rest, high, low = (part.mean() for part in (scores.rest, scores.high, scores.low))
    verdict = "softmax applied" if applied == "softmax" else "a softmax still to be applied"
    return (
        f"two scores read {rest:.2f} at rest, {high:.2f} with all heads at +8 and {low:.2f} at "
        f"-8: {verdict}"
    )
