"""What ``edgecv prune`` takes: flags, YAML keys and defaults."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edgecv_cli.config.base import (
    ArtifactPath,
    CommonConfig,
    DatasetPath,
    Flag,
    ImagesPath,
    OutputPath,
)
from edgecv_cli.config.common import Device, DropGate, ImageSize, MaxDrop, ReportPath
from edgecv_cli.config.gating import drop_in_force, require_labels, require_time
from edgecv_cli.core.errors import UsageError

DEFAULT_DROP = MaxDrop(3.0, "%")
DEFAULT_AGREEMENT = 0.90

_TUNING = "With --recover finetune"
_OF_TUNING = {"steps", "minutes", "learning_rate", "amp", "device", "resume"}

Importance = Literal["damage", "error", "taylor", "activation", "l2", "l1"]
Recover = Literal["reconstruct", "finetune", "bias", "none"]


class PruneConfig(CommonConfig):
    """Options of prune."""

    model: Annotated[ArtifactPath, Flag(positional=True)] = Field(
        description="Float detector to prune (.onnx)."
    )
    output: Annotated[OutputPath | None, Flag("-o", "--output", metavar="OUT.onnx")] = Field(
        None, description="Where the smaller detector is saved. Required, but for --show-groups."
    )
    calibration: Annotated[ImagesPath | None, Flag(metavar="DIR")] = Field(
        None, description="Images to choose channels and fit weights on; no labels needed."
    )
    data: Annotated[DatasetPath | None, Flag(metavar="DIR")] = Field(
        None, description="Labelled images (COCO, YOLO txt or Pascal VOC) for the accuracy gate."
    )
    images: Annotated[int, Flag(metavar="N")] = Field(
        128, ge=2, le=100_000, description="Calibration images to use."
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
    show_groups: bool = Field(
        False, description="Only say which channels can leave together, and what must stay and why."
    )
    force: bool = Field(False, description="Overwrite an existing output.")

    target_flops: Annotated[float | None, Flag(metavar="R", panel="How much, and what")] = Field(
        None, gt=0, lt=1, description="Part of the multiply-accumulates to keep: 0.8."
    )
    target_parameters: Annotated[float | None, Flag(metavar="R", panel="How much, and what")] = (
        Field(None, gt=0, lt=1, description="Part of the weights to keep, in the place of that.")
    )
    target_speedup: Annotated[float | None, Flag(metavar="R", panel="How much, and what")] = Field(
        None,
        gt=1,
        le=1000,
        description="Speed against the original to reach here, measured: 1.2. In the place of a "
        "part to keep.",
    )
    importance: Annotated[Importance, Flag(panel="How much, and what")] = Field(
        "damage",
        description="What ranks channels. damage: the measured loss of detections; error: of the "
        "layers that read them; taylor: by gradients (needs edgecv[train]); activation, l2, l1: "
        "simpler.",
    )
    recover: Annotated[Recover, Flag(panel="How much, and what")] = Field(
        "reconstruct",
        description="reconstruct fits the weights that stay by least squares; finetune trains "
        "them after that (needs edgecv[train]); bias fits the biases alone.",
    )
    cap: Annotated[float, Flag(metavar="F", panel="How much, and what")] = Field(
        0.5, gt=0, lt=1, description="Largest part of a group of channels that may leave."
    )
    round_to: Annotated[int, Flag(metavar="N", panel="How much, and what")] = Field(
        8, ge=1, le=64, description="Channels of a group leave in multiples of this."
    )

    steps: Annotated[int, Flag(metavar="N", panel=_TUNING)] = Field(
        400, ge=1, le=1_000_000, description="Updates of the weights, at most."
    )
    minutes: Annotated[float | None, Flag(metavar="M", panel=_TUNING)] = Field(
        None, gt=0, le=100_000, description="Time for the updates, at most. Default: no bound."
    )
    learning_rate: Annotated[float, Flag(metavar="R", panel=_TUNING)] = Field(
        0.0005,
        gt=0,
        le=1,
        description="Most that an update moves a weight, as a part of its tensor's size.",
    )
    amp: Annotated[bool, Flag(panel=_TUNING)] = Field(
        False,
        description="Compute convolutions in bfloat16: faster where the processor or GPU has it, "
        "for networks that are not depthwise.",
    )
    device: Annotated[Device, Flag(panel=_TUNING)] = Field(
        "cpu", description="Where it is trained: cpu or cuda."
    )
    resume: Annotated[bool, Flag(panel=_TUNING)] = Field(
        False, description="Go on with the training that was interrupted, kept beside the output."
    )

    max_drop: Annotated[DropGate | None, Flag(metavar="1%|0.5pt", panel="Gates")] = Field(
        None, description="Largest loss of mAP on --data. Default with --data: 3%."
    )
    min_agreement: Annotated[float | None, Flag(metavar="F", panel="Gates")] = Field(
        None,
        ge=0,
        le=1,
        description="Agreement with the original on the calibration images. Default without "
        "--data: 0.90.",
    )
    min_speedup: Annotated[float | None, Flag(metavar="R", panel="Gates")] = Field(
        None,
        ge=0,
        le=1000,
        description="Least speed against the original, measured here. Default: --target-speedup, "
        "else 1.0.",
    )
    speed_seconds: Annotated[float, Flag(metavar="S", panel="Gates")] = Field(
        6.0, ge=0, le=3600, description="Time spent on measuring the speed; 0 measures none."
    )
    keep_rejected: Annotated[OutputPath | None, Flag(metavar="PATH.onnx", panel="Gates")] = Field(
        None, description="Where to keep the result if a gate refuses it."
    )

    @model_validator(mode="after")
    def _says_what_to_do(self) -> Self:
        if self.show_groups:
            return self
        targets = {
            "--target-flops": self.target_flops,
            "--target-parameters": self.target_parameters,
            "--target-speedup": self.target_speedup,
        }
        given = [flag for flag, value in targets.items() if value is not None]
        if len(given) > 1:
            raise UsageError(
                f"{' and '.join(given)} can't both decide how much stays", remedy="give one of them"
            )
        for value, flag, say in (
            (given or None, "--target-flops R", "how much is to stay"),
            (self.calibration, "--calibration DIR", "which images channels are chosen on"),
            (self.output, "-o OUT.onnx", "where the result is saved"),
        ):
            if value is None:
                raise UsageError(
                    f"prune was not told {say}",
                    remedy=f"add {flag}; or look first: edgecv prune {self.model} --show-groups",
                )
        return self

    @model_validator(mode="after")
    def _tunes_what_is_tuned(self) -> Self:
        given = self.model_fields_set & _OF_TUNING
        if given and self.recover != "finetune":
            flag = f"--{min(given).replace('_', '-')}"
            raise UsageError(
                f"{flag} is for fine-tuning, and --recover is {self.recover}",
                remedy=f"add --recover finetune, or leave {flag} out",
            )
        return self

    @model_validator(mode="after")
    def _drop_needs_labels(self) -> Self:
        require_labels(self.max_drop, self.data, instead="--min-agreement")
        return self

    @model_validator(mode="after")
    def _speed_is_measured(self) -> Self:
        require_time(self.min_speedup, self.speed_seconds)
        if self.target_speedup is not None and not self.speed_seconds:
            raise UsageError(
                "--target-speedup needs the speed that --speed-seconds 0 leaves out",
                remedy="leave --speed-seconds out, or give --target-flops R",
            )
        return self

    @property
    def speed_gate(self) -> float | None:
        """The speed gate in force: None where the speed is not measured."""
        if not self.speed_seconds:
            return None
        return self.min_speedup if self.min_speedup is not None else self.target_speedup or 1.0

    @property
    def drop_gate(self) -> MaxDrop | None:
        """The accuracy gate in force: None without labelled data, else what was asked or 3 %."""
        return drop_in_force(self.max_drop, self.data, DEFAULT_DROP)

    @property
    def agreement_gate(self) -> float | None:
        """The agreement gate in force."""
        if self.min_agreement is None and self.data is None:
            return DEFAULT_AGREEMENT
        return self.min_agreement
