"""What converters take: what is converted and looked at, how it is verified, and the gates.

The parts stand in the order in which ``--help`` lists their headings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from edgecv_cli.config.base import (
    ArtifactPath,
    CommonConfig,
    DatasetPath,
    Flag,
    Input,
    OutputPath,
)
from edgecv_cli.config.common import DropGate, ImageSize, MaxDrop, ReportPath
from edgecv_cli.config.gating import (
    drop_in_force,
    require_labels,
    require_suffix,
    require_time,
)
from edgecv_cli.core.errors import UsageError

Verified = Literal["ran", "built", "structure"]

ComparedPath = Annotated[Path, Input("images", limit="limit")]
CalibrationPath = Annotated[Path, Input("images", limit="calibration_images")]


class ConversionConfig(CommonConfig):
    """What is converted, where to, and the images that it is compared on."""

    suffix: ClassVar[str]
    """Ending of what is saved."""

    model: Annotated[ArtifactPath, Flag(positional=True)] = Field(
        description="Detector to convert (.onnx), in float."
    )
    output: OutputPath
    precision: str
    images: Annotated[ComparedPath | None, Flag(metavar="DIR")] = Field(
        None, description="Images to compare detections on; no labels needed."
    )
    data: Annotated[DatasetPath | None, Flag(metavar="DIR")] = Field(
        None, description="Labelled images (COCO, YOLO txt or Pascal VOC) for the accuracy gate."
    )
    limit: Annotated[int | None, Flag(metavar="N")] = Field(
        None, ge=1, description="Images of --images and --data to use. Default: all."
    )
    input_size: Annotated[ImageSize | None, Flag(metavar="HxW")] = Field(
        None, description="Input size that a model which leaves it open is fixed to."
    )
    report: Annotated[ReportPath | None, Flag(metavar="FILE.html")] = Field(
        None, description="Write what was measured as one HTML file, even if a gate refuses."
    )
    force: bool = Field(False, description="Overwrite an existing output.")

    @property
    def has_images(self) -> bool:
        """Whether there is anything to compare detections on."""
        return self.images is not None or self.data is not None


class CalibratedConfig(ConversionConfig):
    """What a converter to int8 takes as well."""

    calibration: Annotated[CalibrationPath | None, Flag(metavar="DIR", panel="To int8")] = Field(
        None, description="Images to calibrate on, for --precision int8."
    )
    calibration_images: Annotated[int, Flag(metavar="N", panel="To int8")] = Field(
        128, ge=1, le=100_000, description="Calibration images to use."
    )

    @property
    def has_images(self) -> bool:
        """Whether there is anything to compare detections on."""
        return self.calibration is not None or super().has_images

    @model_validator(mode="after")
    def _calibrates_int8(self) -> Self:
        require_int8(self.calibration, self.precision)
        return self


class VerifiedConfig(ConversionConfig):
    """How a conversion is verified, and the gates that it has to pass."""

    speed_seconds: Annotated[float, Flag(metavar="S", panel="How it is verified")] = Field(
        6.0, ge=0, le=3600, description="Time spent on measuring the speed; 0 measures none."
    )
    min_agreement: Annotated[float | None, Flag(metavar="F", panel="Gates")] = Field(
        None, ge=0, le=1, description="Agreement with the original."
    )
    max_drop: Annotated[DropGate | None, Flag(metavar="1%|0.5pt", panel="Gates")] = Field(
        None, description="Largest loss of mAP on --data. Default with --data: 1%."
    )
    min_snr: Annotated[float | None, Flag(metavar="DB", panel="Gates")] = Field(
        None, ge=0, le=200, description="Least signal-to-noise ratio of every output."
    )
    min_speedup: Annotated[float | None, Flag(metavar="R", panel="Gates")] = Field(
        None, ge=0, le=1000, description="Least speed against ONNX Runtime. Default: any."
    )
    require: Verified | None
    keep_rejected: Annotated[OutputPath | None, Flag(panel="Gates")] = Field(
        None, description="Where to keep the result if a gate refuses it."
    )

    @model_validator(mode="after")
    def _opened_by_its_name(self) -> Self:
        require_suffix(
            self.suffix, {"--output": self.output, "--keep-rejected": self.keep_rejected}
        )
        return self

    @model_validator(mode="after")
    def _gates_can_be_measured(self) -> Self:
        require_labels(self.max_drop, self.data, instead="--min-agreement with --images")
        if self.min_agreement is not None and not self.has_images:
            raise UsageError(
                "--min-agreement needs images to compare detections on", remedy="add --images DIR"
            )
        require_time(self.min_speedup, self.speed_seconds)
        return self

    @property
    def usual_drop(self) -> MaxDrop:
        """The accuracy gate where none is named."""
        return MaxDrop(1.0, "%")

    @property
    def drop_gate(self) -> MaxDrop | None:
        """The accuracy gate in force: None without labelled data, else what was asked or usual."""
        return drop_in_force(self.max_drop, self.data, self.usual_drop)


def require_int8(calibration: Path | None, precision: str | None) -> None:
    """Refuse images to calibrate on where nothing becomes int8.

    Raises:
        UsageError: ``--precision`` says something else.
    """
    if calibration is not None and precision != "int8":
        raise UsageError(
            "--calibration is for --precision int8", remedy="add --precision int8, or leave it"
        )
