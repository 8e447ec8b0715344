"""Intervals of percentiles, from the launches and rounds that the samples were taken in.

Samples that were taken in one process, and those within moments of each other, share whatever
the machine did then. So launches are resampled, and within a launch stretches of rounds, not
samples: an interval over single samples would come out several times too narrow. It is of what
this run could have shown; another run, on another day, may lie outside of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.measurement import NS_PER_MS, bootstrap_interval
from edgecv_cli.core.result import Interval

Blocks = Sequence[Sequence[int]]

_PERCENTILES = {"p50_ms": 50.0, "p90_ms": 90.0, "p95_ms": 95.0, "p99_ms": 99.0}
_RESAMPLES = 400
_STRETCHES = 24


def latency_intervals(
    launches: Sequence[Blocks], *, batch: int = 1, seed: int = 0, level: float = 0.95
) -> dict[str, Interval]:
    """Return the interval of each percentile, the mean and fps; none of fewer than two blocks.

    Args:
        launches: nanoseconds of single inferences, [launch][round][inference].
        batch: images of one inference, for fps.
        seed: of the resampling.
        level: how much of the resampled figures an interval holds.
    """
    parts = [_stretches(blocks, max(2, _STRETCHES // len(launches))) for blocks in launches]
    stretches = [np.asarray(one, np.float64) / NS_PER_MS for part in parts for one in part]
    if len(stretches) < 2:
        return {}
    lengths = np.asarray([len(stretch) for stretch in stretches])
    times = np.concatenate(stretches)
    owners = np.repeat(np.arange(len(stretches)), lengths)
    order = np.argsort(times, kind="stable")
    drawn = _drawn([len(part) for part in parts], seed)
    found = np.stack([_percentiles(times[order], owners[order], counts) for counts in drawn])
    means = (drawn @ np.bincount(owners, weights=times)) / (drawn @ lengths)
    figures: dict[str, NDArray[np.float64]] = {
        **dict(zip(_PERCENTILES, found.T, strict=True)),
        "mean_ms": means,
        "fps": 1000 * batch / means,
    }
    return {name: bootstrap_interval(values, level=level) for name, values in figures.items()}


def _stretches(blocks: Blocks, most: int) -> list[list[int]]:
    """Join neighbouring rounds into at most that many stretches of about the same length."""
    count = min(most, len(blocks))
    ends = [round(place * len(blocks) / count) for place in range(count + 1)]
    return [[time for block in blocks[low:high] for time in block] for low, high in pairwise(ends)]


def _drawn(sizes: Sequence[int], seed: int) -> NDArray[np.int64]:
    """Return how often each stretch is drawn, [resamples, stretches]: launches, then stretches."""
    rng = np.random.default_rng(seed)
    often = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=_RESAMPLES)
    return np.concatenate(
        [
            rng.multinomial(often[:, place] * size, np.full(size, 1 / size))
            for place, size in enumerate(sizes)
        ],
        axis=1,
    )


def _percentiles(
    times: NDArray[np.float64], owners: NDArray[np.intp], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the percentiles of sorted times, each as often as its stretch was drawn."""
    passed = np.cumsum(counts[owners])
    wanted = np.asarray(list(_PERCENTILES.values())) / 100 * passed[-1]
    found: NDArray[np.float64] = times[np.minimum(np.searchsorted(passed, wanted), len(times) - 1)]
    return found
