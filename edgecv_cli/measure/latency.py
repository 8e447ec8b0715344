"""How long inference takes: artifacts side by side, each in a process of its own.

Two artifacts that are timed one after the other are compared under two different loads,
clocks and temperatures. Here every round times a short block of each, in random order and one
at a time, so that a ratio is taken between neighbours. Processes are started anew several times,
because times differ from one to the next; the interval of a ratio is over launches and rounds.
No sample is left out of percentiles, means and fps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import numpy as np

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.child import Child, Limits
from edgecv_cli.core.context import Context
from edgecv_cli.core.machine_limits import memory_bytes
from edgecv_cli.core.measurement import NS_PER_MS, LatencySummary, outliers_ns, summarise_ns
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.measure.instruments import Instruments
from edgecv_cli.measure.lane import BenchRow, Lane, StartTimer
from edgecv_cli.measure.latency_intervals import latency_intervals
from edgecv_cli.measure.latency_ratio import ratio_over_launches
from edgecv_cli.measure.latency_result import BenchRun, LatencyResult, Ratio, SpeedResult
from edgecv_cli.measure.latency_warnings import warnings_of
from edgecv_cli.measure.schedule import Budget, Plan, interleaved, plan, warm_up_block

_START_SECONDS = 120.0


def start_child(row: BenchRow, context: Context) -> Child:
    """Return the process that will time a row, not yet started."""
    return Child(
        "latency",
        name=f"timing {row.model.name} on {row.engine}",
        # What asks for more than there is must fail by itself, and not by the kernel's choice.
        limits=Limits(_START_SECONDS, memory_bytes()),
        cancel=context.cancel,
    )


def benchmark(
    rows: Sequence[BenchRow],
    *,
    duration_s: float,
    context: Context,
    samples: int | None = None,
    rounds: int | None = None,
    launches: int = 1,
    baseline: int = 0,
    instruments: Instruments | None = None,
    start: StartTimer | None = None,
) -> LatencyResult:
    """Time rows side by side.

    Args:
        rows: what to time; a row whose child fails gets ``error`` and the rest goes on.
        duration_s: seconds of timed inference for each row.
        context: progress, cancellation and the seed of order, inputs and intervals.
        samples: how many timed inferences of each row, instead of ``duration_s``.
        rounds: how many rounds, instead of both.
        launches: processes that each row is timed in, one after the other.
        baseline: index of the row that every other is put in ratio to.
        instruments: what looks at the machine meanwhile; None is nothing.
        start: makes a row's child process.

    Raises:
        EdgeCVError: the failure of the first row, if not one row could be timed.
    """
    began = context.clock()
    watched = instruments or Instruments()
    budget = Budget(duration_s, samples, rounds, launches)
    lanes = _measure(rows, budget, context, start, watched)
    if all(lane.failure for lane in lanes):
        raise next(lane.failure for lane in lanes if lane.failure)
    return LatencyResult(
        runs=tuple(_run_of(lane, context.seed) for lane in lanes),
        ratios=_ratios(lanes, row_labels(rows), baseline),
        warnings=(*warnings_of(lanes, row_labels(rows, short=True)), *watched.warnings),
        rounds=max(len(lane.rounds) for lane in lanes),
        launches=max(len(lane.launches) for lane in lanes),
        conditions=watched.conditions,
        seconds=(context.clock() - began) / 1e9,
    )


def compare_speed(
    baseline: Path,
    candidate: Path,
    *,
    engine: str,
    threads: int | None,
    seconds: float,
    context: Context,
    spec: DetectorSpec | None = None,
    launches: int = 3,
    start: StartTimer | None = None,
) -> SpeedResult:
    """Time a candidate against its baseline.

    Args:
        baseline, candidate: the two files; both get the same inputs.
        engine: name, with an optional device after a colon.
        threads: of the engine; None is one per usable core.
        seconds: timed inference, both together.
        context: progress, cancellation and seed.
        spec: how the detector is fed, and its size where a file leaves that open; None scales
            pictures to 0..1.
        launches: processes that each is timed in, one after the other.
        start: makes a row's child process.

    Raises:
        EdgeCVError: one of the two could not be timed.
    """
    size = None if spec is None else spec.input.size
    rows = [BenchRow(path, engine, threads, spec, size) for path in (baseline, candidate)]
    budget = Budget(seconds / 2, launches=launches)
    lanes = _measure(rows, budget, context, start, Instruments())
    for lane in lanes:
        if lane.failure:
            raise lane.failure
    ratio = _ratio(lanes[0], lanes[1], ("baseline", "candidate"))
    return SpeedResult(
        ratio=ratio.ratio,
        low=ratio.low,
        high=ratio.high,
        baseline=_summary(lanes[0]),
        candidate=_summary(lanes[1]),
        rounds=len(lanes[0].rounds),
        # A candidate that is judged stands in a scratch file, whose name says nothing.
        warnings=warnings_of(lanes, ("original", "candidate")),
    )


def row_labels(rows: Sequence[BenchRow], *, short: bool = False) -> tuple[str, ...]:
    """Name rows apart: by path, and by engine where there are several, and by number.

    ``short`` leaves out folders where file names tell the models apart.
    """
    names = [row.model.name for row in rows]
    telling = len(set(names)) == len({row.model for row in rows})
    several = len({row.engine for row in rows}) > 1
    plain = [
        (name if short and telling else str(row.model)) + (f"@{row.engine}" if several else "")
        for row, name in zip(rows, names, strict=True)
    ]
    return tuple(
        label if plain.count(label) == 1 else f"{label}#{plain[: place + 1].count(label)}"
        for place, label in enumerate(plain)
    )


def _measure(
    rows: Sequence[BenchRow],
    budget: Budget,
    context: Context,
    start: StartTimer | None,
    instruments: Instruments,
) -> list[Lane]:
    lanes = [Lane(row, start or (lambda row: start_child(row, context))) for row in rows]
    with ExitStack() as stack:
        for lane in lanes:
            stack.callback(lane.end)
        block_seconds = warm_up_block(budget)
        with context.progress.task("warm-up", len(lanes), "model") as task:
            for lane in _launched(lanes, block_seconds, context):
                task.describe(lane.row.model.name)
                task.advance()
        spent = plan([lane.inference_ns for lane in lanes if not lane.failure] or [0.0], budget)
        _share_out(spent, lanes)
        with instruments.running():
            for lane in lanes:
                lane.energy = instruments.tally()
            _run_rounds(lanes, spent, block_seconds, context, instruments)
    return lanes


def _launched(lanes: Sequence[Lane], block_seconds: float, context: Context) -> Iterator[Lane]:
    """Start every lane's child and warm it up, one after the other."""
    for lane in lanes:
        context.cancel.check()
        lane.open(context.seed)
        lane.warm_up(block_seconds)
        yield lane


