"""How fast models are side by side, and with labelled images how accurate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.common import CACHING_ENGINES
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    ConfigError,
    GateNotMetError,
    ModelError,
    UnrecognisedError,
    UsageError,
)
from edgecv_cli.measure.fitness import misfit
from edgecv_cli.measure.hardware import fingerprint, machine
from edgecv_cli.measure.instruments import Instruments, of_this_machine
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.latency import benchmark as time_rows
from edgecv_cli.measure.latency_gates import GateOutcome, judge, require_partners
from edgecv_cli.measure.latency_result import BenchRun
from edgecv_cli.measure.latency_warnings import busy_warning
from edgecv_cli.media.dataset import open_dataset
from edgecv_cli.runtime.opening import find_engine
from edgecv_cli.stages.benchmark_result import BenchmarkResult
from edgecv_cli.stages.benchmarking.accuracy import accuracy
from edgecv_cli.stages.benchmarking.beside import end_to_end, scenario, streams
from edgecv_cli.stages.benchmarking.extras import Asked, Extra, with_extras
from edgecv_cli.stages.benchmarking.profile import profile
from edgecv_cli.stages.compose.benchmark_files import benchmark_files
from edgecv_cli.stages.results import read_result

if TYPE_CHECKING:
    from pathlib import Path

    from edgecv_cli.config.benchmark import BenchmarkConfig
    from edgecv_cli.detector.spec import DetectorSpec

_EXTRAS: tuple[Extra, ...] = (streams, scenario, end_to_end, accuracy, profile)


def benchmark(config: BenchmarkConfig, context: Context) -> BenchmarkResult:
    """Time models side by side; with labelled images, state their mAP as well.

    Raises:
        GateNotMetError: a condition of ``--fail-if`` holds; with the whole result.
        EdgeCVError: a model, the data, an engine or the baseline can't be used, nothing could be
            timed, or a file can't be written.
    """
    if config.devices is not None:
        raise UsageError(
            "this measures on one machine, and `devices` names several",
            remedy="leave it out, or run edgecv benchmark --devices by itself",
        )
    with benchmark_files(config) as files:
        before = _baseline(config)
        result = _measured(config, before, context)
        files.write(result)
        failed = [one for one in result.gates or () if not one.met]
        if failed:
            raise GateNotMetError(
                failed[0].text + (f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""),
                remedy="measure again with a longer --duration if the machine was not quiet, or "
                "change what --fail-if allows",
                result=result,
            )
    return result


def _baseline(config: BenchmarkConfig) -> BenchmarkResult | None:
    """Read what ``--compare`` names.

    Raises:
        ConfigError: it is no benchmark's result, or of another machine.
    """
    if config.compare is None:
        return None
    found = read_result(
        config.compare, BenchmarkResult, what="what `edgecv benchmark --json` wrote"
    )
    here, there = fingerprint(config.threads), found.machine
    if not config.cross_machine and (there is None or there.fingerprint != here):
        where = "an unknown machine" if there is None else f"{there.cpu}, {there.cores} cores"
        raise ConfigError(
            f"'{config.compare}' was not measured on this machine as it is now, but on {where}",
            remedy="measure the baseline here, or compare all the same with --cross-machine",
        )
    return found


def _measured(
    config: BenchmarkConfig, before: BenchmarkResult | None, context: Context
) -> BenchmarkResult:
    began = context.clock()
    instruments, unread = of_this_machine()
    if unread:
        context.progress.note(unread)
    before_start = filter(None, [busy_warning()])
    dataset = open_dataset(config.data, limit=config.limit) if config.data else None
    for note in dataset.notes if dataset else ():
        context.progress.note(note)
    _require_meter(config, instruments, unread)
    specs, refused = _read_models(config, required=dataset is not None)
    rows = _rows(config, specs, refused)
    if before is not None:
        named = [(str(row.model), row.engine, row.threads or row.cores) for row in rows]
        require_partners(named, config.fail_if, before.runs)
    result = time_rows(
        rows,
        duration_s=config.duration,
        samples=config.samples,
        launches=config.launches,
        context=context,
        baseline=config.baseline - 1,
        instruments=instruments,
    )
    asked = Asked(rows, result.runs, config, specs, dataset, context)
    runs, noted = with_extras(asked, _EXTRAS)
    return BenchmarkResult(
        machine=machine(config.threads),
        runs=runs,
        ratios=result.ratios,
        warnings=(
            *before_start,
            *_misfits([path for path in config.models if path not in refused]),
            *result.warnings,
            *noted,
        ),
        rounds=result.rounds,
        launches=result.launches,
        conditions=result.conditions,
        images=len(dataset.items) if dataset else None,
        gates=_gates(config, runs, before),
        compared_to=None if config.compare is None else str(config.compare),
        report=None if config.report is None else str(config.report),
        seconds=(context.clock() - began) / 1e9,
    )


def _gates(
    config: BenchmarkConfig, runs: Sequence[BenchRun], before: BenchmarkResult | None
) -> tuple[GateOutcome, ...] | None:
    if not config.fail_if:
        return None
    earlier = () if before is None else before.runs
    return judge(runs, config.fail_if, baseline=earlier, strict=config.strict)


def _require_meter(config: BenchmarkConfig, instruments: Instruments, unread: str | None) -> None:
    """Refuse a condition on energy where none is measured, before anything is timed."""
    asked = [str(one) for one in config.fail_if if one.metric == "energy_mj"]
    if asked and not instruments.has_meter:
        raise UsageError(
            f"--fail-if '{asked[0]}' needs energy, and no sensor of this machine can be read",
            remedy=unread or "leave it out here, or measure on a machine that has a sensor",
        )


def _misfits(models: Sequence[Path]) -> tuple[str, ...]:
    found = (misfit(Artifact.open(path)) for path in models)
    return tuple(text for text in found if text is not None)


def _read_models(
    config: BenchmarkConfig, *, required: bool
) -> tuple[dict[Path, DetectorSpec | None], dict[Path, ModelError]]:
    """Return how each model is fed, and why those that are broken are not run.

    Raises:
        ModelError: all of them are broken; the first one's.
        EdgeCVError: one is not there, or is no detector and has to be.
    """
    specs: dict[Path, DetectorSpec | None] = {}
    refused: dict[Path, ModelError] = {}
    for path in config.models:
        specs[path] = None
        artifact = Artifact.open(path)
        try:
            specs[path] = _spec(artifact, config, required=required)
        except ModelError as error:
            refused[path] = error
    if len(refused) == len(specs):
        raise next(iter(refused.values()))
    return specs, refused


def _rows(
    config: BenchmarkConfig,
    specs: dict[Path, DetectorSpec | None],
    refused: dict[Path, ModelError],
) -> list[BenchRow]:
    for engine in config.engine:
        find_engine(engine.partition(":")[0])
    return [
        BenchRow(
            model=path,
            engine=engine,
            threads=config.threads,
            spec=specs[path],
            input_size=config.input_size,
            affinity=config.affinity,
            patience_s=config.timeout,
            model_cache=config.model_cache and engine.partition(":")[0] in CACHING_ENGINES,
            refused=refused.get(path),
        )
        for engine in config.engine
        for path in config.models
    ]


def _spec(artifact: Artifact, config: BenchmarkConfig, *, required: bool) -> DetectorSpec | None:
    """Return how a model is fed; any model can be timed, only a detector has an mAP."""
    try:
        return artifact.detector(config.spec, input_size=config.input_size).spec
    except UnrecognisedError:
        if required or config.spec is not None:
            raise
        return None
