"""What ``edgecv convert-openvino`` takes."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from edgecv_cli.config.baking import BakingConfig
from edgecv_cli.config.base import ArtifactPath, Flag, OutputPath
from edgecv_cli.config.common import Prefer
from edgecv_cli.config.conversion import (
    CalibratedConfig,
    CalibrationPath,
    Verified,
    VerifiedConfig,
)
from edgecv_cli.core.errors import UsageError

Quantizer = Literal["edgecv", "nncf"]


class ConvertOpenVinoConfig(BakingConfig, VerifiedConfig, CalibratedConfig):
    """Options of convert-openvino."""

    suffix: ClassVar[str] = ".xml"

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
    dynamic_batch: bool = Field(
        False, description="Leave an open batch open; else it becomes 1, which is faster."
    )

    calibration: Annotated[CalibrationPath | None, Flag(metavar="DIR", panel="To int8")] = Field(
        None, description="Images to calibrate on, for --precision int8 of a float model."
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

    min_agreement: Annotated[float | None, Flag(metavar="F", panel="Gates")] = Field(
        None,
        ge=0,
        le=1,
        description="Agreement with the original. Default with --images: 0.99, of int8 and bf16 "
        "0.90.",
    )
    min_snr: Annotated[float | None, Flag(metavar="DB", panel="Gates")] = Field(
        None,
        ge=0,
        le=200,
        description="Least signal-to-noise ratio of every output. Default without images: 30, of "
        "int8 and bf16 10.",
    )
    require: Annotated[Verified, Flag(panel="Gates")] = Field(
        "ran", description="How far the result must have been verified on this machine."
    )
    keep_rejected: Annotated[OutputPath | None, Flag(metavar="PATH.xml", panel="Gates")] = Field(
        None, description="Where to keep the result if a gate refuses it."
    )

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        name, _, rest = self.engine.partition(":")
        if name != "openvino" or ":" in rest:
            raise UsageError(
                f"--engine {self.engine} can't run the result as it is to be verified",
                remedy="use --engine openvino or openvino:DEVICE; --precision says the rest",
            )
        if self.quantizer != "auto" and self.calibration is None:
            raise UsageError(
                f"--quantizer {self.quantizer} quantizes a float model, on images",
                remedy="add --precision int8 --calibration DIR, or leave --quantizer out",
            )
        return self

    @property
    def run_as(self) -> str:
        """The engine, device and float precision that the result is verified with."""
        if self.precision != "bf16":
            return self.engine
        _, _, device = self.engine.partition(":")
        return f"openvino:{device}:bf16"
