"""``edgecv doctor``: what this machine has and lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from edgecv_cli.cli.command import Command
from edgecv_cli.config.doctor import DoctorConfig

if TYPE_CHECKING:
    from edgecv_cli.cli.session import Session


def execute(config: DoctorConfig, session: Session) -> None:
    """Look, show what was found, and exit 1 where edgecv can't work."""
    from edgecv_cli.cli.render.doctor import render
    from edgecv_cli.stages.doctor import doctor

    result = doctor(config, session.context)
    session.show(render(result))
    session.streams.emit(result.to_json())
    if result.error is not None:
        session.streams.say(f"error: {result.error.problem}")
        session.streams.say(f"  fix: {result.error.remedy}")
        raise typer.Exit(1)


COMMAND = Command(
    config=DoctorConfig,
    execute=execute,
    help=(
        "Show what this machine has and lacks: processor, memory, accelerators, engines, OpenCV "
        "and its codecs, Python packages that clash, each with what to type. Libraries are tried "
        "in a process of their own, so that one that crashes is reported. Exits 1 where edgecv "
        "can't work."
    ),
    examples=(
        "edgecv doctor",
        "edgecv doctor --require onnxruntime:cpu --json",
    ),
)
