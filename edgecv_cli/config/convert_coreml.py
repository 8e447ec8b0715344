"""What ``edgecv convert-coreml`` takes."""

from __future__ import annotations

import platform
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from edgecv_cli.config.base import DatasetPath, Flag, OutputPath
from edgecv_cli.config.common import ReportPath
from edgecv_cli.config.conversion import ComparedPath, Verified, VerifiedConfig
from edgecv_cli.core.errors import UsageError

DEFAULT_BITS = 6

Target = Literal["iOS15", "iOS16", "iOS17", "iOS18", "macOS12", "macOS13", "macOS14", "macOS15"]
_COMPRESSES = ("iOS16", "iOS17", "iOS18", "macOS13", "macOS14", "macOS15")


class ConvertCoremlConfig(VerifiedConfig):
    """Options of convert-coreml."""

    suffix: ClassVar[str] = ".mlpackage"

    output: Annotated[OutputPath, Flag("-o", "--output", metavar="OUT.mlpackage")] = Field(
        description="Where the Core ML package, a folder, is saved."
    )
    precision: Literal["fp16", "fp32", "int8-weights", "palettize"] = Field(
        "fp16",
        description="fp16: weights and arithmetic in 16 bits. int8-weights and palettize store the "
        "weights narrower and compute in fp16.",
    )
    bits: Annotated[int | None, Flag(metavar="4|6|8")] = Field(
        None, description="Bits of a weight, for --precision palettize. Default: 6."
    )
    feed: Literal["image", "tensor"] = Field(
        "image",
        description="image: apps hand over a picture, and scaling stands inside the package. "
        "tensor: an array, fed as the .onnx is.",
    )
    nms: bool = Field(
        False,
        description="Put decoding and Core ML's NMS behind the network, as Vision and Xcode take "
        "detectors: boxes with labels come out.",
    )
    minimum_deployment_target: Target = Field(
        "iOS17", description="Oldest system that the package runs on."
    )
    images: Annotated[ComparedPath | None, Flag(metavar="DIR")] = Field(
        None, description="On macOS: images to compare detections on; no labels needed."
    )
    data: Annotated[DatasetPath | None, Flag(metavar="DIR")] = Field(
        None, description="On macOS: labelled images for the accuracy gate."
    )
    report: Annotated[ReportPath | None, Flag(metavar="FILE.html")] = Field(
        None, description="Write what was found as one HTML file, even if a gate refuses."
    )

    engine: Annotated[
        str, Flag(metavar="coreml[:UNITS]", panel="How it is verified", suggest=("coreml",))
    ] = Field(
        "coreml",
        min_length=1,
        description="On macOS: what runs it: coreml (all units), coreml:cpu, :gpu or :ane.",
    )
    speed_seconds: Annotated[float, Flag(metavar="S", panel="How it is verified")] = Field(
        6.0, ge=0, le=3600, description="On macOS: time spent on measuring the speed; 0: none."
    )

    min_agreement: Annotated[float | None, Flag(metavar="F", panel="Gates")] = Field(
        None,
        ge=0,
        le=1,
        description="Agreement with the original. Default with --images: 0.99, of compressed "
        "weights 0.90.",
    )
    min_snr: Annotated[float | None, Flag(metavar="DB", panel="Gates")] = Field(
        None,
        ge=0,
        le=200,
        description="Least signal-to-noise ratio of every output. Default without images: 20, of "
        "compressed weights 10.",
    )
    require: Annotated[Verified | None, Flag(panel="Gates")] = Field(
        None,
        description="How far the result must have been verified on this machine. Default: ran on "
        "macOS, structure elsewhere, for Core ML runs on macOS alone.",
    )
    keep_rejected: Annotated[OutputPath | None, Flag(metavar="PATH.mlpackage", panel="Gates")] = (
        Field(None, description="Where to keep the result if a gate refuses it.")
    )

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        if self.bits not in (None, 4, 6, 8):
            raise UsageError(f"--bits {self.bits} is no palette", remedy="use --bits 4, 6 or 8")
        if self.bits is not None and self.precision != "palettize":
            raise UsageError(
                "--bits is for --precision palettize",
                remedy="add --precision palettize, or leave --bits out",
            )
        if self.compression is not None and self.minimum_deployment_target not in _COMPRESSES:
            raise UsageError(
                f"{self.minimum_deployment_target} reads no compressed weights",
                remedy="use --minimum-deployment-target iOS16 or later, or --precision fp16",
            )
        if self.nms and self.feed == "tensor":
            raise UsageError(
                "--nms makes what Vision takes, which feeds pictures",
                remedy="leave --feed tensor out, or --nms",
            )
        if self.nms and self.min_snr is not None:
            raise UsageError(
                "--min-snr compares raw outputs, and --nms leaves boxes",
                remedy="use --min-agreement with --images, or leave --nms out",
            )
        name, _, rest = self.engine.partition(":")
        if name != "coreml" or ":" in rest:
            raise UsageError(
                f"--engine {self.engine} can't run the result as it is to be verified",
                remedy="use --engine coreml or coreml:UNITS",
            )
        return self

    @property
    def compression(self) -> Literal["int8", "palettize"] | None:
        """How weights are compressed."""
        if self.precision == "int8-weights":
            return "int8"
        return "palettize" if self.precision == "palettize" else None

    @property
    def palette_bits(self) -> int:
        """Bits of an index into a palette."""
        return self.bits or DEFAULT_BITS

    @property
    def required(self) -> Verified:
        """How far the result must have been verified."""
        return self.require or ("ran" if platform.system() == "Darwin" else "structure")
