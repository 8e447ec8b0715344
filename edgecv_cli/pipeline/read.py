"""From a pipeline's YAML to steps in an order that works, or words about why there is none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from edgecv_cli.config.base import Config, Input, Output, mark_of, path_fields
from edgecv_cli.config.run import PipelineFile, RunConfig, SharedSettings
from edgecv_cli.config.yaml import read_yaml
from edgecv_cli.core.errors import ConfigError, EdgeCVError
from edgecv_cli.pipeline.stages import STAGES, Stage

MODEL = "model"
"""What a step's ``input`` calls the detector that the pipeline begins with."""

_TOP = PipelineFile.model_fields.keys()
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_FLAG = re.compile(r"--([a-z][a-z-]*)")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True)
class Step:
    """One step, checked as far as that can be done without opening its inputs.

    Attributes:
        id: its name in this pipeline.
        stage: what it does.
        inputs: ids of the steps whose artifacts it takes, or :data:`MODEL`.
        config: its settings; where inputs and outputs stand is filled in when it runs.
        outputs: field of ``config`` to where that output is published, for those asked for.
        result: where its result is published as JSON, or None.
        written: field (or ``result``) to the output's path as the YAML has it.
    """

    id: str
    stage: Stage
    inputs: tuple[str, ...]
    config: Config
    outputs: Mapping[str, Path]
    result: Path | None
    written: Mapping[str, str]

    @property
    def places(self) -> tuple[Path, ...]:
        """Every path that it publishes."""
        return (*self.outputs.values(), *((self.result,) if self.result else ()))


@dataclass(frozen=True)
class Pipeline:
    """A model and the steps that it goes through.

    Attributes:
        file: the YAML.
        model: the detector that it begins with.
        model_label: that path as the YAML or the command line has it.
        steps: in an order in which every input comes before who takes it.
    """

    file: Path
    model: Path
    model_label: str
    steps: tuple[Step, ...]


def read_pipeline(config: RunConfig, stages: Sequence[Stage] = STAGES) -> Pipeline:
    """Read a pipeline; what the command line says replaces its shared settings.

    Raises:
        ConfigError: it can't be read or can't work, naming file and step.
    """
    file = config.pipeline
    values = read_yaml(file)
    if isinstance(values, dict) and "steps" not in values and values.keys() - _TOP:
        PipelineFile.from_mapping({"steps": [None], **values}, source=str(file))  # names `setps`
    steps = values.get("steps") if isinstance(values, dict) else None
    if not isinstance(steps, list) or not steps:
        raise ConfigError(
            f"{file} is no pipeline: it has no steps",
            remedy="write `model: FILE.onnx` and a list of `steps:`, each with a `stage:`",
        )
    top = PipelineFile.from_mapping(values, source=str(file))
    shared = _shared(top, config)
    if "model" not in shared:
        raise ConfigError(
            f"{file}: model is missing", remedy="add `model: FILE.onnx`, or give --model FILE.onnx"
        )
    reader = _Reader(file, shared, stages)
    linked = _linked(file, [reader.step(raw, n) for n, raw in enumerate(top.steps, 1)])
    label = str(config.model if config.model is not None else top.model)
    return Pipeline(file, shared["model"], label, tuple(_ordered(file, linked)))


def _shared(top: PipelineFile, config: RunConfig) -> dict[str, Any]:
    """Return what is set: by the command line, else by the file, its paths from there on."""
    paths = path_fields(SharedSettings)
    shared = {}
    for name in SharedSettings.model_fields:
        said, typed = getattr(top, name), getattr(config, name)
        if said is not None and name in paths:
            said = config.pipeline.parent / said
        if typed is not None or said is not None:
            shared[name] = said if typed is None else typed
    return shared


@dataclass(frozen=True)
class _Raw:
    """A step before its inputs are known to exist; an empty ``inputs`` means the default."""

    step: Step
    inputs: tuple[str, ...]


