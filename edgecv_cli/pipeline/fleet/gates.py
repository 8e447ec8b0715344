"""Conditions on what devices measured, each against its own earlier figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgecv_cli.core.errors import ConfigError, UsageError
from edgecv_cli.measure.latency_gates import GateOutcome, judge
from edgecv_cli.pipeline.fleet.result import FleetResult
from edgecv_cli.stages.results import read_result

if TYPE_CHECKING:
    from edgecv_cli.config.benchmark import BenchmarkConfig
    from edgecv_cli.config.fleet import Device
    from edgecv_cli.stages.benchmark_result import BenchmarkResult

Earlier = Mapping[str, "BenchmarkResult"]


def read_earlier(config: BenchmarkConfig, devices: Sequence[Device]) -> Earlier:
    """Return what ``--compare`` holds of each device; nothing where it is not given.

    Raises:
        ConfigError: it is no fleet's result, or lacks a device.
    """
    if config.compare is None:
        return {}
    what = "what `edgecv benchmark --devices --json` wrote"
    found = read_result(config.compare, FleetResult, what=what)
    earlier = {one.name: one.benchmark for one in found.devices if one.benchmark is not None}
    missing = [device.name for device in devices if device.name not in earlier]
    if missing:
        raise ConfigError(
            f"'{config.compare}' has no figures of {', '.join(missing)}",
            remedy=f"it has {', '.join(earlier) or 'none'}; measure the baseline on the same "
            "devices, or pick devices with --label",
        )
    return earlier


def judged(
    name: str, measured: BenchmarkResult, earlier: Earlier, config: BenchmarkConfig
) -> BenchmarkResult:
    """Return a device's result with what became of each condition.

    A condition against an earlier run that can't be held, because the device is another machine
    by now or the run lacks the row, is not met: nothing shows that it would be.
    """
    if not config.fail_if:
        return measured
    before = earlier.get(name)
    gates: tuple[GateOutcome, ...] = ()
    why = _not_comparable(measured, before, config)
    if why is None:
        runs = before.runs if before else ()
        try:
            gates = judge(measured.runs, config.fail_if, baseline=runs, strict=config.strict)
        except UsageError as error:  # the baseline lacks a row or a figure
            why = error.problem
    if why is not None:
        gates = _unmet(measured, why, config)
    shown = None if config.compare is None else str(config.compare)
    return measured.model_copy(update={"gates": gates, "compared_to": shown})


def _not_comparable(
    measured: BenchmarkResult, before: BenchmarkResult | None, config: BenchmarkConfig
) -> str | None:
    if before is None or config.cross_machine:
        return None
    now, then = measured.machine, before.machine
    if now is not None and then is not None and now.fingerprint == then.fingerprint:
        return None
    return (
        "the baseline was measured on this device as it is no more (processor, cores, threads or "
        "governor); measure it anew, or compare all the same with --cross-machine"
    )


def _unmet(measured: BenchmarkResult, why: str, config: BenchmarkConfig) -> tuple[GateOutcome, ...]:
    return tuple(
        GateOutcome(
            condition=str(condition), model=run.model, engine=run.engine, met=False, shown=True,
            limit=condition.bound,
            text=f"'{condition}' fails, for it can't be held: {why}",
        )
        for run in measured.runs
        for condition in config.fail_if
    )  # fmt: skip
