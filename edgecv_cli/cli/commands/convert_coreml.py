"""``edgecv convert-coreml``: a Core ML package, read back before it is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.command import Command
from edgecv_cli.config.convert_coreml import ConvertCoremlConfig

if TYPE_CHECKING:
    from edgecv_cli.cli.session import Session


def execute(config: ConvertCoremlConfig, session: Session) -> None:
    """Convert and show what stands in the package."""
    from edgecv_cli.cli.render.convert_coreml import render
    from edgecv_cli.stages.convert_coreml import convert_coreml

    session.run(convert_coreml, config, render)


COMMAND = Command(
    config=ConvertCoremlConfig,
    execute=execute,
    help=(
        "Convert MODEL to a Core ML package (an ML Program that takes a picture). The package is "
        "read back: interface, operators, and every weight against the original's. On macOS it is "
        "run beside the original as well; elsewhere its numbers are unverified. What a gate or "
        "Core ML refuses is not saved (exit 3)."
    ),
    examples=(
        "edgecv convert-coreml yolox.onnx -o yolox.mlpackage",
        "edgecv convert-coreml yolox.onnx -o small.mlpackage --precision palettize --bits 6",
        "edgecv convert-coreml yolox.onnx -o vision.mlpackage --nms",
        "edgecv convert-coreml ssd.onnx -o ssd.mlpackage --images photos/ --require ran",
    ),
)
