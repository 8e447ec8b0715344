"""How much faster one row is than another, and what that is known to.

Rounds are paired, because two blocks within moments of each other meet the same machine. Of all
ratios the fastest and the slowest quarter are left out of the mean (an interquartile mean; its
standard error by Yuen 1974): on a machine with neighbours a third of the rounds can be off by a
fifth, and they must not decide.

Times also differ from one process to the next, by where its memory came to lie: an interval over
the rounds of one process alone leaves 1 out when a network is compared with itself. So rows are
timed in several launches, and the interval has both parts: of rounds, and of what the launches'
means differ by beyond that (random effects, as in a meta-analysis: DerSimonian and Laird 1986;
degrees of freedom by Satterthwaite 1946).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_TRIMMED = 0.25
_LEVEL = 0.95


@dataclass(frozen=True)
class RatioEstimate:
    """A ratio and the ends of its 95 % interval."""

    ratio: float
    low: float
    high: float


def ratio_over_launches(
    a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]
) -> RatioEstimate:
    """Return time(a) / time(b).

    Args:
        a, b: positive times, [launch][round]; a round of ``a`` is paired with that of ``b``.

    Raises:
        ValueError: launches or rounds do not pair, there is none, or a time is not positive.
    """
    launches = [_logs(one, other) for one, other in zip(a, b, strict=True)]
    if not launches:
        raise ValueError("no rounds to take a ratio of")
    values = np.concatenate(launches)
    ordered, cut = np.sort(values), int(_TRIMMED * len(values))
    kept = ordered[cut : len(values) - cut]
    mean = float(kept.mean())
    # A trimmed mean moves with its values as the mean of these does.
    pulls = [np.clip(one, kept[0], kept[-1]) for one in launches]
    half = _half_width(pulls, len(kept)) if len(kept) > 1 else 0.0
    return RatioEstimate(math.exp(mean), math.exp(mean - half), math.exp(mean + half))


def _logs(a: Sequence[float], b: Sequence[float]) -> NDArray[np.float64]:
    if len(a) != len(b) or not len(a):
        raise ValueError(f"pairs needed, got {len(a)} and {len(b)} values")
    if min(*a, *b) <= 0:
        raise ValueError("a time is not positive")
    return np.log(np.asarray(a, np.float64)) - np.log(np.asarray(b, np.float64))


def _half_width(launches: Sequence[NDArray[np.float64]], kept: int) -> float:
    """Return half of the 95 % interval of a trimmed mean.

    Args:
        launches: the values, those left out moved to the nearest that was kept.
        kept: how many were.
    """
    values, count = np.concatenate(launches), len(launches)
    squares = float(((values - values.mean()) ** 2).sum())
    within = squares / (kept * (kept - 1))
    between = 0.0
    if count > 1:
        means = np.asarray([one.mean() for one in launches]) * len(values) / kept
        between = max(0.0, float(means.var(ddof=1)) / count - within)
    total = within + between
    if total == 0:
        return 0.0
    parts = within**2 / (kept - 1) + (between**2 / (count - 1) if between else 0.0)
    return _quantile(total**2 / parts) * math.sqrt(total)


def _quantile(freedom: float) -> float:
    """Return the two-sided 95 % quantile of Student's t.

    Exact for 1 and 2 degrees of freedom, for more the expansion of Abramowitz and Stegun 26.7.5
    (within 0.1 % from 3 on); between them the wider.
    """
    tail = (1 - _LEVEL) / 2
    if freedom < 2:
        return math.tan(math.pi * (0.5 - tail))
    if freedom < 3:
        centred = 1 - 2 * tail
        return centred * math.sqrt(2 / (1 - centred**2))
    z = NormalDist().inv_cdf(1 - tail)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, 1))
