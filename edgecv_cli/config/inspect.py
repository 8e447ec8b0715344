"""What ``edgecv inspect`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from edgecv_cli.config.base import ArtifactPath, Config, Flag
from edgecv_cli.config.common import ImageSize


class InspectConfig(Config):
    """Options of inspect."""

    model: Annotated[ArtifactPath, Flag(positional=True)] = Field(
        description="Model to look at (.onnx)."
    )
    input_size: Annotated[ImageSize | None, Flag(metavar="HxW")] = Field(
        None, description="Input size of a model that leaves it open."
    )
    spec: Annotated[Path | None, Flag("--spec", metavar="FILE.yaml", panel="Common")] = Field(
        None, description="Detector spec (YAML) that overrides what the model says of itself."
    )
