"""``edgecv inspect``: what a model is, and how that was worked out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.command import Command
from edgecv_cli.config.inspect import InspectConfig

if TYPE_CHECKING:
    from edgecv_cli.cli.session import Session


def execute(config: InspectConfig, session: Session) -> None:
    """Look at the model and show what was found."""
    from edgecv_cli.cli.render.inspect import render
    from edgecv_cli.stages.inspect import inspect

    session.run(inspect, config, render)


COMMAND = Command(
    config=InspectConfig,
    execute=execute,
    help=(
        "Show what MODEL is: inputs, outputs, size, and how it is read as a detector, with what "
        "was seen in the graph and what had to be assumed. A model that is no detector is shown "
        "as well."
    ),
    examples=(
        "edgecv inspect yolov8n.onnx",
        "edgecv inspect dynamic.onnx --input-size 480x640",
        "edgecv inspect yolox.onnx --json",
        "edgecv inspect detector.onnx --probe images/",
    ),
)
