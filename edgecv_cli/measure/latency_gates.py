"""Conditions on what a benchmark measured: met, or not, and by what figures.

A condition is held against a figure's interval, not against the figure alone: a run on a machine
that is never quite still must not fail because of what the machine did. It fails where the whole
interval lies on the wrong side; where the interval leaves it open, the outcome says so. Figures
that have no interval (bytes, the time to load) are taken as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import Field

from edgecv_cli.config.fail_if import FailIf
from edgecv_cli.core.errors import UsageError
from edgecv_cli.core.result import Part
from edgecv_cli.measure.latency_metrics import Range, figure
from edgecv_cli.measure.latency_metrics import interval as interval_of
from edgecv_cli.measure.latency_result import BenchRun


class GateOutcome(Part):
    """What became of one condition on one row."""

    condition: str = Field(description="As it was written: where it holds, the gate is not met.")
    model: str
    engine: str
    met: bool
    shown: bool = Field(description="Whether the interval decides it; false: it was left open.")
    value: float | None = Field(
        default=None, description="The row's figure, or its ratio to the baseline's."
    )
    low: float | None = Field(default=None, description="Lower end of its interval.")
    high: float | None = None
    limit: float = Field(description="What the value was held against, in the same unit.")
    text: str = Field(description="The outcome in words.")


def judge(
    runs: Sequence[BenchRun],
    conditions: Sequence[FailIf],
    *,
    baseline: Sequence[BenchRun] = (),
    strict: bool = False,
) -> tuple[GateOutcome, ...]:
    """Hold every row against every condition.

    Args:
        runs: the rows.
        conditions: when it fails.
        baseline: rows of an earlier run, which relative conditions are against.
        strict: fail by the figures alone, whatever their intervals leave open.

    Raises:
        UsageError: a relative condition has no row or no figure in the baseline.
    """
    before = {_key(run): run for run in baseline}
    return tuple(
        _outcome(run, condition, _partner(run, condition, before), strict=strict)
        for run in runs
        for condition in conditions
    )


def require_partners(
    rows: Iterable[tuple[str, str, int]], conditions: Sequence[FailIf], baseline: Sequence[BenchRun]
) -> None:
    """Refuse a baseline that lacks a row, before anything is timed.

    Args:
        rows: model, engine and threads of each row that will be timed.
        conditions: when it fails.
        baseline: the earlier rows.

    Raises:
        UsageError: naming the row, or the figure that it lacks.
    """
    before = {_key(run): run for run in baseline}
    for model, engine, threads in rows:
        probe = BenchRun(model=model, engine=engine, threads=threads)
        for condition in conditions:
            _partner(probe, condition, before)


def _key(run: BenchRun) -> tuple[str, str, int]:
    return Path(run.model).name, run.engine, run.threads


def _partner(
    run: BenchRun, condition: FailIf, before: Mapping[tuple[str, str, int], BenchRun]
) -> BenchRun | None:
    if not condition.relative:
        return None
    partner = before.get(_key(run))
    if partner is None:
        known = ", ".join(f"{name} on {engine}, {n} threads" for name, engine, n in before)
        raise UsageError(
            f"the baseline has no row for {Path(run.model).name} on {run.engine} with "
            f"{run.threads} threads",
            remedy=f"it has: {known or 'none'}; benchmark the same models with the same options",
        )
    if not figure(partner, condition.metric):
        raise UsageError(
            f"the baseline's row for {Path(run.model).name} has no {condition.metric}",
            remedy=f"measure it there as well, or leave --fail-if '{condition}' out",
        )
    return partner


def _outcome(
    run: BenchRun, condition: FailIf, partner: BenchRun | None, *, strict: bool
) -> GateOutcome:
    value, interval = figure(run, condition.metric), interval_of(run, condition.metric)
    limit = 1 + condition.bound if partner is not None else condition.bound
    if value is None:
        why = run.error or f"{condition.metric} was not measured"
        name = f"{Path(run.model).name} on {run.engine}"
        return GateOutcome(
            condition=str(condition), model=run.model, engine=run.engine, met=False, shown=True,
            limit=limit, text=f"{name}: fails, for it has no figure: {why}",
        )  # fmt: skip
    if partner is not None:
        value, interval = _against(partner, condition.metric, value, interval)
    return hold(
        condition, value, interval, limit=limit, model=run.model, engine=run.engine, strict=strict
    )


def hold(
    condition: FailIf,
    value: float,
    interval: Range | None,
    *,
    limit: float,
    model: str,
    engine: str,
    strict: bool,
) -> GateOutcome:
    """Hold one figure against one condition.

    Args:
        condition: when it fails.
        value: the figure; of a relative condition its ratio to the baseline's.
        interval: its ends; None: the figure is taken as it is.
        limit: what it is held against, in the same unit.
        model, engine: whose figure it is.
        strict: fail by the figure alone, whatever its interval leaves open.
    """
    wrong = value > limit if condition.side == ">" else value < limit
    decided = interval is None or not interval[0] <= limit <= interval[1]
    met = not wrong or not (decided or strict)
    said = _words(condition, value, interval, met, wrong)
    return GateOutcome(
        condition=str(condition), model=model, engine=engine, met=met, shown=decided,
        value=value, low=interval[0] if interval else None, high=interval[1] if interval else None,
        limit=limit, text=f"{Path(model).name} on {engine}: {said}",
    )  # fmt: skip


def _words(condition: FailIf, value: float, interval: Range | None, met: bool, wrong: bool) -> str:
    def shown(number: float) -> str:
        return f"{100 * (number - 1):+.1f}%" if condition.relative else f"{number:.6g}"

    measured = f"{condition.metric} {shown(value)}"
    if interval is not None:
        measured += f" (95 % interval {shown(interval[0])} to {shown(interval[1])})"
    if not met:
        return f"fails by '{condition}': {measured}"
    if wrong:
        return f"'{condition}' is not shown: {measured}"
    return f"passes '{condition}': {measured}"


def _against(
    partner: BenchRun, metric: str, value: float, interval: Range | None
) -> tuple[float, Range | None]:
    """Return the ratio to the baseline and its interval, the two runs taken as independent."""
    base, other = figure(partner, metric) or 1.0, interval_of(partner, metric)
    ratio = value / base
    if ratio <= 0 or (interval is None and other is None):
        return ratio, None
    mine = _reach(value, interval)
    its = _reach(base, other)
    # below: this one low and the baseline high; above: the other way round
    return ratio, (
        ratio * math.exp(-math.hypot(mine[0], its[1])),
        ratio * math.exp(math.hypot(mine[1], its[0])),
    )


def _reach(value: float, interval: Range | None) -> Range:
    """Return how far an interval reaches below and above its figure, as logarithms."""
    if interval is None:
        return 0.0, 0.0
    low, high = max(interval[0], value * 1e-3), max(interval[1], value)
    return max(math.log(value / low), 0.0), math.log(high / value)
