"""How many queries a percentile needs, and what may be said of it after them.

The rule of MLPerf Inference (mlcommons/inference_policies, inference_rules.adoc, appendix "Early
Stopping Criterion", with its tolerance of 0): a latency may be stated for a percentile once the
chance of seeing so few slower queries, if the true percentile were slower, is at most 1 %. Pure,
binomial tails summed term by term.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

CONFIDENCE = 0.99


def slower_allowed(queries: int, percentile: float, *, confidence: float = CONFIDENCE) -> int:
    """Return how many queries may be slower than a bound on the percentile; -1: there is none.

    The largest t with P(at most t of the queries are above the percentile) <= 1 - confidence.

    Args:
        queries: how many there were.
        percentile: as a fraction, 0.9 for the 90th.
        confidence: that the bound is not below the percentile.
    """
    allowed, tail = -1, 0.0
    for slower in range(queries + 1):
        tail += math.exp(_log_chance(queries, slower, 1 - percentile))
        if tail > 1 - confidence:
            break
        allowed = slower
    return allowed


def queries_needed(percentile: float, *, confidence: float = CONFIDENCE) -> int:
    """Return the fewest queries after which one of them may be slower than the bound.

    64 for the 90th and 662 for the 99th percentile, as MLPerf has it: with none slower the bound
    would be the slowest query of all, whatever befell it.
    """
    low, high = 1, 2
    while slower_allowed(high, percentile, confidence=confidence) < 1:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        if slower_allowed(middle, percentile, confidence=confidence) < 1:
            low = middle + 1
        else:
            high = middle
    return low


def percentile_bound(
    times: Sequence[float], percentile: float, *, confidence: float = CONFIDENCE
) -> float | None:
    """Return a time that the percentile is not above, with that confidence.

    Of the t queries that may be slower, MLPerf drops the t - 1 slowest and states the slowest of
    the rest, which is on the safe side by one query. None where t is below 1.
    """
    allowed = slower_allowed(len(times), percentile, confidence=confidence)
    return None if allowed < 1 else sorted(times)[len(times) - allowed]


def _log_chance(count: int, hits: int, chance: float) -> float:
    """Return the logarithm of a binomial probability."""
    ways = math.lgamma(count + 1) - math.lgamma(hits + 1) - math.lgamma(count - hits + 1)
    return ways + hits * math.log(chance) + (count - hits) * math.log1p(-chance)
