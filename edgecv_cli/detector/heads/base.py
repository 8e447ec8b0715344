"""What a head is: a family's way to be recognised and decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.spec import DetectorSpec
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
    """

    spec: DetectorSpec
    confidence: float
    evidence: tuple[str, ...]
    assumed: Mapping[str, str] = field(default_factory=dict)
    choice: Mapping[str, Any] = field(default_factory=dict)


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

    def assume(self, facts: GraphFacts) -> Reading:
        """Read the outputs as this family because the user says so, by their shapes alone.

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


def find_output(name: str | None, outputs: Sequence[TensorSpec]) -> TensorSpec:
    """Return the output that the spec names.

    Raises:
        ModelError: there is none.
    """
    for output in outputs:
        if output.name == name:
            return output
    names = ", ".join(output.name for output in outputs)
    raise ModelError(
        f"the detector spec reads output '{name}', but the model has: {names}",
        remedy="correct `outputs` in --spec, or drop the spec to have the model recognised",
    )


def check_channels(output: TensorSpec, spec: DetectorSpec, channels: int) -> None:
    """Make sure that an output has the channels that the spec's classes ask for.

    Raises:
        ModelError: it has three axes with another number of channels, or not three axes.
    """
    if len(output.shape) != 3:
        raise ModelError(f"output {output} has not three axes", remedy="correct --spec")
    found = output.shape[2 if spec.outputs.channels_last else 1]
    if found is not None and found != channels:
        raise ModelError(
            f"output {output} has {found} channels, but {len(spec.classes)} classes of family "
            f"{spec.family} need {channels}",
            remedy="correct `classes` in --spec",
        )
