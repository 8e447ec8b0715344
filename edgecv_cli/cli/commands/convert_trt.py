"""``edgecv convert-trt``: TensorRT's rules, repairs and engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.command import Command
from edgecv_cli.config.convert_trt import ConvertTrtConfig

if TYPE_CHECKING:
    from edgecv_cli.cli.session import Session


def execute(config: ConvertTrtConfig, session: Session) -> None:
    """Check, fix and build, and show it."""
    from edgecv_cli.cli.render.convert_trt import render
    from edgecv_cli.stages.convert_trt import convert_trt

    session.run(convert_trt, config, render)


COMMAND = Command(
    config=ConvertTrtConfig,
    execute=execute,
    help=(
        "Hold MODEL against what TensorRT's parser takes, rewrite what can be rewritten, and build "
        "an engine with TensorRT-RTX, which needs no GPU for that, or a bundle that builds it on "
        "its device. A finding of level error is exit 3."
    ),
    examples=(
        "edgecv convert-trt int8.onnx --check-only --device jetson-orin --trt-version 10.3",
        "edgecv convert-trt int8.onnx --fix -o fixed.onnx --images photos/",
        "edgecv convert-trt yolox.onnx -o engine/ --compute-capability 8.9,12.0",
        "edgecv convert-trt yolox.onnx -o orin/ --device jetson-orin --images photos/",
    ),
)
