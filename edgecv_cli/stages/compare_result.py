"""What ``compare`` returns."""

from __future__ import annotations

from pydantic import Field

from edgecv_cli.core.result import Part, Result
from edgecv_cli.measure.parting import StageParting, TensorParting


class ClassAgreement(Part):
    """Agreement on the objects of one class."""

    agreement: float | None = None
    matched: int
    missed: int = Field(description="Found by A alone.")
    extra: int = Field(description="Found by B alone.")
    mean_iou: float | None = None
    score_shift: float | None = Field(default=None, description="Mean score of B less that of A.")


class CompareResult(Result):
    """What two artifacts find in the same images, A taken as the truth."""

    schema_: str = Field(
        default="edgecv.compare/1", serialization_alias="schema", validation_alias="schema"
    )
    a: str
    b: str
    sha256_a: str
    sha256_b: str
    agreement: float | None = Field(
        default=None, description="Micro-F1 of matched detections; absent if there are none."
    )
    matched: int
    missed: int = Field(description="Detections of A alone.")
    extra: int = Field(description="Detections of B alone.")
    mean_iou: float | None = Field(default=None, description="Of the matched pairs.")
    score_shift: float | None = Field(
        default=None, description="Mean score of B less that of A, over matched pairs."
    )
    per_class: dict[str, ClassAgreement]
    images: int
    threshold: float = Field(description="Score from which a detection counts, on both sides.")
    stages: tuple[StageParting, ...]
    tensors: tuple[TensorParting, ...] | None = Field(
        default=None, description="What both networks compute under one name, in graph order."
    )
    tensor_images: int | None = None
    first_difference: str | None = Field(
        default=None, description="The first of tensors that is not the same."
    )
    steepest_loss: str | None = Field(
        default=None, description="The one of tensors at which most is lost."
    )
    no_tensors: str | None = Field(default=None, description="Why none are compared.")
    engine: str
    engine_b: str
    threads: int
    seconds: float
    gates: dict[str, str] = Field(default_factory=dict, description="Each gate with its outcome.")
    report: str | None = Field(default=None, description="Path of the HTML report.")
