"""What of a pipeline is finished already, and why the rest is not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgecv_cli.artifact.artifact import weights_beside
from edgecv_cli.artifact.sidecar import sidecar_path, sidecar_text
from edgecv_cli.config.base import Config
from edgecv_cli.core.errors import ConfigError, EdgeCVError, UsageError
from edgecv_cli.core.result import Result
from edgecv_cli.pipeline.keys import Digests, Key, artifact_digest
from edgecv_cli.pipeline.outputs import Content, Delivery
from edgecv_cli.pipeline.read import MODEL, Pipeline, Step
from edgecv_cli.pipeline.record import (
    Record,
    Shelf,
    input_token,
    output_token,
    replaced,
    weights_of,
)
from edgecv_cli.runtime.opening import find_engine


@dataclass(frozen=True)
class Finding:
    """What is known of a step before it runs.

    Attributes:
        key: what it would be kept under; None while an input has yet to be made.
        record: the finished work, if the store has it.
        why: why it is taken from the store, or is not.
    """

    key: Key | None
    record: Record | None
    why: str


class Survey:
    """Looks steps up, in their order; learns the artifacts that they give as it goes.

    Args:
        pipeline: checked.
        shelf: where finished steps are.
        fresh: take nothing from there.

    Raises:
        ConfigError: the model can't be read.
    """

    def __init__(self, pipeline: Pipeline, shelf: Shelf, *, fresh: bool) -> None:
        self._pipeline, self._shelf, self._fresh = pipeline, shelf, fresh
        self._digests = Digests()
        with named(f"{pipeline.file}: model"):
            self._known = {MODEL: artifact_digest(pipeline.model)}

    def look(self, step: Step) -> Finding:
        """Look a step up.

        Raises:
            ConfigError: an input can't be read, naming the step.
        """
        with named(f"{self._pipeline.file}: step {step.id}"):
            self._digests.inputs(step.stage, step.config)  # a bad one is refused in any case
            _check_engines(step.config)
            waits = [name for name in step.inputs if name not in self._known]
            if waits:
                return Finding(None, None, f"{' and '.join(waits)} runs first")
            artifacts = [self._known[name] for name in step.inputs]
            key = self._digests.key(step.stage, step.config, artifacts)
        if self._fresh:
            return Finding(key, None, "--fresh")
        record = self._shelf.find(key)
        if record is not None and self.result(step, record) is not None:
            return Finding(key, record, "nothing changed")
        last = self._shelf.last(self._pipeline.file, step.id)
        if last is None:
            return Finding(key, None, "never run")
        return Finding(key, None, key.difference(last) or "no longer in the cache")

    def learn(self, step: Step, record: Record) -> None:
        """Take note of the artifact that a finished step gives."""
        if record.artifact is not None:
            self._known[step.id] = record.artifact

    def result(self, step: Step, record: Record) -> Result | None:
        """Return what a step reported, in the names of this pipeline; None in an older shape."""
        try:
            return step.stage.result.model_validate(replaced(record.result, self._names(step)))
        except ValueError:
            return None

    def deliveries(
        self, step: Step, record: Record, result: Result, contents: Mapping[str, Content]
    ) -> list[Delivery]:
        """Return what a finished step publishes; ``contents`` are the files it made, by digest."""
        found = []
        for name, path in step.outputs.items():
            files = {
                kept.name: contents[kept.sha256] for kept in record.files if kept.field == name
            }
            if not files:
                continue
            beside = {}
            package = step.stage.package and step.stage.makes_folder(path)
            if name == "output" and ("" in files or package):
                whole = getattr(result, "sha256", None) if package else files[""].sha256
                text = sidecar_text(whole or "", result.to_json())
                beside = {sidecar_path(path).name: Content.of(text)}
            weights, kept = weights_beside(path), record.file(weights_of(name))
            if weights is not None and kept is not None:
                beside[weights.name] = contents[kept.sha256]
            found.append(Delivery(path, files, beside, package=package))
        if step.result is not None:
            found.append(Delivery(step.result, {"": Content.of(_text(result))}))
        return found

    def _names(self, step: Step) -> dict[str, str | None]:
        """Return what the tokens in a step's result stand for here."""
        outputs = {step.id: step.written.get("output") for step in self._pipeline.steps}
        labels = {MODEL: self._pipeline.model_label}
        labels |= {name: path or name for name, path in outputs.items()}
        inputs = {input_token(i): labels[name] for i, name in enumerate(step.inputs)}
        fields = step.stage.config.model_fields
        written = {name: step.written.get(name) for name in fields}
        written |= {weights_of(name): _weights(path) for name, path in written.items()}
        return {**inputs, **{output_token(name): path for name, path in written.items()}}


def _check_engines(config: Config) -> None:
    asked = getattr(config, "engine", ())
    for engine in (asked,) if isinstance(asked, str) else asked or ():
        find_engine(engine.partition(":")[0])


def _weights(path: str | None) -> str | None:
    beside = None if path is None else weights_beside(Path(path))
    return None if beside is None else str(beside)


def _text(result: Result) -> str:
    return json.dumps(result.to_json(), indent=1, sort_keys=True) + "\n"


@contextmanager
def named(where: str) -> Iterator[None]:
    """Say of anything that can't be used where the pipeline names it.

    Raises:
        UsageError: in the place of what was raised inside the block.
    """
    try:
        yield
    except UsageError as error:
        error.problem = f"{where}: {error.problem}"
        raise
    except EdgeCVError as error:
        raise ConfigError(f"{where}: {error.problem}", remedy=error.remedy) from error
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        raise ConfigError(
            f"{where}: {what}{error.strerror}", remedy="check the paths that it names"
        ) from error
