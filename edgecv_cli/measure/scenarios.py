"""A percentile of query times that can be stated, in two load patterns of MLPerf Inference.

*Single-stream*: one picture after the other, the 90th percentile. *Multi-stream*: a query of eight
pictures at once, and the next when all are answered, the 99th. MLPerf runs each for ten minutes at
least; here it ends as soon as its rule for few queries allows a statement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from edgecv_cli.config.common import Scenario
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import EdgeCVError
from edgecv_cli.core.measurement import NS_PER_MS, percentile
from edgecv_cli.core.result import Part
from edgecv_cli.measure.early_stopping import CONFIDENCE, percentile_bound, queries_needed
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.side_child import Side, StartSide, Turns, take_turns

_TURN_SECONDS = 0.2
_BUDGET = 60  # seconds of queries for each second that was asked for


class ScenarioOutcome(Part):
    """A percentile of query times, stated with 99 % confidence as MLPerf Inference does."""

    scenario: Scenario
    percentile: float = Field(description="90 or 99.")
    established: bool = Field(description="Whether there were enough queries to state it.")
    latency_ms: float | None = Field(
        default=None,
        description="A time that the percentile is not above, with 99 % confidence (MLPerf's "
        "early-stopping estimate); absent where there were too few queries.",
    )
    measured_ms: float = Field(description="The percentile of these queries.")
    samples_per_query: int
    streams: int = Field(description="Inferences in flight, at most.")
    queries: int
    queries_needed: int = Field(description="The fewest after which it can be stated.")
    confidence: float = CONFIDENCE


@dataclass(frozen=True)
class Rules:
    """What a scenario asks for: samples of a query, and the percentile of its times."""

    samples: int
    percentile: float


RULES: dict[Scenario, Rules] = {
    "single-stream": Rules(1, 0.90),
    "multi-stream": Rules(8, 0.99),
}


def measure_scenario(
    rows: Sequence[BenchRow],
    scenario: Scenario,
    *,
    streams: int | None,
    queries: int | None,
    seconds: float,
    context: Context,
    start: StartSide | None = None,
) -> list[ScenarioOutcome | EdgeCVError]:
    """Answer queries, one after the other, until a percentile of their times can be stated.

    Each row gets at least ``seconds``, and as many more as its percentile takes, but no longer
    than 60 times ``seconds`` on average; a percentile that can't be stated by then stays open.

    Args:
        rows: what is run.
        scenario: ``single-stream`` (one sample, the 90th percentile) or ``multi-stream`` (eight
            at once, the 99th).
        streams: inferences in flight of a query of several; None is one a thread.
        queries: how many, instead of as many as are needed, and however long they take.
        seconds: of each row at least, if ``queries`` is None.
        context: progress, cancellation and the seed of the order.
        start: makes a row's process.

    Returns:
        One entry a row; what went wrong stands in the place of a figure.
    """
    rules = RULES[scenario]
    needed = queries_needed(rules.percentile)

    def width(row: BenchRow) -> int:
        return 1 if rules.samples == 1 else min(rules.samples, streams or row.threads or row.cores)

    def plan(opened: Sequence[dict[str, Any]]) -> Turns:
        each = [_query_seconds(one, rules.samples) for one in opened]
        wanted = [queries or max(needed, math.ceil(seconds / one)) for one in each]
        fit = [max(1, round(_TURN_SECONDS / one)) for one in each]
        count = max(math.ceil(many / few) for many, few in zip(wanted, fit, strict=True))
        turns = [{"queries": math.ceil(many / count), "samples": rules.samples} for many in wanted]
        return count, turns

    sides = take_turns(
        rows,
        "throughput",
        [{"streams": width(row)} for row in rows],
        plan,
        name=scenario,
        context=context,
        at_most=math.inf if queries else _BUDGET * seconds * len(rows),
        start=start,
    )
    return [side.failure or _outcome(side, scenario, width(side.row), queries) for side in sides]


def _query_seconds(opened: dict[str, Any], samples: int) -> float:
    """Return about how long a query takes; of a row that can't be opened, hardly any time."""
    waves = math.ceil(samples / opened.get("streams", samples))
    return max(1e-6, float(waves * opened.get("inference_ns", 0)) / 1e9)


def _outcome(side: Side, scenario: Scenario, streams: int, queries: int | None) -> ScenarioOutcome:
    rules = RULES[scenario]
    times = [time / NS_PER_MS for turn in side.turns for time in turn["ns"]][:queries]
    bound = percentile_bound(times, rules.percentile)
    return ScenarioOutcome(
        scenario=scenario,
        percentile=100 * rules.percentile,
        established=bound is not None,
        latency_ms=bound,
        measured_ms=percentile(times, 100 * rules.percentile),
        samples_per_query=rules.samples,
        streams=streams,
        queries=len(times),
        queries_needed=queries_needed(rules.percentile),
    )
