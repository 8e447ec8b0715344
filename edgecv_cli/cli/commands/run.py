"""``edgecv run``: a pipeline from a YAML file, resumable, and what is known already is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.command import Command
from edgecv_cli.config.run import RunConfig

if TYPE_CHECKING:
    from edgecv_cli.cli.session import Session


def execute(config: RunConfig, session: Session) -> None:
    """Run the pipeline, and show what came of each step."""
    from edgecv_cli.cli.render.run import render
    from edgecv_cli.pipeline.run_junit import run_judged

    session.run(run_judged, config, render)


COMMAND = Command(
    config=RunConfig,
    execute=execute,
    help=(
        "Run the steps of PIPELINE.yaml. A step whose inputs, settings and versions are as they "
        "were is taken from the cache, so a run that was stopped goes on where it was. A gate "
        "that is not met skips what depends on it (exit 3). Paths begin at the YAML's folder."
    ),
    examples=(
        "edgecv run int8-cpu.yaml --dry-run",
        "edgecv run int8-cpu.yaml --report report.html",
        "edgecv run int8-cpu.yaml --model ssd.onnx --calibration images/ --data coco/",
    ),
)