class _Reader:
    """Reads one step after the other."""

    def __init__(self, file: Path, shared: Mapping[str, Any], stages: Sequence[Stage]) -> None:
        self._file, self._shared, self._stages = file, shared, stages

    def step(self, raw: Any, number: int) -> _Raw:
        """Check one step by its stage's Config."""
        if not isinstance(raw, dict):
            raise ConfigError(
                f"{self._file}: step {number} holds no settings",
                remedy="write `- stage: NAME`, and its settings below",
            )
        given = {str(key): value for key, value in raw.items()}
        where = f"{self._file}: step {given.get('id', number)}"
        stage = self._stage(given.pop("stage", None), where)
        name = given.pop("id", stage.name)
        if not isinstance(name, str) or not _ID.fullmatch(name) or name == MODEL:
            raise ConfigError(
                f"{where}: {name!r} is no id for a step",
                remedy=f"use letters, digits, - and _, at most 64, and not {MODEL!r}",
            )
        where = f"{self._file}: step {name}"
        inputs = _inputs(given, stage, where)
        result = given.pop("result", None)
        _refuse_keys(given, stage, where)
        if result is not None and not (isinstance(result, str) and result.endswith(".json")):
            raise ConfigError(
                f"{where}: result: {result!r} does not end in .json",
                remedy="name a JSON file; the step's figures go there",
            )
        stand_ins = (Path(f"{name}.onnx"),) * max(len(inputs), 1)
        config = self._config(given, stage, stand_ins, where)
        marked = {key for key, info in stage.config.model_fields.items() if mark_of(info, Output)}
        written = {key: str(given[key]) for key in sorted(marked & given.keys()) if given[key]}
        outputs = {key: self._file.parent / value for key, value in written.items()}
        if result is not None:
            written["result"] = result
        place = None if result is None else self._file.parent / result
        return _Raw(Step(name, stage, (), config, outputs, place, written), inputs)

    def _stage(self, name: Any, where: str) -> Stage:
        names = [stage.name for stage in self._stages]
        if name is None:
            raise ConfigError(
                f"{where}: stage is missing", remedy=f"add `stage:`, one of {', '.join(names)}"
            )
        found = next((stage for stage in self._stages if stage.name == name), None)
        if found is None:
            raise ConfigError(f"{where}: unknown stage {name!r}", remedy=nearest(str(name), names))
        return found

    def _config(
        self, given: Mapping[str, Any], stage: Stage, inputs: tuple[Path, ...], where: str
    ) -> Config:
        fields = stage.config.model_fields
        here = {key: value for key, value in self._shared.items() if key in fields}
        here |= {key: self._placed(value, key, stage.config) for key, value in given.items()}
        here[stage.takes] = inputs if stage.takes_many else inputs[0]
        if stage.gives == "artifact":
            here.setdefault("output", Path(f"output{stage.suffix}"))
        try:
            return stage.config.from_mapping(here, source=where)
        except EdgeCVError as error:
            problem = (
                error.problem if isinstance(error, ConfigError) else f"{where}: {error.problem}"
            )
            raise ConfigError(
                as_keys(problem, stage.config),
                remedy=as_keys(error.remedy, stage.config).replace(
                    "--help", f"edgecv {stage.name} --help"
                ),
            ) from error

    def _placed(self, value: Any, key: str, config: type[Config]) -> Any:
        """Return a setting whose paths begin at the YAML's folder."""
        folder = self._file.parent
        if key in path_fields(config) and isinstance(value, str):
            return folder / value
        mark = mark_of(config.model_fields[key], Input) if key in config.model_fields else None
        if mark is None or mark.kind != "sources":
            return value
        sources = [value] if isinstance(value, str) else value
        if not isinstance(sources, list):
            return value
        return tuple(str(s) if _ADDRESS.match(str(s)) else str(folder / str(s)) for s in sources)


_RESERVED = ("force", "report")


