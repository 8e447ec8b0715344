"""run: a pipeline's steps in order, each taken from the store where it is finished already.

A step whose gate is not met stops what depends on it; steps that do not depend on it still
run. A step that fails stops the run: what was finished before is in the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgecv_cli.config.run import RunConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import UsageError
from edgecv_cli.core.files import writing
from edgecv_cli.core.scratch import ScratchFolder
from edgecv_cli.core.store import FolderStore, cache_home
from edgecv_cli.measure.hardware import machine
from edgecv_cli.pipeline.outputs import Content, check_places, refuse_taken
from edgecv_cli.pipeline.read import Pipeline, Step, read_pipeline
from edgecv_cli.pipeline.record import Shelf
from edgecv_cli.pipeline.run_result import RunResult, StepReport
from edgecv_cli.pipeline.stages import STAGES, Stage
from edgecv_cli.pipeline.step_runner import StepRunner
from edgecv_cli.pipeline.survey import Finding, Survey, named


def run_pipeline(
    config: RunConfig, context: Context, *, stages: Sequence[Stage] = STAGES
) -> RunResult:
    """Run a pipeline, or with ``dry_run`` say what would be run.

    Everything that can be found out by reading is refused before the first step.

    Raises:
        ConfigError: the pipeline can't work, naming file and step.
        OutputExistsError: an output stands already, and ``force`` was not given.
        GateNotMetError: a step's gate was not met; it carries the whole result.
        EdgeCVError: a step failed, naming it; what was finished is kept.
        InterruptedByUser: cancelled; what was finished is kept.
    """
    began = context.clock()
    pipeline = read_pipeline(config, stages)
    check_places(pipeline, config.report)
    cache = config.cache or _default_cache()
    store = FolderStore(cache, int(config.cache_limit * 2**30), read_only=True)
    planned = _plan(pipeline, Shelf(store), config)
    if config.dry_run:
        steps = tuple(_planned_report(step, finding) for step, finding in planned)
        result = RunResult(
            pipeline=str(config.pipeline), dry_run=True, steps=steps, cache=str(cache), seconds=0.0
        )
        return result.model_copy(update={"seconds": (context.clock() - began) / 1e9})
    shelf = Shelf(FolderStore(cache, int(config.cache_limit * 2**30)))
    with writing(cache):
        scratch = ScratchFolder(cache, "run")
    try:
        run = StepRunner(pipeline, config, context, shelf, scratch.path)
        run.steps()
        run.draw()
    finally:
        scratch.remove()
    return run.finished(
        RunResult(
            machine=machine(config.threads),
            pipeline=str(config.pipeline),
            steps=tuple(run.reports),
            cache=str(cache),
            seconds=(context.clock() - began) / 1e9,
        )
    )


def _default_cache() -> Path:
    try:
        return cache_home() / "steps"
    except RuntimeError as error:
        raise UsageError(
            "there is no place for the cache: this user has no home", remedy="give --cache DIR"
        ) from error


def _plan(pipeline: Pipeline, shelf: Shelf, config: RunConfig) -> list[tuple[Step, Finding]]:
    """Look every step up, and refuse outputs that stand and are not what it would publish."""
    survey = Survey(pipeline, shelf, fresh=config.fresh)
    planned = []
    for step in pipeline.steps:
        finding = survey.look(step)
        expected: dict[Path, str] = {}
        if finding.record is not None:
            survey.learn(step, finding.record)
            result = survey.result(step, finding.record)
            assert result is not None
            contents = {kept.sha256: _nothing(kept.sha256) for kept in finding.record.files}
            for delivery in survey.deliveries(step, finding.record, result, contents):
                expected |= delivery.expected
        for path in step.places:
            with named(f"{pipeline.file}: step {step.id}"):
                refuse_taken(path, expected, force=config.force)
        planned.append((step, finding))
    if config.report is not None:
        refuse_taken(config.report, {}, force=config.force)
    return planned


def _nothing(sha256: str) -> Content:
    return Content(sha256, lambda: b"")


def _planned_report(step: Step, finding: Finding) -> StepReport:
    return StepReport(
        id=step.id,
        stage=step.stage.name,
        inputs=step.inputs,
        status="would run" if finding.record is None else "cached",
        why=finding.why,
    )
