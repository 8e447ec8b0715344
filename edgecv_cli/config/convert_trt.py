"""What ``edgecv convert-trt`` takes."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from edgecv_cli.config.baking import BakingConfig
from edgecv_cli.config.base import (
    ArtifactPath,
    DatasetPath,
    FilePath,
    Flag,
    OutputPath,
)
from edgecv_cli.config.common import DropGate, ImageSize, MaxDrop, Prefer
from edgecv_cli.config.conversion import (
    CalibrationPath,
    ComparedPath,
    Verified,
    require_int8,
)
from edgecv_cli.config.gating import drop_in_force, require_labels
from edgecv_cli.config.quantize import DEFAULT_AGREEMENT, DEFAULT_DROP
from edgecv_cli.core.errors import UsageError

TrtDevice = Literal["rtx", "gpu", "jetson-orin", "jetson-xavier", "jetson-thor", "dla"]
_CLASSIC = (
    *("workspace", "builder_level", "version_compatible", "hardware_compatible"),
    *("max_batch", "timing_cache"),
)
VERIFIED: tuple[Verified, ...] = ("structure", "built", "ran")
"""How far a conversion was verified, from least to most."""

_CAPABILITY = re.compile(r"\d{1,2}\.\d")


def _capabilities(value: Any) -> Any:
    if isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
        value = ",".join(value)
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",")]
    if not all(_CAPABILITY.fullmatch(part) for part in parts):
        raise ValueError(f"write compute capabilities as 8.9,12.0, not {value!r}")
    return tuple(dict.fromkeys(parts))


Capabilities = Annotated[
    tuple[str, ...],
    BeforeValidator(_capabilities),
    PlainSerializer(",".join, return_type=str, when_used="unless-none"),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,2}\.\d(,\d{1,2}\.\d)*$"}),
]
"""Compute capabilities of GPUs, written ``8.9,12.0``."""


class ConvertTrtConfig(BakingConfig):
    """Options of convert-trt."""

    model: Annotated[ArtifactPath, Flag(positional=True)] = Field(
        description="Detector to check and convert (.onnx)."
    )
    output: Annotated[OutputPath | None, Flag("-o", "--output", metavar="OUT")] = Field(
        None,
        description="Folder that gets model.onnx, and model.engine or bundle/; or a name that ends "
        "in .onnx for the checked model alone.",
    )
    check_only: bool = Field(False, description="Only hold the graph against the rules.")
    fix: bool = Field(False, description="Rewrite what breaks a rule and can be rewritten.")
    input_size: Annotated[ImageSize | None, Flag(metavar="HxW")] = Field(
        None, description="Input size of a model that leaves it open; needs --fix."
    )
    force: bool = Field(False, description="Overwrite an existing output.")

    device: Annotated[TrtDevice | None, Flag(panel="Target")] = Field(
        None, description="What it will run on. Default: rtx; gpu with --trt-version."
    )
    trt_version: Annotated[str | None, Flag(metavar="V", panel="Target")] = Field(
        None,
        min_length=1,
        max_length=32,
        description="Release of classic TensorRT: 8.6, 10.x or 11.x. Default: the device's.",
    )
    precision: Annotated[Literal["fp32", "fp16", "int8"] | None, Flag(panel="Target")] = Field(
        None,
        description="Precision of the engine; fp16 with --fix casts in the graph, int8 of a float "
        "model takes --calibration. Default: the graph's own.",
    )
    compute_capability: Annotated[Capabilities | None, Flag(metavar="8.9,12.0", panel="Target")] = (
        Field(None, description="GPUs to build for. Default: all that TensorRT-RTX offers.")
    )

    calibration: Annotated[CalibrationPath | None, Flag(metavar="DIR", panel="To int8")] = Field(
        None, description="Images to calibrate on, for --precision int8 of a float model."
    )
    calibration_images: Annotated[int, Flag(metavar="N", panel="To int8")] = Field(
        128, ge=1, le=100_000, description="Calibration images to use."
    )
    prefer: Annotated[Prefer, Flag(panel="To int8")] = Field(
        "balanced", description="Which candidate wins; accuracy accepts one that is slower."
    )

    workspace: Annotated[int | None, Flag(metavar="MIB", panel="Classic TensorRT")] = Field(
        None, ge=16, le=1_048_576, description="Memory that a kernel may use. Default: 2048."
    )
    builder_level: Annotated[int | None, Flag(metavar="N", panel="Classic TensorRT")] = Field(
        None, ge=0, le=5, description="How long to look for kernels, 0 to 5. Default: TensorRT's."
    )
    version_compatible: Annotated[bool, Flag(panel="Classic TensorRT")] = Field(
        False, description="The engine also runs on later releases of the same major version."
    )
    hardware_compatible: Annotated[
        Literal["ampere+", "same-compute-capability"] | None, Flag(panel="Classic TensorRT")
    ] = Field(None, description="Other GPUs that the engine runs on. Default: none.")
    max_batch: Annotated[int | None, Flag(metavar="N", panel="Classic TensorRT")] = Field(
        None,
        ge=1,
        le=1024,
        description="Most pictures at once, of a model that leaves its batch open. Default: 1.",
    )
    timing_cache: Annotated[FilePath | None, Flag(metavar="FILE", panel="Classic TensorRT")] = (
        Field(None, description="timing.cache of an earlier build, which makes this one faster.")
    )

    images: Annotated[ComparedPath | None, Flag(metavar="DIR", panel="Gates")] = Field(
        None,
        description="Images to check the fixed model on, against the original, and for the golden "
        "inputs of a bundle; no labels.",
    )
    data: Annotated[DatasetPath | None, Flag(metavar="DIR", panel="Gates")] = Field(
        None, description="Labelled images for the accuracy gate of the fixed model."
    )
    limit: Annotated[int | None, Flag(metavar="N", panel="Gates")] = Field(
        None, ge=1, le=100_000, description="Images of --images or --data to use. Default: all."
    )
    max_drop: Annotated[DropGate | None, Flag(metavar="1%|0.5pt", panel="Gates")] = Field(
        None, description="Largest loss of mAP on --data. Default with --data: 3%."
    )
    min_agreement: Annotated[float | None, Flag(metavar="F", panel="Gates")] = Field(
        None, ge=0, le=1, description="Agreement with the original. Default without --data: 0.90."
    )
    require: Annotated[Verified | None, Flag(panel="Gates")] = Field(
        None, description="Exit with 3 if it is verified less far than this."
    )

    @model_validator(mode="after")
    def _looking(self) -> Self:
        given = [
            self.option_name(name)
            for name in (
                *("output", "fix", "input_size", "images", "data", "calibration", "require"),
                "bake_preprocess",
            )
            if getattr(self, name) not in (None, False)
        ]
        if self.check_only and given:
            raise UsageError(
                f"--check-only changes and writes nothing, and {given[0]} asks for more",
                remedy=f"leave {given[0]} out, or --check-only",
            )
        if not self.check_only and self.output is None:
            raise UsageError("no output was named", remedy="add -o OUT, or --check-only to look")
        return self

    @model_validator(mode="after")
    def _fixing(self) -> Self:
        for name in ("input_size", "images", "data"):
            used = self.elsewhere if name == "images" else self.calibration is not None
            used = used or (self.bake_preprocess and name != "input_size")
            if getattr(self, name) is not None and not self.fix and not used:
                raise UsageError(
                    f"{self.option_name(name)} is of use with --fix alone", remedy="add --fix"
                )
        require_labels(self.max_drop, self.data, instead="--min-agreement")
        if self.min_agreement is not None and not (self.images or self.data or self.calibration):
            raise UsageError("--min-agreement needs images", remedy="add --images DIR")
        return self

    @model_validator(mode="after")
    def _calibrating(self) -> Self:
        require_int8(self.calibration, self.precision)
        return self

    @model_validator(mode="after")
    def _building_elsewhere(self) -> Self:
        given = [name for name in _CLASSIC if getattr(self, name) not in (None, False)]
        if given and not self.elsewhere:
            raise UsageError(
                f"{self.option_name(given[0])} goes with an engine of classic TensorRT",
                remedy="name a folder with -o, and a --device other than rtx",
            )
        return self

    @model_validator(mode="after")
    def _building(self) -> Self:
        if self.builds:
            return self
        if self.compute_capability is not None:
            raise UsageError(
                "--compute-capability goes with an engine, and none is built here",
                remedy="name a folder with -o, and --device rtx",
            )
        if self.require in ("built", "ran") and not self.elsewhere:
            raise UsageError(
                f"--require {self.require} goes with an engine, and none is built here",
                remedy="name a folder with -o, and --device rtx",
            )
        return self

    @property
    def model_only(self) -> bool:
        """Whether the output is the checked model alone."""
        return self.output is not None and self.output.suffix.lower() == ".onnx"

    @property
    def builds(self) -> bool:
        """Whether an engine is built."""
        return self._rtx and self.output is not None and not self.model_only

    @property
    def _rtx(self) -> bool:
        return self.device == "rtx" or (self.device is None and self.trt_version is None)

    @property
    def elsewhere(self) -> bool:
        """Whether it is for classic TensorRT: an engine where that is here, else a bundle."""
        return self.output is not None and not self.model_only and not self._rtx

    @property
    def drop_gate(self) -> MaxDrop | None:
        """The accuracy gate in force: None without labelled data, else what was asked or 3 %."""
        return drop_in_force(self.max_drop, self.data, DEFAULT_DROP)

    @property
    def agreement_gate(self) -> float | None:
        """The agreement gate in force: what was asked, else 0.90 where there are no labels."""
        if self.min_agreement is None and self.data is None:
            return DEFAULT_AGREEMENT
        return self.min_agreement
