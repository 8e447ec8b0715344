"""How many images a second, with several inferences in flight.

One inference after the other says how soon an answer is there; it leaves threads idle where a
network has little to share out among them. Several at once say what a machine can do in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import EdgeCVError
from edgecv_cli.core.measurement import bootstrap_interval, summarise_ns
from edgecv_cli.core.result import Interval, Part
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.side_child import (
    FEWEST_TURNS,
    Side,
    StartSide,
    Turns,
    share_rounds,
    take_turns,
)

_TURN_SECONDS = 0.5
_RESAMPLES = 1000


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


def measure_throughput(
    rows: Sequence[BenchRow],
    *,
    streams: int,
    seconds: float,
    context: Context,
    start: StartSide | None = None,
) -> list[Throughput | EdgeCVError]:
    """Run every row with several inferences in flight, in turns of half a second or more.

    Args:
        rows: what is run.
        streams: inferences in flight.
        seconds: of each row.
        context: progress, cancellation, and the seed of order and intervals.
        start: makes a row's process.

    Returns:
        One entry a row; what went wrong stands in the place of a figure.
    """

    def plan(opened: Sequence[dict[str, Any]]) -> Turns:
        # A turn holds a few inferences of a stream, or there would be nothing to count.
        length = min(_TURN_SECONDS, seconds / FEWEST_TURNS)
        least = [max(length, 4 * one.get("inference_ns", 0) / 1e9) for one in opened]
        count, share = share_rounds(least, seconds)
        return count, [{"seconds": max(share, one)} for one in least]

    sides = take_turns(
        rows,
        "throughput",
        [{"streams": streams}] * len(rows),
        plan,
        name=f"{streams} streams",
        context=context,
        start=start,
    )
    return [side.failure or _throughput(side, streams, context.seed) for side in sides]


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
