"""What ``edgecv evaluate`` takes."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from edgecv_cli.config.base import (
    ArtifactPath,
    CommonConfig,
    DatasetPath,
    Flag,
    OutputPath,
    SpecPath,
)
from edgecv_cli.config.common import ENGINES, ImageSize, ReportPath
from edgecv_cli.config.fail_if import AccuracyCondition, refuse_contradictions
from edgecv_cli.core.errors import UsageError


class EvaluateConfig(CommonConfig):
    """Options of evaluate."""

    model: Annotated[ArtifactPath, Flag(positional=True)] = Field(
        description="Detector to evaluate."
    )
    data: Annotated[DatasetPath, Flag(metavar="DIR")] = Field(
        description="Labelled images: a folder in COCO, YOLO txt or Pascal VOC layout."
    )
    against: Annotated[ArtifactPath | None, Flag(metavar="OTHER")] = Field(
        None, description="Evaluate this one as well, and test whether the two differ."
    )
    engine: Annotated[str, Flag(metavar="NAME[:DEVICE[:PRECISION]]", suggest=ENGINES)] = Field(
        "onnxruntime", min_length=1, description="Engine that runs the model."
    )
    limit: Annotated[int | None, Flag(metavar="N")] = Field(
        None, ge=1, description="Images of --data to use. Default: all."
    )
    input_size: Annotated[ImageSize | None, Flag(metavar="HxW")] = Field(
        None, description="Input size of a model that leaves it open."
    )
    conf: Annotated[float | None, Flag(metavar="F")] = Field(
        None,
        ge=0,
        lt=1,
        description="Score threshold. Default: 0.01 for mAP, as COCO wants it; the model's own for "
        "confusions.",
    )
    iou: Annotated[float | None, Flag(metavar="F")] = Field(
        None,
        gt=0,
        le=1,
        description="IoU of the suppression of duplicates. Default: 0.65 for mAP; the model's own "
        "for confusions.",
    )
    against_spec: Annotated[SpecPath | None, Flag(metavar="FILE.yaml")] = Field(
        None, description="How OTHER is fed and read, if that is not in it. --spec is MODEL's."
    )
    fail_if: Annotated[tuple[AccuracyCondition, ...], Flag(metavar="EXPR", panel="Gates")] = Field(
        (),
        description="Exit with 3 if this holds: 'map < 0.30', 'map_small < 0.10'; may be repeated.",
    )
    strict: Annotated[bool, Flag(panel="Gates")] = Field(
        False, description="Fail by the figures, even where their interval leaves it open."
    )
    report: Annotated[ReportPath | None, Flag(metavar="FILE.html", panel="Files")] = Field(
        None, description="Write the figures, curves and some pictures as one HTML file."
    )
    md: Annotated[OutputPath | None, Flag(metavar="FILE.md", panel="Files")] = Field(
        None, description="Write the figures as Markdown, such as for $GITHUB_STEP_SUMMARY."
    )
    csv: Annotated[OutputPath | None, Flag(metavar="FILE.csv", panel="Files")] = Field(
        None, description="Write the figures of each class as CSV."
    )
    force: Annotated[bool, Flag(panel="Files")] = Field(
        False, description="Overwrite existing files."
    )

    @model_validator(mode="after")
    def _conditions_agree(self) -> Self:
        refuse_contradictions(self.fail_if)
        if self.strict and not self.fail_if:
            raise UsageError(
                "--strict is about conditions, and there are none",
                remedy="add --fail-if, such as --fail-if 'map < 0.30', or leave --strict out",
            )
        return self

    @model_validator(mode="after")
    def _spec_has_its_model(self) -> Self:
        if self.against_spec is not None and self.against is None:
            raise UsageError(
                "--against-spec says how the other model is read, and there is none",
                remedy="add --against OTHER, or write --spec",
            )
        return self
