"""``edgecv convert-openvino``: OpenVINO IR, run and compared before it is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.command import Command
from edgecv_cli.config.convert_openvino import ConvertOpenVinoConfig

if TYPE_CHECKING:
    from edgecv_cli.cli.session import Session


def execute(config: ConvertOpenVinoConfig, session: Session) -> None:
    """Convert and show how the result compares with the original."""
    from edgecv_cli.cli.render.convert import render
    from edgecv_cli.stages.convert_openvino import convert_openvino

    session.remember()
    session.run(convert_openvino, config, render)


COMMAND = Command(
    config=ConvertOpenVinoConfig,
    execute=execute,
    help=(
        "Convert MODEL to OpenVINO's IR (.xml and .bin). The result is run beside the original on "
        "ONNX Runtime: raw outputs, detections, accuracy and speed; it is saved only if it passes "
        "the gates (else exit 3)."
    ),
    examples=(
        "edgecv convert-openvino yolox.onnx -o yolox.xml --precision fp16 --images photos/",
        "edgecv convert-openvino int8.onnx -o int8.xml --images photos/",
        "edgecv convert-openvino ssd.onnx -o ssd.xml --precision int8 --calibration images/ "
        "--data coco/",
        "edgecv convert-openvino yolox.onnx -o npu.xml --engine openvino:npu --require structure",
    ),
)
