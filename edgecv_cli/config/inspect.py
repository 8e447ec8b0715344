"""What ``edgecv inspect`` takes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edgecv_cli.config.base import ArtifactPath, CommonConfig, Flag
from edgecv_cli.config.common import ImageSize


class InspectConfig(CommonConfig):
    """Options of inspect; threads and seed are taken as everywhere, and change nothing here."""

    model: Annotated[ArtifactPath, Flag(positional=True)] = Field(
        description="Model to look at (.onnx)."
    )
    input_size: Annotated[ImageSize | None, Flag(metavar="HxW")] = Field(
        None, description="Input size of a model that leaves it open."
    )
