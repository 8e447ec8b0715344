"""A benchmark row's figures and intervals by the names that conditions are put on."""

from __future__ import annotations

from edgecv_cli.config.common import Scenario
from edgecv_cli.core.result import Interval
from edgecv_cli.measure.latency_result import BenchRun

Range = tuple[float, float]
_STATED: dict[str, Scenario] = {
    "p90_single_stream_ms": "single-stream",
    "p99_multi_stream_ms": "multi-stream",
}


def figure(run: BenchRun, metric: str) -> float | None:
    """Return what was measured of a row under a name of ``config.fail_if``; None: it was not.

    A scenario's percentile is the one that can be stated, not the measured one.
    """
    if metric in _STATED:
        found = run.scenario
        return found.latency_ms if found and found.scenario == _STATED[metric] else None
    place, name = _place(run, metric)
    value: float | None = getattr(place, name, None)
    return value


def interval(run: BenchRun, metric: str) -> Range | None:
    """Return the ends of a figure's 95 % interval, or None where it has none."""
    if metric == "map":
        known = run.map_low is not None and run.map_high is not None
        return (run.map_low or 0.0, run.map_high or 0.0) if known else None
    found = _interval(run, metric)
    return None if found is None else (found.low, found.high)


def _interval(run: BenchRun, metric: str) -> Interval | None:
    holders = {
        "throughput_fps": run.throughput,
        "energy_mj": run.energy,
        "total_p50_ms": run.end_to_end,
    }
    if metric in holders:
        holder = holders[metric]
        return holder.interval if holder else None
    return (run.intervals or {}).get(metric)


def _place(run: BenchRun, metric: str) -> tuple[object, str]:
    """Return what holds a figure, and under which name."""
    if metric == "energy_mj":
        return run.energy, "mj_per_inference"
    if metric.startswith("throughput_"):
        return run.throughput, metric.removeprefix("throughput_")
    if metric.startswith("total_"):
        return (run.end_to_end.total if run.end_to_end else None), metric.removeprefix("total_")
    if metric == "end_to_end_fps":
        return run.end_to_end, "fps"
    return run, metric
