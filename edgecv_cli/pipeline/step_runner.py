"""Doing a pipeline's steps one after the other, and remembering what came of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgecv_cli.artifact.artifact import weights_beside
from edgecv_cli.config.base import Output, mark_of
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.config.run import RunConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import EdgeCVError, GateNotMetError, InterruptedByUser
from edgecv_cli.core.files import sha256_file
from edgecv_cli.core.result import Result
from edgecv_cli.pipeline.headlines import headline
from edgecv_cli.pipeline.keys import artifact_digest
from edgecv_cli.pipeline.outputs import Content, Delivery
from edgecv_cli.pipeline.read import MODEL, Pipeline, Step, as_keys
from edgecv_cli.pipeline.record import (
    Kept,
    Record,
    Shelf,
    input_token,
    output_token,
    replaced,
    weights_of,
)
from edgecv_cli.pipeline.run_pictures import quantize_pictures
from edgecv_cli.pipeline.run_report import run_document
from edgecv_cli.pipeline.run_result import RunResult, Status, StepReport
from edgecv_cli.pipeline.survey import Survey, named
from edgecv_cli.report.blocks import Block
from edgecv_cli.report.html import render
from edgecv_cli.stages.quantize_result import QuantizeResult

Made = tuple[Kept, Path]
"""A file that a step made: what is kept of it, and where it stands now."""


class StepRunner:
    """One run: does the steps in order, and remembers what came of each."""

    def __init__(
        self, pipeline: Pipeline, config: RunConfig, context: Context, shelf: Shelf, scratch: Path
    ) -> None:
        self._pipeline, self._config, self._context = pipeline, config, context
        self._shelf, self._scratch = shelf, scratch
        self._survey = Survey(pipeline, shelf, fresh=config.fresh)
        self._artifacts: dict[str, Path | Record] = {MODEL: pipeline.model.absolute()}
        self._results: dict[str, Result] = {}
        self._pictures: dict[str, list[Block]] = {}
        self._stopped: dict[str, GateNotMetError | None] = {}
        self.reports: list[StepReport] = []

    def steps(self) -> None:
        """Do every step that can be done."""
        total = len(self._pipeline.steps)
        for number, step in enumerate(self._pipeline.steps, 1):
            self._context.cancel.check()
            report = self._step(step, f"{number}/{total} {step.id}: {step.stage.name}")
            self.reports.append(report)

    def draw(self) -> None:
        """Draw for the report, while the artifacts are at hand, what was quantized."""
        if self._config.report is None:
            return
        for step in self._pipeline.steps:
            result = self._results.get(step.id)
            new = isinstance(result, QuantizeResult) and result.precision != "fp32"
            if new and step.id in self._artifacts and isinstance(step.config, QuantizeConfig):
                before, after = self._path(step.inputs[0]), self._path(step.id)
                drawn = quantize_pictures(step.config, before, after, self._context)
                self._pictures[step.id] = drawn

    def finished(self, result: RunResult) -> RunResult:
        """Return the result, with the report written.

        Raises:
            GateNotMetError: a gate was not met.
        """
        if self._config.report is not None:
            result = result.model_copy(update={"report": str(self._config.report)})
            text = render(run_document(result, self._results, self._pictures))
            Delivery(self._config.report, {"": Content.of(text)}).publish(force=self._config.force)
        refused = [(name, error) for name, error in self._stopped.items() if error is not None]
        if refused:
            name, error = refused[0]
            others = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
            raise GateNotMetError(
                f"{self._pipeline.file}: step {name}: {error.problem}{others}",
                remedy=error.remedy,
                result=result,
            )
        return result

    def _step(self, step: Step, said: str) -> StepReport:
        bad = [name for name in step.inputs if name in self._stopped]
        if bad:
            self._stopped[step.id] = None
            self._context.progress.note(f"{said} (skipped: {bad[0]} gave nothing)")
            return _report(step, status="skipped", why=f"{bad[0]} gave nothing")
        finding = self._survey.look(step)
        if finding.record is not None:
            self._context.progress.note(f"{said} (cached)")
            return self._done(step, finding.record, {}, status="cached", why=finding.why)
        self._context.progress.note(f"{said} ({finding.why})")
        began = self._context.clock()
        try:
            record, files = self._work(step)
        except InterruptedByUser:
            raise
        except EdgeCVError as error:
            error.problem = as_keys(error.problem, step.stage.config)
            error.remedy = as_keys(error.remedy, step.stage.config)
            if isinstance(error, GateNotMetError):
                return self._refused(step, error, (self._context.clock() - began) / 1e9)
            error.problem = f"{self._pipeline.file}: step {step.id}: {error.problem}"
            raise
        assert finding.key is not None
        self._shelf.keep(finding.key, record, files.values())
        self._shelf.note_last(self._pipeline.file, step.id, finding.key)
        return self._done(step, record, files, status="done", why=finding.why)

    def _work(self, step: Step) -> tuple[Record, dict[str, Path]]:
        """Do a step in a folder of its own; returns its record and its files by digest."""
        sources = [self._path(name) for name in step.inputs]
        places = self._places(step)
        began = self._context.clock()
        config = step.config.model_copy(
            update={
                **places,
                step.stage.takes: tuple(sources) if step.stage.takes_many else sources[0],
                **({"force": True} if "force" in step.stage.config.model_fields else {}),
            }
        )
        context = replace(self._context, seed=getattr(config, "seed", 0))
        result = step.stage.run(config, context)
        seconds = (self._context.clock() - began) / 1e9
        return self._recorded(step, result, sources, places, seconds)

    def _recorded(
        self, step: Step, result: Result, sources: list[Path], places: dict[str, Path], took: float
    ) -> tuple[Record, dict[str, Path]]:
        tokens: dict[str, str | None] = {
            str(place): output_token(name) for name, place in places.items()
        }
        for name, place in places.items():
            if (weights := weights_beside(place)) is not None:
                tokens[str(weights)] = output_token(weights_of(name))
        for index, path in reversed(list(enumerate(sources))):
            tokens[str(path)] = input_token(index)
        made = _made(places)
        gives = step.stage.gives == "artifact" and "output" in places  # a refused one gives none
        artifact = artifact_digest(places["output"]) if gives else None
        record = Record(
            result=replaced(result.to_json(), tokens),
            files=tuple(kept for kept, _ in made),
            artifact=artifact,
            seconds=took,
        )
        return record, {kept.sha256: path for kept, path in made}

    def _done(
        self, step: Step, record: Record, files: dict[str, Path], *, status: Status, why: str
    ) -> StepReport:
        """Publish what a step made, and report it."""
        self._survey.learn(step, record)
        result = self._survey.result(step, record)
        assert result is not None
        self._results[step.id] = result
        main = record.file("output") if step.stage.gives == "artifact" else None
        sha256 = None if main is None else main.sha256
        if main is not None:
            self._artifacts[step.id] = files.get(main.sha256, record)
        elif step.stage.package and record.held("output"):
            self._artifacts[step.id], sha256 = record, getattr(result, "sha256", None)
        published = self._publish(step, record, result, files)
        return _report(
            step,
            status=status,
            why=why,
            seconds=record.seconds,
            sha256=sha256,
            published=published,
            summary=headline(result),
            measurements=result.to_json(),
        )

    def _refused(self, step: Step, error: GateNotMetError, took: float) -> StepReport:
        """Report a step whose gate was not met; what it was asked to keep is published."""
        self._stopped[step.id] = error
        self._context.progress.note(f"{step.id}: gate not met: {error.problem}")
        places = self._places(step)
        sources = [self._path(name) for name in step.inputs]
        if error.result is None:
            return _report(step, status="rejected", why=error.problem, seconds=took)
        places.pop("output", None)
        record, files = self._recorded(step, error.result, sources, places, took)
        result = self._survey.result(step, record)
        assert result is not None
        self._results[step.id] = result
        return _report(
            step,
            status="rejected",
            why=error.problem,
            seconds=took,
            published=self._publish(step, record, result, files),
            summary=headline(result),
            measurements=result.to_json(),
        )

    def _publish(
        self, step: Step, record: Record, result: Result, files: dict[str, Path]
    ) -> tuple[str, ...]:
        contents = {
            kept.sha256: Content(kept.sha256, self._reader(kept, files)) for kept in record.files
        }
        published = []
        for delivery in self._survey.deliveries(step, record, result, contents):
            with named(f"{self._pipeline.file}: step {step.id}"):
                delivery.publish(force=self._config.force)
            published.append(str(delivery.path))
        return tuple(published)

    def _reader(self, kept: Kept, files: dict[str, Path]) -> Callable[[], bytes]:
        return lambda: self._fetch(kept, files.get(kept.sha256))

    def _fetch(self, kept: Kept, file: Path | None) -> bytes:
        content = self._shelf.content(kept.sha256) if file is None else file.read_bytes()
        if content is None:
            raise EdgeCVError(
                "the cache lost a finished step while it was needed",
                remedy="run it again; if that repeats, give it more room with --cache-limit",
            )
        return content

    def _path(self, name: str) -> Path:
        """Return where an artifact stands, fetched from the store where that is needed."""
        place = self._artifacts[name]
        if isinstance(place, Record):
            suffix = next(s.stage.suffix for s in self._pipeline.steps if s.id == name)
            path = self._scratch / f"{name}{suffix}"
            for kept, file in (
                (place.file("output"), path),
                (place.file(weights_of("output")), weights_beside(path)),
            ):
                if kept is not None and file is not None:
                    file.write_bytes(self._fetch(kept, None))
            for part in place.held("output"):
                if part.name:
                    (path / part.name).parent.mkdir(parents=True, exist_ok=True)
                    (path / part.name).write_bytes(self._fetch(part, None))
            self._artifacts[name] = place = path
        return place

    def _places(self, step: Step) -> dict[str, Path]:
        """Return where a step writes each of its outputs, for now."""
        found = {}
        for name, info in step.stage.config.model_fields.items():
            asked = step.outputs.get(name)
            always = name == "output" and step.stage.gives == "artifact"
            if mark_of(info, Output) and (asked or always):
                folder = self._scratch / f"{step.id}-{name}"
                folder.mkdir(exist_ok=True)
                found[name] = folder / (asked.name if asked else f"{step.id}{step.stage.suffix}")
        return found


def _made(places: dict[str, Path]) -> list[Made]:
    made: list[Made] = []
    for field, place in places.items():
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        for file in files:
            if file.is_file():
                name = file.relative_to(place).as_posix() if file != place else ""
                made.append((Kept(field=field, name=name, sha256=sha256_file(file)), file))
        weights = weights_beside(place)
        if weights is not None and weights.is_file():
            kept = Kept(field=weights_of(field), name="", sha256=sha256_file(weights))
            made.append((kept, weights))
    return made


def _report(step: Step, **facts: Any) -> StepReport:
    return StepReport(id=step.id, stage=step.stage.name, inputs=step.inputs, **facts)
