"""What ``edgecv convert-openvino`` takes."""

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
from edgecv_cli.config.common import DropGate, ImageSize, MaxDrop, Prefer, ReportPath
from edgecv_cli.core.errors import UsageError

Verified = Literal["ran", "built", "structure"]
Quantizer = Literal["edgecv", "nncf"]

DEFAULT_DROP = MaxDrop(1.0, "%")

_ComparedPath = Annotated[Path, Input("images", limit="limit")]
_CalibrationPath = Annotated[Path, Input("images", limit="calibration_images")]


class ConvertOpenVinoConfig(CommonConfig):
    """Options of convert-openvino."""

    model: Annotated[ArtifactPath, Flag(positional=True)] = Field(
        description="Detector to convert (.onnx): float, or quantized in QDQ form."
    )
    output: Annotated[OutputPath, Flag("-o", "--output", metavar="OUT.xml")] = Field(
        description="Where the IR is saved; its weights go beside it as OUT.bin."
    )
    precision: Literal["auto", "fp32", "fp16", "bf16", "int8"] = Field(
        "auto",
        description="auto: as the model is. fp16 halves the weights. bf16 is how float layers "
        "are run. int8 of a float model takes --calibration.",
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
    dynamic_batch: bool = Field(
        False, description="Leave an open batch open; else it becomes 1, which is faster."
    )
    report: Annotated[ReportPath | None, Flag(metavar="FILE.html")] = Field(
        None, description="Write what was measured as one HTML file, even if a gate refuses."
    )
    force: bool = Field(False, description="Overwrite an existing output.")

    calibration: Annotated[_CalibrationPath | None, Flag(metavar="DIR", panel="To int8")] = Field(
        None, description="Images to calibrate on, for --precision int8 of a float model."
    )
    calibration_images: Annotated[int, Flag(metavar="N", panel="To int8")] = Field(
        128, ge=1, le=100_000, description="Calibration images to use."
    )
    prefer: Annotated[Prefer, Flag(panel="To int8")] = Field(
        "balanced", description="Which candidate wins; accuracy accepts one that is slower."
    )
    quantizer: Annotated[Literal["auto", "edgecv", "nncf"], Flag(panel="To int8")] = Field(
        "auto",
        description="What makes int8 of a float model. auto: edgecv, and NNCF where that is "
        "installed; what measures better is kept.",
    )

    engine: Annotated[
        str,
        Flag(metavar="openvino[:DEVICE]", panel="How it is verified", suggest=("openvino",)),
    ] = Field("openvino", min_length=1, description="Device that the result is run on.")
    speed_seconds: Annotated[float, Flag(metavar="S", panel="How it is verified")] = Field(
        6.0, ge=0, le=3600, description="Time spent on measuring the speed; 0 measures none."
    )

    min_agreement: Annotated[float | None, Flag(metavar="F", panel="Gates")] = Field(
        None,
        ge=0,
        le=1,
        description="Agreement with the original. Default with --images: 0.99, of int8 and bf16 "
        "0.90.",
    )
    max_drop: Annotated[DropGate | None, Flag(metavar="1%|0.5pt", panel="Gates")] = Field(
        None, description="Largest loss of mAP on --data. Default with --data: 1%."
    )
    min_snr: Annotated[float | None, Flag(metavar="DB", panel="Gates")] = Field(
        None,
        ge=0,
        le=200,
        description="Least signal-to-noise ratio of every output. Default without images: 30, of "
        "int8 and bf16 10.",
    )
    min_speedup: Annotated[float | None, Flag(metavar="R", panel="Gates")] = Field(
        None, ge=0, le=1000, description="Least speed against ONNX Runtime. Default: any."
    )
    require: Annotated[Verified, Flag(panel="Gates")] = Field(
        "ran", description="How far the result must have been verified on this machine."
    )
    keep_rejected: Annotated[OutputPath | None, Flag(metavar="PATH.xml", panel="Gates")] = Field(
        None, description="Where to keep the result if a gate refuses it."
    )

    @model_validator(mode="after")
    def _saved_as_ir(self) -> Self:
        for flag, path in (("--output", self.output), ("--keep-rejected", self.keep_rejected)):
            if path is not None and path.suffix.lower() != ".xml":
                raise UsageError(
                    f"{flag} {path}: the name does not end in .xml, so nothing would open it",
                    remedy=f"name it {path.stem}.xml",
                )
        return self

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        name, _, rest = self.engine.partition(":")
        if name != "openvino" or ":" in rest:
            raise UsageError(
                f"--engine {self.engine} can't run the result as it is to be verified",
                remedy="use --engine openvino or openvino:DEVICE; --precision says the rest",
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
        if self.calibration is not None and self.precision != "int8":
            raise UsageError(
                "--calibration is for --precision int8", remedy="add --precision int8, or leave it"
            )
        if self.quantizer != "auto" and self.calibration is None:
            raise UsageError(
                f"--quantizer {self.quantizer} quantizes a float model, on images",
                remedy="add --precision int8 --calibration DIR, or leave --quantizer out",
            )
        if self.min_speedup is not None and not self.speed_seconds:
            raise UsageError(
                "--min-speedup needs the speed that --speed-seconds 0 leaves out",
                remedy="leave --speed-seconds out",
            )
        return self

    @property
    def drop_gate(self) -> MaxDrop | None:
        """The accuracy gate in force: None without labelled data, else what was asked or 1 %."""
        if self.data is None:
            return None
        return self.max_drop if self.max_drop is not None else DEFAULT_DROP

    @property
    def run_as(self) -> str:
        """The engine, device and float precision that the result is verified with."""
        if self.precision != "bf16":
            return self.engine
        _, _, device = self.engine.partition(":")
        return f"openvino:{device}:bf16"
