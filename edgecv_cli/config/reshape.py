"""What ``edgecv reshape`` takes: flags, YAML keys and defaults."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edgecv_cli.config.baking import BakingConfig
from edgecv_cli.config.base import (
    AllImagesPath,
    ArtifactPath,
    DatasetPath,
    Flag,
    OutputPath,
)
from edgecv_cli.config.common import DropGate, ImageSize, MaxDrop
from edgecv_cli.core.errors import UsageError

DEFAULT_DROP = MaxDrop(10.0, "%")
DEFAULT_AGREEMENT = 0.60
SAME_SIZE_DROP = MaxDrop(2.0, "pt")  # best class alone: 0.0 to 1.2 points on six detectors
SAME_SIZE_AGREEMENT = 0.99


class ReshapeConfig(BakingConfig):
    """Options of reshape."""

    model: Annotated[ArtifactPath, Flag(positional=True)] = Field(
        description="Detector to reshape, to give NMS or to free of it (.onnx)."
    )
    output: Annotated[OutputPath, Flag("-o", "--output", metavar="OUT.onnx")] = Field(
        description="Where the new detector is saved."
    )
    input_size: Annotated[ImageSize | None, Flag(metavar="HxW")] = Field(
        None,
        description="The new input size, height by width: multiples of the largest stride. "
        "Default: the old one, with --nms or --bake-preprocess.",
    )
    nms: Annotated[Literal["none", "onnx", "trt"] | None, Flag(metavar="none|onnx|trt")] = Field(
        None,
        description="Put decoding and NMS into the graph: ONNX's own, or TensorRT's EfficientNMS; "
        "none takes NMS out.",
    )
    nms_score: Annotated[float, Flag(metavar="F")] = Field(
        0.01, ge=0, lt=1, description="Score above which a box leaves the graph."
    )
    nms_iou: Annotated[float | None, Flag(metavar="F")] = Field(
        None, gt=0, le=1, description="NMS IoU in the graph. Default: the model's own."
    )
    max_detections: Annotated[int, Flag(metavar="N")] = Field(
        300, ge=1, le=10_000, description="Boxes that leave the graph, filled up with score 0."
    )
    require: Annotated[Literal["ran", "structure"], Flag(metavar="ran|structure")] = Field(
        "structure", description="With --nms: how far the result must be verified here."
    )
    data: Annotated[DatasetPath | None, Flag(metavar="DIR")] = Field(
        None, description="Labelled images (COCO, YOLO txt or Pascal VOC) for the accuracy gate."
    )
    images: Annotated[AllImagesPath | None, Flag(metavar="DIR")] = Field(
        None, description="Images without labels to compare detections on."
    )
    limit: Annotated[int | None, Flag(metavar="N")] = Field(
        None, ge=1, description="Images to use. Default: all."
    )
    force: bool = Field(False, description="Overwrite an existing output.")

    max_drop: Annotated[DropGate | None, Flag(metavar="10%|2pt", panel="Gates")] = Field(
        None,
        description="Largest loss of mAP on --data. Default with --data: 10%; 2pt at the old size.",
    )
    min_agreement: Annotated[float | None, Flag(metavar="F", panel="Gates")] = Field(
        None,
        ge=0,
        le=1,
        description="Agreement with the original on the images. Default with --images alone: 0.6; "
        "0.99 at the old size.",
    )
    min_speedup: Annotated[float | None, Flag(metavar="R", panel="Gates")] = Field(
        None, gt=0, le=1000, description="Least speed against the original. Default: not asked."
    )
    speed_seconds: Annotated[float, Flag(metavar="S", panel="Gates")] = Field(
        6.0, ge=0, le=3600, description="Time spent on measuring the speed; 0 measures none."
    )

    @model_validator(mode="after")
    def _something_changes(self) -> Self:
        if self.input_size is None and self.nms is None and not self.bake_preprocess:
            raise UsageError(
                "nothing is to be changed",
                remedy="add --input-size HxW, --nms onnx or --bake-preprocess",
            )
        return self

    @model_validator(mode="after")
    def _cut_needs_images(self) -> Self:
        if self.nms == "none" and self.data is None and self.images is None:
            raise UsageError(
                "--nms none needs images: they tell how boxes are to be read without NMS",
                remedy="add --images DIR, or --data DIR with labelled images",
            )
        return self

    @model_validator(mode="after")
    def _drop_needs_labels(self) -> Self:
        if self.max_drop is not None and self.data is None:
            raise UsageError(
                "--max-drop needs labelled images to measure the drop on",
                remedy="add --data DIR (labelled images), or use --images and --min-agreement",
            )
        if self.min_agreement is not None and self.data is None and self.images is None:
            raise UsageError(
                "--min-agreement needs images to compare detections on",
                remedy="add --images DIR, or --data DIR with labelled images",
            )
        return self

    @model_validator(mode="after")
    def _speed_needs_time(self) -> Self:
        if self.min_speedup is not None and not self.speed_seconds:
            raise UsageError(
                "--min-speedup needs time to measure the speed in",
                remedy="leave --speed-seconds out, or give more than 0",
            )
        return self

    @property
    def drop_gate(self) -> MaxDrop | None:
        """The accuracy gate in force: None without labelled data, else what was asked, or one."""
        if self.data is None:
            return None
        if self.max_drop is not None:
            return self.max_drop
        return SAME_SIZE_DROP if self.input_size is None else DEFAULT_DROP

    @property
    def agreement_gate(self) -> float | None:
        """The agreement gate in force."""
        if self.min_agreement is None and self.data is None and self.images is not None:
            return SAME_SIZE_AGREEMENT if self.input_size is None else DEFAULT_AGREEMENT
        return self.min_agreement
