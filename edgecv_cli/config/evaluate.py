"""What ``edgecv evaluate`` takes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edgecv_cli.config.base import ArtifactPath, CommonConfig, DatasetPath, Flag
from edgecv_cli.config.common import ENGINES, ImageSize, ReportPath


class EvaluateConfig(CommonConfig):
    """Options of evaluate."""

    model: Annotated[ArtifactPath, Flag(positional=True)] = Field(
        description="Detector to evaluate."
    )
    data: Annotated[DatasetPath, Flag(metavar="DIR")] = Field(
        description="Labelled images: a folder in COCO, YOLO txt or Pascal VOC layout."
    )
    engine: Annotated[str, Flag(metavar="NAME[:DEVICE[:PRECISION]]", suggest=ENGINES)] = Field(
        "onnxruntime", min_length=1, description="Engine that runs the model."
    )
    limit: Annotated[int | None, Flag(metavar="N")] = Field(
        None, ge=1, description="Images of --data to use. Default: all."
    )
    input_size: Annotated[ImageSize | None, Flag(metavar="HxW")] = Field(
        None, description="Input size of a model that leaves it open."
    )
    conf: Annotated[float | None, Flag(metavar="F")] = Field(
        None, ge=0, lt=1, description="Score threshold. Default: 0.01, as COCO mAP wants it."
    )
    iou: Annotated[float | None, Flag(metavar="F")] = Field(
        None, gt=0, le=1, description="IoU of the suppression of duplicates. Default: 0.65."
    )
    report: Annotated[ReportPath | None, Flag(metavar="FILE.html")] = Field(
        None, description="Write the figures and some pictures as one HTML file."
    )
    force: bool = Field(False, description="Overwrite an existing report.")
