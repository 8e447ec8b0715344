"""``edgecv demo``: the whole pipeline on the built-in detector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.command import Command
from edgecv_cli.config.demo import DemoConfig

if TYPE_CHECKING:
    from edgecv_cli.cli.session import Session


def execute(config: DemoConfig, session: Session) -> None:
    """Run the demo and show before and after."""
    from edgecv_cli.cli.render.demo import render
    from edgecv_cli.pipeline.demo import demo

    session.run(demo, config, render)


COMMAND = Command(
    config=DemoConfig,
    execute=execute,
    help=(
        "Quantize, evaluate, benchmark and run the detector of industrial parts that comes with "
        "edgecv, on images that come with it. Takes under three minutes and no network."
    ),
    examples=(
        "edgecv demo",
        "edgecv demo --output /tmp/edgecv-demo --force --json",
    ),
)
