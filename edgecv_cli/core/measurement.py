"""Statistics that every measurement shares: percentiles, spread, bootstrap intervals."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from edgecv_cli.core.result import Interval, Part

NS_PER_MS = 1e6


_MOST_BINS = 40
_FEWEST_BINS = 8


class Distribution(Part):
    """A histogram of single inferences; its bins are equally wide and touch.

    The slowest hundredth is not binned but counted, or one hiccup would flatten the rest.
    """

    from_ms: float = Field(description="Where the first bin begins: the fastest inference.")
    bin_ms: float = Field(description="Width of a bin.")
    counts: tuple[int, ...] = Field(description="Inferences in each bin.")
    slower: int = Field(default=0, description="Inferences beyond the last bin.")
    max_ms: float = Field(description="The slowest inference.")
    quantiles_ms: tuple[float, ...] | None = Field(
        default=None, description="The 0th to the 100th percentile: what an ECDF is drawn from."
    )

    @property
    def samples(self) -> int:
        """Inferences that were timed."""
        return sum(self.counts) + self.slower

    @property
    def until_ms(self) -> float:
        """Where the last bin ends."""
        return self.from_ms + self.bin_ms * len(self.counts)


class LatencySummary(Part):
    """Percentiles of single inferences."""

    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    mean_ms: float
    samples: int = Field(description="Inferences that were timed.")
    spread: float = Field(description="Interquartile range as a fraction of the median.")
    distribution: Distribution | None = None


def percentile(values: ArrayLike, q: float) -> float:
    """Return the ``q``-th percentile (0..100), interpolated linearly between samples.

    Raises:
        ValueError: there are no values.
    """
    samples = np.asarray(values, dtype=np.float64)
    if samples.size == 0:
        raise ValueError("no samples to take a percentile of")
    return float(np.percentile(samples, q))


def summarise_ns(samples: ArrayLike) -> LatencySummary:
    """Summarise single-inference times given in nanoseconds.

    Raises:
        ValueError: there are no samples.
    """
    times = np.asarray(samples, dtype=np.float64) / NS_PER_MS
    median = percentile(times, 50)
    quartiles = percentile(times, 75) - percentile(times, 25)
    return LatencySummary(
        p50_ms=median,
        p90_ms=percentile(times, 90),
        p95_ms=percentile(times, 95),
        p99_ms=percentile(times, 99),
        mean_ms=float(times.mean()),
        samples=int(times.size),
        spread=quartiles / median if median > 0 else 0.0,
        distribution=distribution_ns(samples),
    )


def outliers_ns(samples: ArrayLike) -> int:
    """Count samples above the upper quartile by more than 3 interquartile ranges (Tukey's far out).

    Raises:
        ValueError: there are no samples.
    """
    times = np.asarray(samples, dtype=np.float64)
    low, high = percentile(times, 25), percentile(times, 75)
    return int(np.count_nonzero(times > high + 3 * (high - low)))


def distribution_ns(samples: ArrayLike) -> Distribution:
    """Return the histogram of single-inference times given in nanoseconds.

    About as many bins as the square root of the samples, 8 to 40, up to the 99th percentile.

    Raises:
        ValueError: there are no samples.
    """
    times = np.asarray(samples, dtype=np.float64)
    until = percentile(times, 99)
    low = float(times.min())
    bins = int(np.clip(round(times.size**0.5), _FEWEST_BINS, _MOST_BINS))
    # Whole nanoseconds: the clock tells no less, and the edges are exact as written. The next
    # wider one, so that the percentile itself falls into the last bin and not behind it.
    width = math.floor((until - low) / bins) + 1
    places = ((times - low) // width).astype(np.int64)
    counts = np.bincount(places[places < bins], minlength=1)
    return Distribution(
        from_ms=low / NS_PER_MS,
        bin_ms=width / NS_PER_MS,
        counts=tuple(counts.tolist()),
        slower=int(np.count_nonzero(places >= bins)),
        max_ms=float(times.max()) / NS_PER_MS,
        quantiles_ms=tuple((np.percentile(times, range(101)) / NS_PER_MS).tolist()),
    )


def bootstrap_interval(
    statistics: NDArray[np.float64], *, point: float | None = None, level: float = 0.95
) -> Interval:
    """Return the percentile interval of resampled statistics; NaN marks an undefined resample.

    Args:
        statistics: float64 [resamples].
        point: the statistic of the sample itself. If given, the resamples are moved to have
            it as their mean: a statistic such as mAP is biased under resampling (a set of
            images drawn with repeats holds fewer rare classes), and an interval that leaves
            out its own point estimate would say nothing.
        level: how much of the resampled statistics the interval holds.

    Raises:
        ValueError: no resample is defined.
    """
    defined = statistics[~np.isnan(statistics)]
    tail = (1 - level) / 2 * 100
    shift = 0.0 if point is None or not defined.size else point - float(defined.mean())
    return Interval(
        low=percentile(defined, tail) + shift,
        high=percentile(defined, 100 - tail) + shift,
        level=level,
        method="bootstrap" if point is None else "bootstrap, bias removed",
        resamples=int(defined.size),
    )
