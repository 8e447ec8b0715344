"""run, with what came of it written as JUnit XML: also where it failed, for CI to show why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgecv_cli.config.run import RunConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import EdgeCVError, GateNotMetError, InterruptedByUser
from edgecv_cli.pipeline.junit import junit
from edgecv_cli.pipeline.outputs import Content, Delivery, refuse_taken
from edgecv_cli.pipeline.run import run_pipeline
from edgecv_cli.pipeline.run_result import RunResult


def run_judged(
    config: RunConfig,
    context: Context,
    *,
    run: Callable[[RunConfig, Context], RunResult] = run_pipeline,
) -> RunResult:
    """Run a pipeline, and write ``config.junit`` where that is asked for.

    A dry run and one that was interrupted have nothing to tell, and write none.

    Raises:
        OutputExistsError: the file stands already, and ``force`` was not given.
        EdgeCVError: as :func:`~edgecv_cli.pipeline.run.run_pipeline`, after the file is written.
    """
    if config.junit is None or config.dry_run:
        return run(config, context)
    refuse_taken(config.junit, {}, force=config.force)
    try:
        result = run(config, context)
    except InterruptedByUser:
        raise
    except EdgeCVError as error:
        _write(config.junit, _said(error, config), force=config.force)
        raise
    _write(config.junit, result.to_json(), force=config.force)
    return result


def _said(error: EdgeCVError, config: RunConfig) -> dict[str, Any]:
    """Return what ``--json`` prints for a failure."""
    if isinstance(error, GateNotMetError) and isinstance(error.result, RunResult):
        return error.result.to_json()
    said = {"kind": error.kind, "problem": error.problem, "remedy": error.remedy}
    return {"pipeline": str(config.pipeline), "error": said}


def _write(path: Path, result: dict[str, Any], *, force: bool) -> None:
    Delivery(path, {"": Content.of(junit(result))}).publish(force=force)
