"""How many images a second, with several inferences in flight; and what a query of several takes.

One inference after the other says how soon an answer is there; it leaves threads idle where a
network has little to share out among them. Several at once say what a machine can do in all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from edgecv_cli.config.common import Scenario
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import EdgeCVError
from edgecv_cli.core.measurement import bootstrap_interval, percentile, summarise_ns
from edgecv_cli.core.result import Interval, Part
from edgecv_cli.measure.early_stopping import CONFIDENCE, percentile_bound, queries_needed
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.side_child import Side, StartSide, take_turns

_TURN_SECONDS = 0.5
_FEWEST_TURNS = 5
_RESAMPLES = 1000
_SAMPLES = 8


class Throughput(Part):
    """Several inferences in flight at once, for as long as was asked."""

    streams: int = Field(description="Inferences in flight.")
    threads: int = Field(description="Threads of the engine, which all streams share.")
    fps: float = Field(description="Images a second, of all streams together.")
    interval: Interval | None = Field(
        default=None, description="95 % interval of fps, by bootstrap over turns."
    )
    p50_ms: float = Field(description="Of one inference while the others run.")
    p95_ms: float
    p99_ms: float
    samples: int = Field(description="Inferences that were timed.")
    turns: int


class ScenarioOutcome(Part):
    """A percentile of query times that is held to with 99 % confidence, as MLPerf states them."""

    scenario: Scenario
    percentile: float = Field(description="90 or 99.")
    latency_ms: float | None = Field(
        default=None,
        description="A time that the percentile is not above, with 99 % confidence; absent where "
        "there were too few queries.",
    )
    measured_ms: float = Field(description="The percentile of these queries.")
    samples_per_query: int
    streams: int = Field(description="Inferences in flight.")
    queries: int
    queries_needed: int = Field(description="The fewest that a latency can be stated after.")
    confidence: float = CONFIDENCE


@dataclass(frozen=True)
class Rules:
    """What a scenario asks for: samples of a query, and the percentile of its times."""

    samples: int
    percentile: float


RULES: dict[Scenario, Rules] = {
    "single-stream": Rules(1, 0.90),
    "multi-stream": Rules(_SAMPLES, 0.99),
}


def measure_throughput(
    rows: Sequence[BenchRow],
    *,
    streams: int,
    seconds: float,
    context: Context,
    start: StartSide | None = None,
) -> list[Throughput | EdgeCVError]:
    """Run every row with several inferences in flight, in turns of half a second.

    Args:
        rows: what is run.
        streams: inferences in flight.
        seconds: of each row.
        context: progress, cancellation, and the seed of order and intervals.
        start: makes a row's process.

    Returns:
        One entry a row; what went wrong stands in the place of a figure.
    """
    length = min(_TURN_SECONDS, seconds / _FEWEST_TURNS)
    sides = take_turns(
        rows,
        "throughput",
        [{"streams": streams}] * len(rows),
        # A turn holds a few inferences of a stream, or there would be nothing to count.
        lambda opened: {"seconds": max(length, 4 * opened.get("inference_ns", 0) / 1e9)},
        rounds=lambda _: max(_FEWEST_TURNS, math.floor(seconds / length)),
        name=f"{streams} streams",
        context=context,
        start=start,
    )
    return [side.failure or _throughput(side, streams, context.seed) for side in sides]


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
    """Answer queries until a percentile of their times can be stated.

    Args:
        rows: what is run.
        scenario: ``single-stream`` (one sample, the 90th percentile) or ``multi-stream`` (eight
            at once, the 99th).
        streams: inferences in flight of a query of several; None is one a thread.
        queries: how many, instead of as many as are needed.
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

    def a_turn(opened: dict[str, float]) -> int:
        took = rules.samples * opened.get("inference_ns", 0) / opened.get("streams", 1)
        return max(1, round(_TURN_SECONDS * 1e9 / max(took, 1)))

    def rounds(sides: Sequence[Side]) -> int:
        fewest = min((a_turn(side.opened) for side in sides), default=1)
        if queries is not None:
            return math.ceil(queries / fewest)
        return max(math.ceil(needed / fewest), math.floor(seconds / _TURN_SECONDS))

    sides = take_turns(
        rows,
        "throughput",
        [{"streams": width(row)} for row in rows],
        lambda opened: {"queries": a_turn(opened), "samples": rules.samples},
        rounds=rounds,
        name=scenario,
        context=context,
        start=start,
    )
    return [side.failure or _outcome(side, scenario, width(side.row), queries) for side in sides]


def _throughput(side: Side, streams: int, seed: int) -> Throughput:
    images = side.opened.get("images", 1)
    done = images * np.array([turn["inferences"] for turn in side.turns])
    seconds = np.array([turn["seconds"] for turn in side.turns])
    drawn = np.random.default_rng(seed).integers(0, len(done), (_RESAMPLES, len(done)))
    times = summarise_ns([time for turn in side.turns for time in turn["ns"]])
    several = len(done) > 1
    return Throughput(
        streams=streams,
        threads=side.row.threads or side.row.cores,
        fps=float(done.sum() / seconds.sum()),
        interval=bootstrap_interval(done[drawn].sum(1) / seconds[drawn].sum(1))
        if several
        else None,
        p50_ms=times.p50_ms,
        p95_ms=times.p95_ms,
        p99_ms=times.p99_ms,
        samples=times.samples,
        turns=len(done),
    )


def _outcome(side: Side, scenario: Scenario, streams: int, queries: int | None) -> ScenarioOutcome:
    rules = RULES[scenario]
    times = [time / 1e6 for turn in side.turns for time in turn["ns"]][:queries]
    return ScenarioOutcome(
        scenario=scenario,
        percentile=100 * rules.percentile,
        latency_ms=percentile_bound(times, rules.percentile),
        measured_ms=percentile(times, 100 * rules.percentile),
        samples_per_query=rules.samples,
        streams=streams,
        queries=len(times),
        queries_needed=queries_needed(rules.percentile),
    )
