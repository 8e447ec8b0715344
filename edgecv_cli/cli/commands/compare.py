"""``edgecv compare``: do two detectors find the same things."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.command import Command
from edgecv_cli.config.compare import CompareConfig

if TYPE_CHECKING:
    from edgecv_cli.cli.session import Session


def execute(config: CompareConfig, session: Session) -> None:
    """Compare the two and show where they part."""
    from edgecv_cli.cli.render.compare import render
    from edgecv_cli.stages.compare import compare

    session.run(compare, config, render)


COMMAND = Command(
    config=CompareConfig,
    execute=execute,
    help=(
        "Compare what two detectors find in the same images, without labels: how far they agree, "
        "and where they part. Each stage of B is put alone into A's pipeline to see what it costs; "
        "inside of the network, tensors of one name are compared one by one."
    ),
    examples=(
        "edgecv compare yolox.onnx int8.onnx --images photos/",
        "edgecv compare yolox.onnx yolox.onnx --engine-b openvino --images photos/",
        "edgecv compare yolox.onnx int8.onnx --images photos/ --min-agreement 0.9 --report c.html",
    ),
)
