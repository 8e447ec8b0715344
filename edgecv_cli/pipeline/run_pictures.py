"""Pictures of a pipeline's steps: what a model and its smaller self find in the same images."""

from __future__ import annotations

from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.media.dataset import open_dataset
from edgecv_cli.media.images import open_images
from edgecv_cli.report.blocks import Block
from edgecv_cli.stages.compose.pictures import look_and_pair


def quantize_pictures(
    config: QuantizeConfig, original: Path, made: Path, context: Context
) -> list[Block]:
    """Draw what both models find in a few of the step's images; nothing where it had none.

    Raises:
        EdgeCVError: a model can't be run, or an image can't be decoded.
    """
    paths = _images(config)
    if not paths:
        return []
    artifact = Artifact.open(original)
    return look_and_pair(
        (artifact, Artifact.open(made)),
        ("original", "int8"),
        artifact.detector(config.spec, input_size=config.input_size).spec,
        paths,
        context,
        engine=config.engine or "onnxruntime",
        threads=config.threads,
    )


def _images(config: QuantizeConfig) -> list[Path]:
    if config.data is not None:
        return [item.path for item in open_dataset(config.data, limit=config.limit).items]
    if config.calibration is not None:
        return list(open_images(config.calibration, config.images).paths)
    return []
