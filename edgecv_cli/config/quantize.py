"""What ``edgecv quantize`` takes: flags, YAML keys and defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from edgecv_cli.config.baking import BakingConfig
from edgecv_cli.config.base import (
    ArtifactPath,
    DatasetPath,
    FilePath,
    Flag,
    ImagesPath,
    OutputPath,
)
from edgecv_cli.config.common import (
    ENGINES,
    DropGate,
    ImageSize,
    MaxDrop,
    Prefer,
    ReportPath,
    Target,
)
from edgecv_cli.config.gating import drop_in_force, require_labels
from edgecv_cli.core.errors import UsageError

Placement = Literal[
    "auto",
    "all",
    "last",
    "last2",
    "depthwise-float",
    "last-depthwise-float",
    "last2-depthwise-float",
]

Precision = Literal[
    "int8",
    "auto",
    "mixed",
    "fp32",
    "fp16",
    "bf16",
    "int8-int16",
    "int8-weights",
    "int4-weights",
    "int8-dynamic",
]

DEFAULT_DROP = MaxDrop(3.0, "%")
DEFAULT_AGREEMENT = 0.90
DEFAULT_INT8_SHARE = 0.6


def _on_or_off(value: Any) -> Any:
    """Take YAML's ``on`` and ``off``, which it reads as truth values, as they were written."""
    return ("off", "on")[value] if isinstance(value, bool) else value


Switch = Annotated[Literal["auto", "on", "off"], BeforeValidator(_on_or_off)]


