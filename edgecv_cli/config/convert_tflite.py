"""What ``edgecv convert-tflite`` takes."""

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
from edgecv_cli.config.common import DropGate, ImageSize, MaxDrop, ReportPath
from edgecv_cli.config.convert_openvino import Verified
from edgecv_cli.core.errors import UsageError

DEFAULT_DROP = {"float": MaxDrop(1.0, "%"), "int8": MaxDrop(1.5, "pt")}

_ComparedPath = Annotated[Path, Input("images", limit="limit")]
_CalibrationPath = Annotated[Path, Input("images", limit="calibration_images")]


class ConvertTfliteConfig(CommonConfig):
    """Options of convert-tflite."""

    model: Annotated[ArtifactPath, Flag(positional=True)] = Field(
        description="Detector to convert (.onnx), in float."
    )
    output: Annotated[OutputPath, Flag("-o", "--output", metavar="OUT.tflite")] = Field(
        description="Where the LiteRT file is saved."
    )
    precision: Literal["fp32", "fp16", "int8"] = Field(
        "fp32",
        description="fp16 stores weights as float16. int8 makes weights, activations, inputs and "
        "outputs int8 and takes --calibration.",
    )
    decode: Literal["auto", "inside", "outside"] = Field(
        "auto",
        description="Where boxes are decoded: by LiteRT inside of the graph, or after it by "
        "edgecv. auto: inside in float, outside in int8, where it would cost the accuracy.",
    )
    images: Annotated[_ComparedPath | None, Flag(metavar="DIR")] = Field(
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

    calibration: Annotated[_CalibrationPath | None, Flag(metavar="DIR", panel="To int8")] = Field(
        None, description="Images to calibrate on, for --precision int8."
    )
    calibration_images: Annotated[int, Flag(metavar="N", panel="To int8")] = Field(
        64, ge=1, le=10_000, description="Calibration images to use."
    )

    speed_seconds: Annotated[float, Flag(metavar="S", panel="How it is verified")] = Field(
        6.0, ge=0, le=3600, description="Time spent on measuring the speed; 0 measures none."
    )

    min_agreement: Annotated[float | None, Flag(metavar="F", panel="Gates")] = Field(
        None,
        ge=0,
        le=1,
        description="Agreement with the original. Default with --images: 0.99, of int8 0.80.",
    )
    max_drop: Annotated[DropGate | None, Flag(metavar="1%|0.5pt", panel="Gates")] = Field(
        None, description="Largest loss of mAP on --data. Default with --data: 1%, of int8 1.5pt."
    )
    min_snr: Annotated[float | None, Flag(metavar="DB", panel="Gates")] = Field(
        None,
        ge=0,
        le=200,
        description="Least signal-to-noise ratio of every output. Default without images: 30, of "
        "int8 3.",
    )
    min_speedup: Annotated[float | None, Flag(metavar="R", panel="Gates")] = Field(
        None, ge=0, le=1000, description="Least speed against ONNX Runtime. Default: any."
    )
    require: Annotated[Verified, Flag(panel="Gates")] = Field(
        "ran", description="How far the result must have been verified on this machine."
    )
    keep_rejected: Annotated[OutputPath | None, Flag(metavar="PATH.tflite", panel="Gates")] = Field(
        None, description="Where to keep the result if a gate refuses it."
    )

    @model_validator(mode="after")
    def _saved_as_tflite(self) -> Self:
        for flag, path in (("--output", self.output), ("--keep-rejected", self.keep_rejected)):
            if path is not None and path.suffix.lower() != ".tflite":
                raise UsageError(
                    f"{flag} {path}: the name does not end in .tflite, so nothing would open it",
                    remedy=f"name it {path.stem}.tflite",
                )
        return self

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        if self.precision == "int8" and self.calibration is None:
            raise UsageError(
                "--precision int8 needs images to calibrate on", remedy="add --calibration DIR"
            )
        if self.calibration is not None and self.precision != "int8":
            raise UsageError(
                "--calibration is for --precision int8", remedy="add --precision int8, or leave it"
            )
        if self.max_drop is not None and self.data is None:
            raise UsageError(
                "--max-drop needs labelled images to measure the drop on",
                remedy="add --data DIR (labelled images), or use --min-agreement with --images",
            )
        if self.min_agreement is not None and not (self.images or self.data or self.calibration):
            raise UsageError(
                "--min-agreement needs images to compare detections on", remedy="add --images DIR"
            )
        if self.min_speedup is not None and not self.speed_seconds:
            raise UsageError(
                "--min-speedup needs the speed that --speed-seconds 0 leaves out",
                remedy="leave --speed-seconds out",
            )
        return self

    @property
    def kind(self) -> Literal["float", "int8"]:
        """Which defaults hold."""
        return "int8" if self.precision == "int8" else "float"

    @property
    def drop_gate(self) -> MaxDrop | None:
        """The accuracy gate in force: None without labelled data, else what was asked or usual."""
        if self.data is None:
            return None
        return self.max_drop if self.max_drop is not None else DEFAULT_DROP[self.kind]

    @property
    def cut(self) -> bool:
        """Whether decoding is left outside of the graph."""
        return self.decode == "outside" or (self.decode == "auto" and self.precision == "int8")
