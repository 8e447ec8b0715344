"""What ``edgecv inspect`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from edgecv_cli.config.base import ArtifactPath, CommonConfig, Flag, Input
from edgecv_cli.config.common import ImageSize

_ProbedPath = Annotated[Path, Input("probed", limit="probe_images")]


class InspectConfig(CommonConfig):
    """Options of inspect; threads and seed matter to a probe alone."""

    model: Annotated[ArtifactPath, Flag(positional=True)] = Field(
        description="Model to look at (.onnx)."
    )
    input_size: Annotated[ImageSize | None, Flag(metavar="HxW")] = Field(
        None, description="Input size of a model that leaves it open."
    )
    probe: Annotated[_ProbedPath | None, Flag(metavar="DIR")] = Field(
        None,
        description="Images, labelled or not, to try the usual preprocessings on: which colour "
        "order, scale and resize the model answers to best. Changes nothing.",
    )
    probe_images: Annotated[int, Flag(metavar="N")] = Field(
        16, ge=1, le=10_000, description="How many of the images of --probe are used."
    )
