"""What ``distill`` reports."""

from __future__ import annotations

from pydantic import Field

from edgecv_cli.artifact.lineage import Step
from edgecv_cli.core.result import Drop, Interval, Part, Result
from edgecv_cli.stages.qat_result import IntegersRow
from edgecv_cli.stages.quantize_result import HowMade, Side


class LossRow(Part):
    """A look at the held-out images."""

    step: int
    distance: float = Field(description="From what is taught; lower is nearer.")


class TaughtBy(Part):
    """How near to the teacher the student's detections are, without labels."""

    before: float | None = Field(default=None, description="Agreement, 0..1.")
    after: float | None = None
    images: int


class DistillResult(Result):
    """A student before and after, and the evidence for it."""

    schema_: str = Field(
        default="edgecv.distill/1", serialization_alias="schema", validation_alias="schema"
    )
    model: str
    family: str
    teacher: str = Field(description="The file that taught, or the folder of labels.")
    lesson: str = Field(
        description="raw: the teacher's raw predictions; dense: boxes and scores of each "
        "candidate; features: and the feature maps before them; objects: boxes and scores, by "
        "location."
    )
    swapped: dict[str, int] | None = Field(
        default=None, description="Activation functions that were replaced, and how many."
    )
    width: float | None = Field(
        default=None,
        description="Part of the multiply-accumulates that stayed, where channels were taken out.",
    )
    before: Side = Field(description="The student as it was given.")
    after: Side
    drop: Drop | None = Field(default=None, description="From before to after; negative: a gain.")
    drop_interval: Interval | None = Field(
        default=None, description="Of the drop in points, paired bootstrap over images."
    )
    agreement: TaughtBy | None = None
    speedup: float | None = Field(default=None, description="time(before) / time(after).")
    speedup_interval: Interval | None = None
    size_ratio: float = Field(description="size(before) / size(after), in bytes.")
    steps: int = Field(description="Updates made.")
    best: int = Field(description="Update whose averaged weights were kept.")
    ended: str = Field(description="steps, minutes, patience or diverged.")
    retreats: int = Field(
        description="Times that it went back to the best weights and on at 0.3 of the rate."
    )
    losses: tuple[LossRow, ...]
    integers: IntegersRow | None = Field(
        default=None, description="With --qat: the training after that of the float form."
    )
    training_images: int
    held_out_images: int
    seconds: float = Field(description="Of the training.")
    gates: dict[str, str] = Field(
        default_factory=dict, description="Gate -> what was asked, what came out."
    )
    warnings: tuple[str, ...] = ()
    how: HowMade
    saved: str | None = Field(default=None, description="Path of the artifact; null if refused.")
    sha256: str | None = None
    provenance: tuple[Step, ...] = Field(
        default=(), description="The steps that made the saved file, oldest first."
    )
    rejected: str | None = Field(default=None, description="Where a refused result was kept.")
    report: str | None = Field(default=None, description="Path of the HTML report.")

    def to_json(self) -> dict[str, object]:
        """Return the object that ``--json`` prints; ``saved`` is null when nothing was."""
        return {**super().to_json(), "saved": self.saved}
