"""What ``edgecv benchmark`` takes."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from edgecv_cli.config.base import ArtifactPath, CommonConfig, DatasetPath, Flag
from edgecv_cli.config.common import ENGINES, ImageSize
from edgecv_cli.core.errors import UsageError


class BenchmarkConfig(CommonConfig):
    """Options of benchmark."""

    models: Annotated[tuple[ArtifactPath, ...], Flag(positional=True, metavar="MODEL...")] = Field(
        min_length=1, description="Models to time side by side."
    )
    engine: Annotated[
        tuple[str, ...], Flag(metavar="NAME[:DEVICE[:PRECISION]]", suggest=ENGINES)
    ] = Field(
        ("onnxruntime",), min_length=1, description="Engine to time them on; may be repeated."
    )
    data: Annotated[DatasetPath | None, Flag(metavar="DIR")] = Field(
        None,
        description="Labelled images (COCO, YOLO txt, Pascal VOC): each row's mAP is measured too.",
    )
    limit: Annotated[int | None, Flag(metavar="N")] = Field(
        None, ge=1, description="Images of --data to use. Default: all."
    )
    duration: Annotated[float, Flag(metavar="S")] = Field(
        5.0, gt=0, le=3600, description="Seconds of timed inference for each row."
    )
    baseline: Annotated[int, Flag(metavar="N")] = Field(
        1, ge=1, description="The model that the ratios compare to, by its place."
    )
    input_size: Annotated[ImageSize | None, Flag(metavar="HxW")] = Field(
        None, description="Input size of models that leave it open."
    )

    @model_validator(mode="after")
    def _baseline_is_given(self) -> Self:
        if self.baseline > len(self.models):
            raise UsageError(
                f"--baseline {self.baseline} names no model: there are {len(self.models)}",
                remedy=f"give a number from 1 to {len(self.models)}",
            )
        return self

    @model_validator(mode="after")
    def _limit_has_data(self) -> Self:
        if self.limit is not None and self.data is None:
            raise UsageError(
                "--limit says how many labelled images to use, but there are none",
                remedy="add --data DIR, or leave --limit out",
            )
        return self
