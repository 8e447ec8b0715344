"""Stages that cost nothing, for pipelines: one makes an artifact, one counts, one writes files.

Each begin and end is a line in the file that EDGECV_TEST_LOG names, so that a test sees what
was done, and in which process.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import onnx
from pydantic import Field

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.base import (
    ArtifactPath,
    CommonConfig,
    DatasetPath,
    ImagesPath,
    OutputPath,
)
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError, GateNotMetError
from edgecv_cli.core.result import Result
from edgecv_cli.graph.io import serialize, with_metadata
from edgecv_cli.pipeline.stages import Stage


class StampConfig(CommonConfig):
    """Options of the stage that writes a word into a model."""

    model: ArtifactPath
    output: OutputPath
    calibration: ImagesPath | None = None
    images: int = 4
    word: str = "stamped"
    least: int = Field(0, description="Letters that the word must have: a gate.")
    keep_rejected: OutputPath | None = None
    force: bool = False


class CountConfig(CommonConfig):
    """Options of the stage that counts nodes."""

    model: ArtifactPath
    data: DatasetPath | None = None
    limit: int | None = None
    fail: bool = False


class CompareConfig(CommonConfig):
    """Options of the stage that looks at several models."""

    models: Annotated[tuple[ArtifactPath, ...], Field(min_length=1)]


class FilesConfig(CommonConfig):
    """Options of the stage that writes a folder."""

    model: ArtifactPath
    output: OutputPath | None = None
    number: int = 2
    force: bool = False


class WordResult(Result):
    """What all of them report."""

    schema_: str = Field(
        default="edgecv.fake/1", serialization_alias="schema", validation_alias="schema"
    )
    looked_at: tuple[str, ...]
    nodes: int = 0
    saved: str | None = None


def log(word: str) -> None:
    """Add a line to the log of this test."""
    path = os.environ.get("EDGECV_TEST_LOG")
    if path:
        with Path(path).open("a") as file:
            file.write(word + "\n")


def stamp(config: StampConfig, context: Context) -> WordResult:
    """Write the word into the model's metadata, twice where that is asked for."""
    log(f"begin {config.word}")
    context.cancel.check()
    artifact = Artifact.open(config.model)
    data = serialize(with_metadata(artifact.model, {"word": config.word}))
    result = WordResult(looked_at=(str(config.model),), saved=str(config.output))
    if len(config.word) < config.least:
        if config.keep_rejected is not None:
            config.keep_rejected.write_bytes(data)
        raise GateNotMetError(
            f"{config.word} is too short",
            remedy="take a longer --word",
            result=result.model_copy(update={"saved": None}),
        )
    config.output.write_bytes(data)
    log(f"end {config.word}")
    return result


def count(config: CountConfig, context: Context) -> WordResult:
    """Count the nodes of the model."""
    log("begin count")
    if config.fail:
        raise DataError("the data is bad", remedy="take other data")
    nodes = len(onnx.load(config.model).graph.node)
    log("end count")
    return WordResult(looked_at=(str(config.model),), nodes=nodes)


def compare(config: CompareConfig, context: Context) -> WordResult:
    """Look at several models."""
    log("begin compare")
    log("end compare")
    return WordResult(looked_at=tuple(map(str, config.models)))


def files(config: FilesConfig, context: Context) -> WordResult:
    """Write a few files into a folder, one of them deeper."""
    log("begin files")
    if config.output is not None:
        (config.output / "deep").mkdir(parents=True)
        for number in range(config.number):
            (config.output / "deep" / f"{number}.txt").write_text(f"file {number}")
        (config.output / "all.txt").write_text("all")
    log("end files")
    saved = None if config.output is None else str(config.output)
    return WordResult(looked_at=(str(config.model),), saved=saved)


FAKES = (
    Stage("stamp", 1, StampConfig, WordResult, stamp, gives="artifact"),
    Stage("count", 1, CountConfig, WordResult, count, measured=False),
    Stage("compare", 1, CompareConfig, WordResult, compare, takes="models"),
    Stage("files", 1, FilesConfig, WordResult, files, gives="folder"),
)
