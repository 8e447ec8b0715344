"""``edgecv convert-tflite``: LiteRT, run and compared before it is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.command import Command
from edgecv_cli.config.convert_tflite import ConvertTfliteConfig

if TYPE_CHECKING:
    from edgecv_cli.cli.session import Session


def execute(config: ConvertTfliteConfig, session: Session) -> None:
    """Convert and show how the result compares with the original."""
    from edgecv_cli.cli.render.convert_tflite import render
    from edgecv_cli.stages.convert_tflite import convert_tflite

    session.run(convert_tflite, config, render)


COMMAND = Command(
    config=ConvertTfliteConfig,
    execute=execute,
    help=(
        "Convert MODEL to LiteRT (.tflite) in float32, float16 or full int8. The result is run "
        "beside the original on ONNX Runtime: raw outputs, detections, accuracy and speed; it is "
        "saved only if it passes the gates (else exit 3). An int8 file is held against what a "
        "Coral Edge TPU takes. The converters stand in an environment of their own: `edgecv "
        "targets install tflite`."
    ),
    examples=(
        "edgecv convert-tflite yolox.onnx -o yolox.tflite --images photos/",
        "edgecv convert-tflite yolox.onnx -o half.tflite --precision fp16",
        "edgecv convert-tflite ssd.onnx -o int8.tflite --precision int8 --calibration images/ "
        "--data coco/",
    ),
)
