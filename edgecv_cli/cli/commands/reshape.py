"""``edgecv reshape``: another input size, and NMS in the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.command import Command
from edgecv_cli.config.reshape import ReshapeConfig

if TYPE_CHECKING:
    from edgecv_cli.cli.session import Session


def execute(config: ReshapeConfig, session: Session) -> None:
    """Reshape and show before and after."""
    from edgecv_cli.cli.render.reshape import render
    from edgecv_cli.stages.reshape import reshape

    session.remember()
    session.run(reshape, config, render)


COMMAND = Command(
    config=ReshapeConfig,
    execute=execute,
    help=(
        "Give MODEL another input size: a smaller one is faster, a larger one finds smaller "
        "things. Grids, anchors and sizes baked into the graph are made anew, and what can't be "
        "is refused by name. With --nms the graph decodes and suppresses boxes itself, or with "
        "--nms none no longer does. The result "
        "is saved only if it passes the gates (else exit 3)."
    ),
    examples=(
        "edgecv reshape yolo.onnx -o yolo416.onnx --input-size 416x416 --data coco/",
        "edgecv reshape yolo.onnx -o wide.onnx --input-size 384x640 --images photos/",
        "edgecv reshape any-size.onnx -o fixed.onnx --input-size 320x320 --max-drop 20% "
        "--data coco/",
        "edgecv reshape yolo.onnx -o with-nms.onnx --nms onnx --images photos/",
    ),
)
