"""How fast models are side by side, and with labelled images how accurate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import UnrecognisedError
from edgecv_cli.core.result import Result
from edgecv_cli.measure.fitness import misfit
from edgecv_cli.measure.hardware import machine
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.latency import benchmark as time_rows
from edgecv_cli.measure.latency_result import BenchRun, Ratio
from edgecv_cli.measure.latency_warnings import busy_warning
from edgecv_cli.measure.prediction import evaluate_artifact
from edgecv_cli.media.dataset import Dataset, open_dataset
from edgecv_cli.runtime.opening import find_engine

if TYPE_CHECKING:
    from pathlib import Path

    from edgecv_cli.config.benchmark import BenchmarkConfig
    from edgecv_cli.detector.spec import DetectorSpec


class BenchmarkResult(Result):
    """Models x engines, timed in interleaved blocks, each in its own process."""

    schema_: str = Field(
        default="edgecv.benchmark/1", serialization_alias="schema", validation_alias="schema"
    )
    runs: tuple[BenchRun, ...]
    ratios: tuple[Ratio, ...] = Field(description="Every other row against the baseline.")
    warnings: tuple[str, ...]
    rounds: int
    images: int | None = Field(default=None, description="Labelled images behind each map.")
    seconds: float


def benchmark(config: BenchmarkConfig, context: Context) -> BenchmarkResult:
    """Time models side by side; with labelled images, state their mAP as well.

    Raises:
        EdgeCVError: a model, the data or an engine can't be used, or nothing could be timed.
    """
    began = context.clock()
    busy = busy_warning()
    dataset = open_dataset(config.data, limit=config.limit) if config.data else None
    for note in dataset.notes if dataset else ():
        context.progress.note(note)
    specs = {path: _spec(path, config, required=dataset is not None) for path in config.models}
    rows = _rows(config, specs)
    result = time_rows(
        rows, duration_s=config.duration, context=context, baseline=config.baseline - 1
    )
    runs = result.runs
    if dataset is not None:
        runs = tuple(
            _with_map(run, row, specs[row.model], dataset, context)
            for run, row in zip(runs, rows, strict=True)
        )
    return BenchmarkResult(
        machine=machine(config.threads),
        runs=runs,
        ratios=result.ratios,
        warnings=((busy,) if busy else ()) + _misfits(config.models) + result.warnings,
        rounds=result.rounds,
        images=len(dataset.items) if dataset else None,
        seconds=(context.clock() - began) / 1e9,
    )


def _misfits(models: Sequence[Path]) -> tuple[str, ...]:
    found = (misfit(Artifact.open(path)) for path in models)
    return tuple(text for text in found if text is not None)


def _rows(config: BenchmarkConfig, specs: dict[Path, DetectorSpec | None]) -> list[BenchRow]:
    for engine in config.engine:
        find_engine(engine.partition(":")[0])
    return [
        BenchRow(
            model=path,
            engine=engine,
            threads=config.threads,
            spec=specs[path],
            input_size=config.input_size,
        )
        for engine in config.engine
        for path in config.models
    ]


def _spec(path: Path, config: BenchmarkConfig, *, required: bool) -> DetectorSpec | None:
    """Return how a model is fed; any model can be timed, only a detector has an mAP."""
    artifact = Artifact.open(path)
    try:
        return artifact.detector(config.spec, input_size=config.input_size).spec
    except UnrecognisedError:
        if required or config.spec is not None:
            raise
        return None


def _with_map(
    run: BenchRun,
    row: BenchRow,
    spec: DetectorSpec | None,
    dataset: Dataset,
    context: Context,
) -> BenchRun:
    if run.error is not None or spec is None:
        return run
    artifact = Artifact.open(row.model)
    accuracy = evaluate_artifact(
        artifact, spec, dataset, context, engine=row.engine, threads=row.threads
    ).accuracy
    interval = accuracy.interval
    return run.model_copy(
        update={
            "map": accuracy.map,
            "map_low": interval.low if interval else None,
            "map_high": interval.high if interval else None,
        }
    )
