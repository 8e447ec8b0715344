"""What ``edgecv convert-tflite`` takes."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from edgecv_cli.config.base import Flag, OutputPath
from edgecv_cli.config.common import DropGate, MaxDrop
from edgecv_cli.config.conversion import CalibratedConfig, Verified, VerifiedConfig
from edgecv_cli.core.errors import UsageError

DEFAULT_DROP = {"float": MaxDrop(1.0, "%"), "int8": MaxDrop(1.5, "pt")}


class ConvertTfliteConfig(VerifiedConfig, CalibratedConfig):
    """Options of convert-tflite."""

    suffix: ClassVar[str] = ".tflite"

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

    calibration_images: Annotated[int, Flag(metavar="N", panel="To int8")] = Field(
        64, ge=1, le=10_000, description="Calibration images to use."
    )
    gates: Annotated[Literal["apart", "together"], Flag(panel="To int8")] = Field(
        "apart",
        description="Gates of SiLU and HardSwish beside depthwise layers, slopes of LeakyRelu. "
        "apart: from a copy of the layer, for accuracy; together: as the model has them, for "
        "speed.",
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
    require: Annotated[Verified, Flag(panel="Gates")] = Field(
        "ran", description="How far the result must have been verified on this machine."
    )
    keep_rejected: Annotated[OutputPath | None, Flag(metavar="PATH.tflite", panel="Gates")] = Field(
        None, description="Where to keep the result if a gate refuses it."
    )

    @model_validator(mode="after")
    def _int8_is_calibrated(self) -> Self:
        if self.precision == "int8" and self.calibration is None:
            raise UsageError(
                "--precision int8 needs images to calibrate on", remedy="add --calibration DIR"
            )
        return self

    @property
    def kind(self) -> Literal["float", "int8"]:
        """Which defaults hold."""
        return "int8" if self.precision == "int8" else "float"

    @property
    def usual_drop(self) -> MaxDrop:
        """The accuracy gate where none is named."""
        return DEFAULT_DROP[self.kind]

    @property
    def cut(self) -> bool:
        """Whether decoding is left outside of the graph."""
        return self.decode == "outside" or (self.decode == "auto" and self.precision == "int8")
