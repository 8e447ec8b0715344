"""What ``edgecv compare`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from edgecv_cli.config.base import ArtifactPath, CommonConfig, Flag, Input, OutputPath
from edgecv_cli.config.common import ENGINES, ImageSize, ReportPath

_ComparedPath = Annotated[Path, Input("images", limit="limit")]


class CompareConfig(CommonConfig):
    """Options of compare."""

    a: Annotated[ArtifactPath, Flag(positional=True)] = Field(
        description="Detector that is taken as the truth."
    )
    b: Annotated[ArtifactPath, Flag(positional=True)] = Field(
        description="Detector that is held against it."
    )
    images: Annotated[_ComparedPath, Flag(metavar="DIR")] = Field(
        description="Folder of images; no labels needed."
    )
    limit: Annotated[int, Flag(metavar="N")] = Field(
        100, ge=1, le=100_000, description="Images to use, in the order of their names."
    )
    engine: Annotated[str, Flag(metavar="NAME[:DEVICE[:PRECISION]]", suggest=ENGINES)] = Field(
        "onnxruntime", min_length=1, description="Engine that runs A, and B."
    )
    engine_b: Annotated[str | None, Flag(metavar="NAME[:DEVICE[:PRECISION]]", suggest=ENGINES)] = (
        Field(None, min_length=1, description="Engine that runs B, if another.")
    )
    spec_b: Annotated[Path | None, Input("spec"), Flag(metavar="FILE.yaml")] = Field(
        None, description="How B is fed and read, if that is not in it. --spec is A's."
    )
    input_size: Annotated[ImageSize | None, Flag(metavar="HxW")] = Field(
        None, description="Input size of models that leave it open."
    )
    tensor_images: Annotated[int, Flag(metavar="N")] = Field(
        4, ge=0, le=1000, description="Images to compare inner tensors on; 0 compares none."
    )
    min_agreement: Annotated[float | None, Flag(metavar="F", panel="Gates")] = Field(
        None, ge=0, le=1, description="Exit with 3 below this agreement."
    )
    report: Annotated[ReportPath | None, Flag(metavar="FILE.html", panel="Files")] = Field(
        None, description="Write it as one HTML file, with pictures where the two part."
    )
    md: Annotated[OutputPath | None, Flag(metavar="FILE.md", panel="Files")] = Field(
        None, description="Write it as Markdown."
    )
    csv: Annotated[OutputPath | None, Flag(metavar="FILE.csv", panel="Files")] = Field(
        None, description="Write agreement overall and by class as CSV."
    )
    force: Annotated[bool, Flag(panel="Files")] = Field(
        False, description="Overwrite existing files."
    )
