"""What a reader of a benchmark should know before trusting it."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.measurement import summarise_ns
from edgecv_cli.measure.lane import Lane
from edgecv_cli.measure.schedule import MAX_WARM_UP

SPREAD_LIMIT = 0.15
DRIFT_LIMIT = 0.10
_TAIL_SAMPLES = 100


def warnings_of(lanes: Sequence[Lane], labels: Sequence[str]) -> tuple[str, ...]:
    """Return one line for each thing that makes the figures less certain than they look."""
    found = [*_threads(lanes)]
    for lane, label in zip(lanes, labels, strict=True):
        found += _row(lane, label)
    return tuple(found)


def busy_warning() -> str | None:
    """Say so if other work is loading the machine now, before anything is timed."""
    if not hasattr(os, "getloadavg"):
        return None
    load, cores = os.getloadavg()[0], usable_cores()
    if load <= cores / 2:
        return None
    return f"the machine was busy before the start: load {load:.1f} on {cores} cores"


def _threads(lanes: Sequence[Lane]) -> list[str]:
    shared = {(lane.row.threads or 0, lane.row.cores) for lane in lanes}
    return [
        f"{threads} threads share {cores} usable cores: they wait for each other"
        for threads, cores in sorted(shared)
        if threads > cores
    ]


def _row(lane: Lane, label: str) -> list[str]:
    if lane.failure or not lane.rounds:
        return []
    summary = summarise_ns([time for block in lane.rounds for time in block])
    found = [f"{label}: {note}" for note in lane.notes]
    if lane.batch is not None and lane.batch > 1:
        found.append(
            f"{label}: one inference takes {lane.batch} images: times are of all of them, fps "
            "counts images"
        )
    if lane.unsteady:
        of = f" in {lane.unsteady} of {len(lane.launches)} launches" if lane.unsteady > 1 else ""
        found.append(f"{label}: times were not steady after {MAX_WARM_UP} blocks of warm-up{of}")
    if summary.spread > SPREAD_LIMIT:
        found.append(
            f"{label}: spread {summary.spread:.0%} of the median (limit {SPREAD_LIMIT:.0%}); "
            "ratios are paired and hold better than milliseconds"
        )
    drift = _drift(lane)
    if abs(drift) > DRIFT_LIMIT:
        found.append(
            f"{label}: times {'rose' if drift > 0 else 'fell'} by {abs(drift):.0%} from the first "
            "third of the rounds to the last (throttling, or other load)"
        )
    if summary.samples < _TAIL_SAMPLES:
        found.append(
            f"{label}: with {summary.samples} samples, p99 is close to the slowest of them"
        )
    return found


def _drift(lane: Lane) -> float:
    medians = [float(np.median(block)) for block in lane.rounds]
    third = max(1, len(medians) // 3)
    return float(np.median(medians[-third:]) / np.median(medians[:third])) - 1
