"""Intervals of percentiles, from the blocks that the samples were taken in.

Samples of one block share whatever the machine did at that time, so blocks are resampled, not
samples: an interval over single samples would come out several times too narrow. It is of what
this run could have shown; another run, on another day, may lie outside of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.measurement import NS_PER_MS, bootstrap_interval
from edgecv_cli.core.result import Interval

_PERCENTILES = {"p50_ms": 50.0, "p90_ms": 90.0, "p95_ms": 95.0, "p99_ms": 99.0}
_RESAMPLES = 400


def latency_intervals(
    blocks: Sequence[Sequence[int]], *, batch: int = 1, seed: int = 0, level: float = 0.95
) -> dict[str, Interval]:
    """Return the interval of each percentile, the mean and fps; none of fewer than two blocks.

    Args:
        blocks: nanoseconds of single inferences, block by block.
        batch: images of one inference, for fps.
        seed: of the resampling.
        level: how much of the resampled figures an interval holds.
    """
    if len(blocks) < 2:
        return {}
    lengths = np.asarray([len(block) for block in blocks])
    times = np.concatenate([np.asarray(block, np.float64) for block in blocks]) / NS_PER_MS
    owners = np.repeat(np.arange(len(blocks)), lengths)
    order = np.argsort(times, kind="stable")
    drawn = np.random.default_rng(seed).multinomial(
        len(blocks), np.full(len(blocks), 1 / len(blocks)), size=_RESAMPLES
    )
    found = np.stack([_percentiles(times[order], owners[order], counts) for counts in drawn])
    sums = np.bincount(owners, weights=times)
    means = (drawn @ sums) / (drawn @ lengths)
    figures: dict[str, NDArray[np.float64]] = {
        **dict(zip(_PERCENTILES, found.T, strict=True)),
        "mean_ms": means,
        "fps": 1000 * batch / means,
    }
    return {name: bootstrap_interval(values, level=level) for name, values in figures.items()}


def _percentiles(
    times: NDArray[np.float64], owners: NDArray[np.intp], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the percentiles of sorted times, each as often as its block was drawn."""
    passed = np.cumsum(counts[owners])
    wanted = np.asarray(list(_PERCENTILES.values())) / 100 * passed[-1]
    found: NDArray[np.float64] = times[np.minimum(np.searchsorted(passed, wanted), len(times) - 1)]
    return found
