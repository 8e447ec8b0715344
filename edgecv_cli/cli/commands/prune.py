"""``edgecv prune``: whole channels leave a detector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.command import Command
from edgecv_cli.config.prune import PruneConfig

if TYPE_CHECKING:
    from edgecv_cli.cli.session import Session


def execute(config: PruneConfig, session: Session) -> None:
    """Prune and show before and after."""
    from edgecv_cli.cli.render.prune import render
    from edgecv_cli.stages.prune import prune

    session.remember()
    session.run(prune, config, render)


COMMAND = Command(
    config=PruneConfig,
    execute=execute,
    help=(
        "Take whole channels out of MODEL, which becomes smaller and faster. Weights that stay are "
        "fitted anew on calibration images, without labels; the result is saved only if it passes "
        "the gates (else exit 3)."
    ),
    examples=(
        "edgecv prune ssd.onnx --show-groups",
        "edgecv prune ssd.onnx -o small.onnx --target-flops 0.9 --calibration photos/ --data coco/",
        "edgecv prune ssd.onnx -o small.onnx --target-flops 0.8 --calibration photos/ "
        "--min-agreement 0.8",
    ),
)
