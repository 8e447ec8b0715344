"""What ``edgecv run`` takes, and what a pipeline's YAML holds beside the steps' own settings."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from edgecv_cli.config.base import (
    ArtifactPath,
    Config,
    DatasetPath,
    FilePath,
    Flag,
    ImagesPath,
    OutputPath,
    SpecPath,
)
from edgecv_cli.config.common import ImageSize, ReportPath

_PANEL = "In place of the pipeline's own"
DEFAULT_CACHE_GIB = 10.0


class SharedSettings(Config):
    """Settings that a pipeline says once, for every step that takes them."""

    model: Annotated[ArtifactPath | None, Flag(metavar="MODEL", panel=_PANEL)] = Field(
        None, description="The detector that the pipeline begins with (.onnx)."
    )
    calibration: Annotated[ImagesPath | None, Flag(metavar="DIR", panel=_PANEL)] = Field(
        None, description="Images to calibrate on."
    )
    data: Annotated[DatasetPath | None, Flag(metavar="DIR", panel=_PANEL)] = Field(
        None, description="Labelled images."
    )
    spec: Annotated[SpecPath | None, Flag("--spec", metavar="FILE.yaml", panel=_PANEL)] = Field(
        None, description="Detector spec (YAML) that overrides what the model says of itself."
    )
    input_size: Annotated[ImageSize | None, Flag(metavar="HxW", panel=_PANEL)] = Field(
        None, description="Input size of a model that leaves it open."
    )
    threads: Annotated[int | None, Flag("--threads", metavar="N", panel=_PANEL)] = Field(
        None, ge=1, le=1024, description="Threads an engine may use. Default: one per core."
    )
    seed: Annotated[int | None, Flag("--seed", metavar="N", panel=_PANEL)] = Field(
        None, ge=0, description="Seed of everything random. Default: 0."
    )


class PipelineFile(SharedSettings):
    """The outermost keys of a pipeline's YAML; each step is checked by its stage's Config."""

    steps: tuple[Any, ...] = Field(
        min_length=1, max_length=100, description="What is done, each an id, a stage, its settings."
    )


class RunConfig(SharedSettings):
    """Options of run."""

    pipeline: Annotated[FilePath, Flag(positional=True, metavar="PIPELINE.yaml")] = Field(
        description="The pipeline: a model, and the steps that it goes through."
    )
    dry_run: bool = Field(
        False, description="Say what would run, what is cached, and why; write nothing."
    )
    force: bool = Field(
        False, description="Replace outputs that exist. What is cached is still taken as it is."
    )
    fresh: bool = Field(False, description="Do every step anew, even where the cache has it.")
    report: Annotated[ReportPath | None, Flag(metavar="FILE.html")] = Field(
        None, description="Write what was measured as one HTML file, even if a gate refuses."
    )
    junit: Annotated[OutputPath | None, Flag(metavar="FILE.xml")] = Field(
        None, description="Write each step's outcome as JUnit XML, for CI; even if one fails."
    )
    cache: Annotated[OutputPath | None, Flag(metavar="DIR")] = Field(
        None, description="Where finished steps are kept. Default: edgecv in the user's cache."
    )
    cache_limit: Annotated[float, Flag(metavar="GIB")] = Field(
        DEFAULT_CACHE_GIB, gt=0, le=100_000, description="Size that the cache may have, in GiB."
    )