class QuantizeConfig(BakingConfig):
    """Options of quantize."""

    model: Annotated[ArtifactPath, Flag(positional=True)] = Field(
        description="Detector to quantize (.onnx)."
    )
    output: Annotated[OutputPath | None, Flag("-o", "--output", metavar="OUT.onnx")] = Field(
        None, description="Where the quantized detector is saved. Required, but for --sensitivity."
    )
    calibration: Annotated[ImagesPath | None, Flag(metavar="DIR")] = Field(
        None,
        description="Images to calibrate on; no labels needed. With --plan, --data "
        "can take its place.",
    )
    data: Annotated[DatasetPath | None, Flag(metavar="DIR")] = Field(
        None, description="Labelled images (COCO, YOLO txt or Pascal VOC) for the accuracy gate."
    )
    images: Annotated[int, Flag(metavar="N")] = Field(
        128, ge=1, le=100_000, description="Calibration images to use."
    )
    limit: Annotated[int | None, Flag(metavar="N")] = Field(
        None, ge=1, description="Images of --data to use. Default: all."
    )
    input_size: Annotated[ImageSize | None, Flag(metavar="HxW")] = Field(
        None, description="Input size of a model that leaves it open."
    )
    report: Annotated[ReportPath | None, Flag(metavar="FILE.html")] = Field(
        None, description="Write what was measured as one HTML file, even if a gate refuses."
    )
    sensitivity: bool = Field(
        False, description="Only say which layers cost how much accuracy in int8; saves no model."
    )
    requantize: bool = Field(
        False, description="Take a model that is quantized already: back to float first."
    )
    force: bool = Field(False, description="Overwrite an existing output.")

    target: Annotated[Target, Flag(panel="How to quantize")] = Field(
        "cpu", description="What it will run on; cpu: like this machine."
    )
    precision: Annotated[Precision, Flag(panel="How to quantize")] = Field(
        "int8", description="auto: int8 where it is shown to pay, else the fastest float form."
    )
    prefer: Annotated[Prefer, Flag(panel="How to quantize")] = Field(
        "balanced", description="Which candidate wins; accuracy accepts one that is slower."
    )
    placement: Annotated[Placement, Flag(panel="How to quantize")] = Field(
        "auto", description="Which layers stay float; auto tries several."
    )
    estimator: Annotated[
        Literal["auto", "mean-minmax", "minmax", "percentile", "mse"],
        Flag(panel="How to quantize"),
    ] = Field("auto", description="How activation ranges are taken from images.")
    percentile: Annotated[float, Flag(metavar="P", panel="How to quantize")] = Field(
        99.99, gt=50, le=100, description="Percentile of --estimator percentile."
    )
    equalisation: Annotated[Switch, Flag(panel="How to quantize")] = Field(
        "auto", description="Even out channels between layers, exactly; auto: where it helps."
    )
    bias_correction: Annotated[Switch, Flag(panel="How to quantize")] = Field(
        "auto", description="Correct biases for the mean error; auto: where it helps."
    )
    adaptive_rounding: Annotated[Switch, Flag(panel="How to quantize")] = Field(
        "auto", description="Round each weight as its layer's output asks; auto: where it helps."
    )
    min_int8_share: Annotated[float | None, Flag(metavar="F", panel="How to quantize")] = Field(
        None,
        ge=0,
        le=1,
        description="Least share of the MACs in int8. Default: 0; 0.6 with --prefer accuracy.",
    )
    keep_threshold: Annotated[bool, Flag(panel="How to quantize")] = Field(
        False, description="Leave the score threshold as it is rather than fit it anew."
    )
    plan: Annotated[FilePath | None, Flag(metavar="FILE.json", panel="How to quantize")] = Field(
        None, description="Replay a saved plan: no search, same bytes."
    )
    save_plan: Annotated[OutputPath | None, Flag(metavar="FILE.json", panel="How to quantize")] = (
        Field(None, description="Save what was decided, to replay with --plan.")
    )
    engine: Annotated[
        str | None,
        Flag(metavar="NAME[:DEVICE[:PRECISION]]", panel="How to quantize", suggest=ENGINES),
    ] = Field(None, min_length=1, description="Engine to measure with. Default: the target's.")
    speed_seconds: Annotated[float, Flag(metavar="S", panel="How to quantize")] = Field(
        6.0, gt=0, le=3600, description="Time spent on measuring the speed of each pair."
    )

    max_drop: Annotated[DropGate | None, Flag(metavar="1%|0.5pt", panel="Gates")] = Field(
        None, description="Largest loss of mAP on --data. Default with --data: 3%."
    )
    min_agreement: Annotated[float | None, Flag(metavar="F", panel="Gates")] = Field(
        None, ge=0, le=1, description="Agreement with the original. Default without --data: 0.90."
    )
    min_speedup: Annotated[float | None, Flag(metavar="R", panel="Gates")] = Field(
        None, ge=0, le=1000, description="Least speed-up. Default: 1.0; 0 with --prefer accuracy."
    )
    strict: Annotated[bool, Flag(panel="Gates")] = Field(
        False, description="Refuse a speed-up whose interval does not clear --min-speedup."
    )
    keep_rejected: Annotated[OutputPath | None, Flag(metavar="PATH", panel="Gates")] = Field(
        None, description="Where to keep the best candidate if a gate refuses it."
    )

    @model_validator(mode="after")
    def _saved_as_onnx(self) -> Self:
        for flag, path in (("--output", self.output), ("--keep-rejected", self.keep_rejected)):
            if path is not None and path.suffix.lower() != ".onnx":
                raise UsageError(
                    f"{flag} {path}: the name does not end in .onnx, so nothing would open it",
                    remedy=f"name it {path.name}.onnx",
                )
        return self

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        if self.output is None and not self.sensitivity:
            raise UsageError(
                "no output was named", remedy="add -o OUT.onnx (or --sensitivity to only look)"
            )
        if self.precision == "bf16":
            raise UsageError(
                "bf16 is a way to run a float file, not another file",
                remedy="run the model as it is with --engine openvino:cpu:bf16",
            )
        require_labels(self.max_drop, self.data, instead="--min-agreement")
        if self.calibration is None and self.plan is None:
            raise UsageError(
                "no calibration images were given",
                remedy="add --calibration DIR (a folder of images), or --plan FILE with --data DIR",
            )
        return self

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

    @property
    def saved_as(self) -> Path:
        """Where the model goes; only asked for where it was named."""
        assert self.output is not None
        return self.output

    @property
    def least_share(self) -> float:
        """The least share of the multiply-accumulates in int8 (0..1) that is in force."""
        if self.min_int8_share is not None:
            return self.min_int8_share
        return DEFAULT_INT8_SHARE if self.prefer == "accuracy" else 0.0

    @property
    def must_be_shown(self) -> bool:
        """Whether the whole interval must clear the speed gate: asked for, or fp32 is at hand."""
        return self.strict or self.precision == "auto"

    @property
    def speedup_gate(self) -> float:
        """The speed gate in force: 0 accepts any speed."""
        if self.min_speedup is not None:
            return self.min_speedup
        return 0.0 if self.prefer == "accuracy" else 1.0