def _share_out(spent: Plan, lanes: Sequence[Lane]) -> None:
    alive = [lane for lane in lanes if not lane.failure]
    for lane, block, settling in zip(alive, spent.blocks, spent.settling, strict=False):
        lane.block, lane.settling = block, settling


def _run_rounds(
    lanes: Sequence[Lane],
    spent: Plan,
    block_seconds: float,
    context: Context,
    instruments: Instruments,
) -> None:
    orders = iter(interleaved(len(lanes), spent.rounds, context.seed))
    with context.progress.task("benchmark", spent.rounds, "round") as task:
        for number, rounds in enumerate(spent.launches, 1):
            if number > 1:
                task.describe(f"launch {number} of {len(spent.launches)}")
                deque(_launched(lanes, block_seconds, context), maxlen=0)
            for order in islice(orders, rounds):
                for index in order:
                    context.cancel.check()
                    lanes[index].run_round()
                instruments.sample()
                task.advance()
            for lane in lanes:
                lane.close()


def _run_of(lane: Lane, seed: int) -> BenchRun:
    row = lane.row
    run = BenchRun(
        model=str(row.model),
        engine=row.engine,
        threads=row.threads or row.cores,
        affinity=row.affinity,
        size_bytes=Artifact.open(row.model).size_bytes if row.model.is_file() else None,
        error=lane.error_text(),
    )
    if lane.failure or not lane.rounds:
        return run
    summary = _summary(lane)
    return run.model_copy(
        update={
            **dict(summary),
            "provider": lane.provider,
            "fps": 1000 * (lane.batch or 1) / summary.mean_ms,
            "batch": lane.batch,
            "rounds": len(lane.rounds),
            "launches": len(lane.launches),
            "outliers": outliers_ns([time for block in lane.rounds for time in block]),
            "intervals": latency_intervals(lane.launches, batch=lane.batch or 1, seed=seed) or None,
            "first_inference_ms": _ms(lane.first_ns),
            "load_ms": _ms(lane.load_ns),
            "loads_from_cache": _cached(lane.from_cache),
            "peak_rss_bytes": lane.peak_rss_bytes,
            "energy": lane.energy.use(seed) if lane.energy else None,
        }
    )


def _cached(loads: Sequence[bool | None]) -> int | None:
    """Count the launches that the model cache served; None where it was not asked for."""
    return sum(map(bool, loads)) if any(one is not None for one in loads) else None


def _ms(nanoseconds: Sequence[int]) -> float | None:
    return float(np.median(nanoseconds)) / NS_PER_MS if nanoseconds else None


def _summary(lane: Lane) -> LatencySummary:
    return summarise_ns([time for block in lane.rounds for time in block])


def _ratios(lanes: Sequence[Lane], labels: Sequence[str], baseline: int) -> tuple[Ratio, ...]:
    first = lanes[baseline]
    if first.failure:
        return ()
    return tuple(
        _ratio(first, lane, (labels[baseline], label))
        for lane, label in zip(lanes, labels, strict=True)
        if lane is not first and not lane.failure
    )


def _ratio(a: Lane, b: Lane, names: tuple[str, str]) -> Ratio:
    medians = [
        [[float(np.median(block)) for block in launch] for launch in lane.launches]
        for lane in (a, b)
    ]
    found = ratio_over_launches(*medians)
    return Ratio(a=names[0], b=names[1], ratio=found.ratio, low=found.low, high=found.high)
