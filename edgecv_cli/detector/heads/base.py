"""What a head is: a family's way to be recognised and decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.classes import default_classes
from edgecv_cli.detector.heads.views import input_spec, preprocessing_words
from edgecv_cli.detector.spec import DetectorSpec, OutputSpec
from edgecv_cli.graph.facts import GraphFacts


@dataclass(frozen=True)
class Reading:
    """One way to read a graph's outputs.

    Attributes:
        spec: complete, with the family's usual preprocessing.
        confidence: 0..1; 1 leaves nothing to doubt.
        evidence: what was seen, with the numbers.
        assumed: what a graph can't show, by the spec key that it is about.
        choice: spec keys that tell this reading from its rivals, with their values.
        asks: spec keys that the user must tell, with the reason.
        doubts: what the graph's answers have against what the user said.
    """

    spec: DetectorSpec
    confidence: float
    evidence: tuple[str, ...]
    assumed: Mapping[str, str] = field(default_factory=dict)
    choice: Mapping[str, Any] = field(default_factory=dict)
    asks: Mapping[str, str] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


class Decoder(Protocol):
    """Turns a network's outputs into boxes; its grids are prepared once."""

    def candidates(
        self,
        outputs: Mapping[str, NDArray[Any]],
        *,
        threshold: float,
        multi_label: bool,
        limit: int,
    ) -> list[Detections]:
        """Return each image's boxes that reach ``threshold``, not yet suppressed.

        Args:
            outputs: the network's outputs by name, batch first.
            threshold: lowest score, 0..1.
            multi_label: every class of a box that reaches it, or only its best.
            limit: how many to return at most, those of the best scores.

        Returns:
            One entry per image; boxes x1, y1, x2, y2 in pixels of the network's input.
        """
        ...


class Head(Protocol):
    """One detector family."""

    family: ClassVar[str]
    defaults: ClassVar[DetectorSpec]

    def recognise(self, facts: GraphFacts) -> Sequence[Reading]:
        """Return every reading as this family that the graph supports.

        Raises:
            UnrecognisedError: it is this family's relative and no detector of boxes.
        """
        ...

    def assume(self, facts: GraphFacts, told: Mapping[str, Any]) -> Reading:
        """Read the outputs as this family because the user says so, by their shapes alone.

        Args:
            facts: the graph.
            told: every spec key that the user sets; they are applied afterwards as well.

        Raises:
            UnrecognisedError: no output has a shape that fits.
        """
        ...

    def decoder(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
        """Return a decoder for these outputs.

        Raises:
            ModelError: the outputs contradict the spec.
        """
        ...


def dense_reading(  # every argument is a fact of its own
    known: DetectorSpec,
    facts: GraphFacts,
    outputs: OutputSpec,
    *,
    source: str,
    classes: tuple[tuple[str, ...], Mapping[str, str]],
    confidence: float,
    evidence: Sequence[str],
    assumed: Mapping[str, str] | None = None,
    choice: Mapping[str, Any] | None = None,
) -> Reading:
    """Put a reading together: the family's preprocessing at this graph's input, and its outputs.

    Args:
        known: the family's defaults with what was found in the graph.
        facts: the graph.
        outputs: which output plays which role.
        source: where the family's preprocessing comes from.
        classes: their names, and what naming them assumes.
        confidence: 0..1.
        evidence: what was seen.
        assumed: what else is assumed, by spec key.
        choice: spec keys beside the family that tell this reading from its rivals.

    Raises:
        UnrecognisedError: the graph has no image input that edgecv feeds.
    """
    image = input_spec(facts, known)
    names, words = classes
    return Reading(
        known.replace(input=image, outputs=outputs, classes=names),
        confidence,
        tuple(evidence),
        {**preprocessing_words(image, source), **words, **(assumed or {})},
        {"family": known.family, **(choice or {})},
    )


def numbered_classes(count: int) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Return names for so many classes without background, for :func:`dense_reading`."""
    names, words = default_classes(count)
    return names, {"classes": words}
