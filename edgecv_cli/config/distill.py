"""What ``edgecv distill`` takes: flags, YAML keys and defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edgecv_cli.config.base import (
    ArtifactPath,
    CommonConfig,
    DatasetPath,
    Flag,
    Input,
    OutputPath,
)
from edgecv_cli.config.common import Device, DropGate, ImageSize, MaxDrop, ReportPath
from edgecv_cli.config.gating import drop_in_force, require_labels, require_time
from edgecv_cli.core.errors import UsageError

DEFAULT_DROP = MaxDrop(3.0, "%")
DEFAULT_AGREEMENT = 0.90

_TRAINING, _GATES = "Training", "Gates"

# all of them, and labels beside them, which --control labels reads
_LearnedPath = Annotated[Path, Input("probed")]

Lesson = Literal["auto", "dense", "raw", "features", "objects"]


class DistillConfig(CommonConfig):
    """Options of distill."""

    model: Annotated[ArtifactPath, Flag(positional=True, metavar="STUDENT")] = Field(
        description="Float detector that learns (.onnx)."
    )
    output: Annotated[OutputPath, Flag("-o", "--output", metavar="OUT.onnx")] = Field(
        description="Where the trained detector is saved."
    )
    teacher: Annotated[ArtifactPath | None, Flag(metavar="TEACHER.onnx")] = Field(
        None,
        description="Detector that it learns from, of any family. Default with --swap and "
        "--width: STUDENT as it was.",
    )
    images: Annotated[_LearnedPath, Flag(metavar="DIR")] = Field(
        description="Images to learn on; no labels needed."
    )
    data: Annotated[DatasetPath | None, Flag(metavar="DIR")] = Field(
        None, description="Labelled images (COCO, YOLO txt or Pascal VOC) for the accuracy gate."
    )
    limit: Annotated[int | None, Flag(metavar="N")] = Field(
        None, ge=1, description="Images of --data to use. Default: all."
    )
    input_size: Annotated[ImageSize | None, Flag(metavar="HxW")] = Field(
        None, description="Input size of a student that leaves it open."
    )
    report: Annotated[ReportPath | None, Flag(metavar="FILE.html")] = Field(
        None, description="Write what was measured as one HTML file, even if a gate refuses."
    )
    force: bool = Field(False, description="Overwrite an existing output.")

    swap: Annotated[str | None, Flag(metavar="A=B,...")] = Field(
        None,
        description="Put another activation function in the place of one, such as silu=relu, "
        "before it learns.",
    )
    width: Annotated[float | None, Flag(metavar="R")] = Field(
        None,
        gt=0,
        lt=1,
        description="Take channels out of STUDENT first, as prune does, until this part of its "
        "multiply-accumulates stays: 0.5.",
    )
    qat: bool = Field(
        False,
        description="Save int8: its rounding is trained, after the rest, towards the float form. "
        "--steps and --minutes hold for each of the two.",
    )
    target: Annotated[str, Flag(metavar="NAME")] = Field(
        "cpu", description="With --qat: what the integers will run on, as in quantize."
    )
    control: Annotated[Literal["labels"] | None, Flag(metavar="labels")] = Field(
        None,
        description="For comparison: learn the labels of --images, which must then be a labelled "
        "folder, in the place of what a teacher says.",
    )

    lesson: Annotated[Lesson, Flag(panel=_TRAINING)] = Field(
        "auto",
        description="dense: boxes and scores of each candidate, where both have the same heads; "
        "raw: the raw predictions, likewise; features: dense, and the feature "
        "maps before; objects: what the teacher finds, by where it lies. "
        "auto takes dense where it can, with --swap alone raw.",
    )
    steps: Annotated[int, Flag(metavar="N", panel=_TRAINING)] = Field(
        1000, ge=1, le=10_000_000, description="Updates of the weights, at most."
    )
    minutes: Annotated[float | None, Flag(metavar="M", panel=_TRAINING)] = Field(
        None, gt=0, le=100_000, description="Time for the updates, at most. Default: no bound."
    )
    learning_rate: Annotated[float | None, Flag(metavar="R", panel=_TRAINING)] = Field(
        None,
        gt=0,
        le=1,
        description="Most that an update moves a weight, as a part of its tensor's size. Default: "
        "0.001, with --swap or --width 0.003.",
    )
    batch: Annotated[int, Flag(metavar="N", panel=_TRAINING)] = Field(
        4, ge=1, le=1024, description="Images of one update."
    )
    patience: Annotated[int, Flag(metavar="N", panel=_TRAINING)] = Field(
        8,
        ge=1,
        le=1_000_000,
        description="End after this many looks at the held-out images without gain; a look is "
        "every 25 updates, or every twentieth part of --steps.",
    )
    amp: Annotated[bool, Flag(panel=_TRAINING)] = Field(
        False,
        description="Compute convolutions in bfloat16: faster where the processor or GPU has it, "
        "for networks that are not depthwise. Integers (--qat) never are.",
    )
    device: Annotated[Device, Flag(panel=_TRAINING)] = Field(
        "cpu", description="Where it is trained: cpu or cuda."
    )
    resume: Annotated[bool, Flag(panel=_TRAINING)] = Field(
        False, description="Go on with the training that was interrupted, kept beside the output."
    )

    max_drop: Annotated[DropGate | None, Flag(metavar="1%|0.5pt", panel=_GATES)] = Field(
        None,
        description="Largest loss of mAP on --data against STUDENT as it was. Default with --data: "
        "3%.",
    )
    min_agreement: Annotated[float | None, Flag(metavar="F", panel=_GATES)] = Field(
        None,
        ge=0,
        le=1,
        description="Agreement with the teacher on --images. Default without --data: 0.90 with "
        "STUDENT as it was, else no less than before.",
    )
    min_speedup: Annotated[float | None, Flag(metavar="R", panel=_GATES)] = Field(
        None, ge=0, le=1000, description="Least speed against STUDENT. Default: not asked."
    )
    speed_seconds: Annotated[float, Flag(metavar="S", panel=_GATES)] = Field(
        6.0, ge=0, le=3600, description="Time spent on measuring the speed; 0 measures none."
    )
    keep_rejected: Annotated[OutputPath | None, Flag(metavar="PATH.onnx", panel=_GATES)] = Field(
        None, description="Where to keep the result if a gate refuses it."
    )

    @model_validator(mode="after")
    def _somebody_teaches(self) -> Self:
        if self.control is not None and self.teacher is not None:
            raise UsageError(
                "--control labels learns from labels, and --teacher names another",
                remedy="give one of them",
            )
        if self.control is not None and self.lesson not in ("auto", "objects"):
            raise UsageError(
                f"labels are objects, and --lesson {self.lesson} is of a teacher",
                remedy="leave --lesson out",
            )
        if self.qat:
            return self
        if "target" in self.model_fields_set:
            raise UsageError("--target is for --qat", remedy="add --qat, or leave --target out")
        if all(one is None for one in (self.teacher, self.swap, self.width, self.control)):
            raise UsageError(
                "distill was not told what to learn from",
                remedy="add --teacher TEACHER.onnx; or --width R or --swap A=B, which learn from "
                "STUDENT as it was",
            )
        return self

    @model_validator(mode="after")
    def _gates_can_be_measured(self) -> Self:
        require_labels(self.max_drop, self.data, instead="--min-agreement")
        require_time(self.min_speedup, self.speed_seconds)
        return self

    @property
    def rate(self) -> float:
        """The learning rate in force."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 0.001 if self.swap is None and self.width is None else 0.003

    @property
    def drop_gate(self) -> MaxDrop | None:
        """The accuracy gate in force: None without labelled data, else what was asked or 3 %."""
        return drop_in_force(self.max_drop, self.data, DEFAULT_DROP)

    @property
    def agreement_gate(self) -> float | None:
        """The agreement gate in force where STUDENT as it was teaches."""
        if self.min_agreement is None and self.data is None:
            return DEFAULT_AGREEMENT
        return self.min_agreement
