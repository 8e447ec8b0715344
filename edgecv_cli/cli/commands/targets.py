"""``edgecv targets``: what a detector can be converted for, and what is here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.command import Command
from edgecv_cli.config.targets import TargetsConfig

if TYPE_CHECKING:
    from edgecv_cli.cli.session import Session


def execute(config: TargetsConfig, session: Session) -> None:
    """List the targets, or install one and list them."""
    from edgecv_cli.cli.render.targets import render
    from edgecv_cli.stages.targets import targets

    session.run(targets, config, render)


COMMAND = Command(
    config=TargetsConfig,
    execute=execute,
    help=(
        "List what a detector can be converted for: the packages that it takes, which of them are "
        "here, what to type for the others, and how far a result can be verified on this machine. "
        "`install tflite` makes the environment of converters whose packages clash with edgecv's "
        "own, in this user's data; nothing is fetched but by this command."
    ),
    examples=(
        "edgecv targets",
        "edgecv targets install tflite",
        "edgecv targets install tflite --wheelhouse wheels/",
    ),
)
