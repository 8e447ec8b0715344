"""``edgecv distill``: a detector learns from another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.command import Command
from edgecv_cli.config.distill import DistillConfig

if TYPE_CHECKING:
    from edgecv_cli.cli.session import Session


def execute(config: DistillConfig, session: Session) -> None:
    """Distill and show before and after."""
    from edgecv_cli.cli.render.distill import render
    from edgecv_cli.stages.distill import distill

    session.remember()
    session.run(distill, config, render)


COMMAND = Command(
    config=DistillConfig,
    execute=execute,
    help=(
        "Train STUDENT on what another detector says of unlabelled images: of any family and input "
        "size, with classes matched by name. With --swap it gets activation functions that run "
        "and quantize better, and learns from itself as it was. Needs edgecv[train]; the result "
        "is saved only if it passes the gates (else exit 3)."
    ),
    examples=(
        "edgecv distill small.onnx -o taught.onnx --teacher large.onnx --images photos/ "
        "--data coco/",
        "edgecv distill silu.onnx -o relu.onnx --swap silu=relu --images photos/ --minutes 20",
        "edgecv distill small.onnx -o taught.onnx --teacher large.onnx --images photos/ --resume",
    ),
)
