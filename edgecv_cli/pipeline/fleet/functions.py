"""What a device can be asked to do: the functions in :data:`FUNCTIONS`, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_origin

from edgecv_cli.config.base import Config, Input, Output, mark_of, path_fields
from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import EdgeCVError, UsageError
from edgecv_cli.core.result import Result
from edgecv_cli.core.scratch import ScratchFolder
from edgecv_cli.pipeline.fleet.blobs import Blobs
from edgecv_cli.pipeline.fleet.job import Job


@dataclass(frozen=True)
class JobFunction:
    """A function that a job can name.

    Attributes:
        name: what the job calls it.
        config: its settings.
        run: does it.
    """

    name: str
    config: type[Config]
    run: Callable[[Any, Context], Result]


def _benchmark(config: BenchmarkConfig, context: Context) -> Result:
    from edgecv_cli.stages.benchmark import benchmark

    return benchmark(config, context)


FUNCTIONS: tuple[JobFunction, ...] = (JobFunction("benchmark", BenchmarkConfig, _benchmark),)


def run_job(
    job: Job, blobs: Blobs, context: Context, functions: Sequence[JobFunction] = FUNCTIONS
) -> dict[str, Any]:
    """Do a job with the files that are here, and return its result as JSON.

    Args:
        job: what to do.
        blobs: where the job's files are.
        context: progress and cancellation; the seed is the job's own.
        functions: what can be named.

    Raises:
        UsageError: the job names no function, or a path.
        EdgeCVError: the function's own failure; paths are as the user wrote them.
    """
    function = next((one for one in functions if one.name == job.function), None)
    if function is None:
        known = ", ".join(one.name for one in functions)
        raise UsageError(f"a device can't do {job.function!r}", remedy=f"ask for {known}")
    folder = ScratchFolder(blobs.scratch, "job")
    try:
        return _run_in(folder.path, job, blobs, context, function)
    finally:
        folder.remove()


def _run_in(
    folder: Path, job: Job, blobs: Blobs, context: Context, function: JobFunction
) -> dict[str, Any]:
    places = [
        # Readers of ONNX refuse weights with a second name: it could be a way out of the folder.
        blobs.lay_out(
            folder / str(place),
            parcel.files,
            link=parcel.field != "models" or len(parcel.files) == 1,
        )
        for place, parcel in enumerate(job.parcels)
    ]
    names = {str(path): parcel.shown for path, parcel in zip(places, job.parcels, strict=True)}
    settings = _settings(job, function.config, places)
    try:
        config = function.config.from_mapping(settings, source="the job")
        context = replace(context, seed=getattr(config, "seed", context.seed))
        result: dict[str, Any] = rename(function.run(config, context).to_json(), names)
    except EdgeCVError as error:
        error.problem, error.remedy = rename([error.problem, error.remedy], names)
        raise
    return result


def _settings(job: Job, config: type[Config], places: Sequence[Path]) -> dict[str, Any]:
    """Return the settings with the parcels' paths, and no other path."""
    settings = dict(job.arguments)
    inputs = {name for name, info in config.model_fields.items() if mark_of(info, Input)}
    outputs = {name for name, info in config.model_fields.items() if mark_of(info, Output)}
    for name in settings:
        if name in inputs | outputs | path_fields(config):
            raise UsageError(
                f"a job can't say where {name} stands on the device", remedy="send it as a file"
            )
    for path, parcel in zip(places, job.parcels, strict=True):
        if parcel.field not in inputs:
            raise UsageError(
                f"{job.function} takes no file as {parcel.field!r}", remedy="send another job"
            )
        if get_origin(config.model_fields[parcel.field].annotation) is tuple:
            settings[parcel.field] = [*settings.get(parcel.field, ()), str(path)]
        else:
            settings[parcel.field] = str(path)
    return settings


def rename(value: Any, names: dict[str, str]) -> Any:
    """Return JSON in whose texts every path is written as ``names`` has it."""
    if not names:
        return value
    text = json.dumps(value)
    for path, shown in names.items():
        text = text.replace(json.dumps(path)[1:-1], json.dumps(shown)[1:-1])
    return json.loads(text)