def _refuse_keys(given: Mapping[str, Any], stage: Stage, where: str) -> None:
    if stage.takes in given:
        raise ConfigError(
            f"{where}: {stage.takes} is what `input` names",
            remedy=f"write `input: {MODEL}`, or the id of a step that gives an artifact",
        )
    for key in _RESERVED:
        if key in given:
            raise ConfigError(
                f"{where}: {key} is said once for the whole run, not in a step",
                remedy=f"give --{key} to edgecv run",
            )
    own = [key for key in stage.config.model_fields if key not in (stage.takes, *_RESERVED)]
    for key in given:
        if key not in own:
            raise ConfigError(
                f"{where}: unknown setting {key}",
                remedy=nearest(key, [*own, "id", "stage", "input", "result"]),
            )


def _inputs(given: dict[str, Any], stage: Stage, where: str) -> tuple[str, ...]:
    """Take ``input`` or ``inputs`` out of a step's keys; empty where neither is there."""
    key = "inputs" if "inputs" in given else "input"
    value = given.pop(key, None)
    if "input" in given:
        raise ConfigError(f"{where}: both input and inputs", remedy="keep one of them")
    names = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{where}: {key} holds no ids", remedy="write the ids of steps")
    if len(names) > 1 and not stage.takes_many:
        raise ConfigError(
            f"{where}: {stage.name} takes one artifact, and {key} names {len(names)}",
            remedy="make a step for each of them",
        )
    return tuple(names)


def _linked(file: Path, raws: Sequence[_Raw]) -> list[Step]:
    """Resolve every input, where none is named to the artifact as it stands at that point."""
    known = {raw.step.id: raw.step for raw in raws}
    if len(known) < len(raws):
        ids = [raw.step.id for raw in raws]
        double = next(name for name in ids if ids.count(name) > 1)
        raise ConfigError(
            f"{file}: two steps are called {double}", remedy="give each an `id:` of its own"
        )
    latest, steps = MODEL, []
    for raw in raws:
        where = f"{file}: step {raw.step.id}"
        for name in raw.inputs:
            _check_input(name, known, where)
        inputs = raw.inputs or (latest,)
        steps.append(Step(**{**vars(raw.step), "inputs": inputs}))
        if raw.step.stage.gives == "artifact":
            latest = raw.step.id
    return steps


def _check_input(name: str, known: Mapping[str, Step], where: str) -> None:
    if name == MODEL:
        return
    giving = [step.id for step in known.values() if step.stage.gives == "artifact"]
    if name not in known:
        raise ConfigError(
            f"{where}: there is no step called {name!r}", remedy=nearest(name, [MODEL, *giving])
        )
    if name not in giving:
        raise ConfigError(
            f"{where}: its input {name} is a step that gives no artifact "
            f"({known[name].stage.name} only looks)",
            remedy=f"name one of: {', '.join([MODEL, *giving])}",
        )


def _ordered(file: Path, steps: Sequence[Step]) -> Iterable[Step]:
    """Yield the steps as they stand, each put off until its inputs have been."""
    graph = {step.id: set(step.inputs) - {MODEL} for step in steps}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise ConfigError(
            f"{file}: steps wait for each other: {circle}",
            remedy=f"let one of them take `input: {MODEL}`",
        ) from error
    waiting, done = list(steps), {MODEL}
    while waiting:
        step = next(step for step in waiting if done.issuperset(step.inputs))
        waiting.remove(step)
        done.add(step.id)
        yield step


def nearest(name: str, known: Sequence[str]) -> str:
    """Return advice that offers the nearest known name, or else all of them."""
    near = difflib.get_close_matches(name, known, 1)
    return f"write {near[0]}" if near else f"use one of: {', '.join(known)}"


def as_keys(text: str, config: type[Config]) -> str:
    """Return advice about flags as advice about a YAML's keys."""

    def key(match: re.Match[str]) -> str:
        field = match[1].replace("-", "_")
        return field if field in config.model_fields else match[0]

    return _FLAG.sub(key, text)
