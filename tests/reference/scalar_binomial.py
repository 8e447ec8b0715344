"""Binomial tails in whole numbers: no logarithm, no rounding."""

from __future__ import annotations

from fractions import Fraction
from math import comb


def chance_of_at_most(hits: int, trials: int, chance: Fraction) -> Fraction:
    """Return the chance that at most ``hits`` of independent ``trials`` succeed."""
    return sum((chance_of(k, trials, chance) for k in range(hits + 1)), Fraction(0))


def chance_of(hits: int, trials: int, chance: Fraction) -> Fraction:
    """Return the chance that just ``hits`` of independent ``trials`` succeed."""
    above, below = chance.numerator, chance.denominator
    ways = comb(trials, hits) * above**hits * (below - above) ** (trials - hits)
    return Fraction(ways, below**trials)


def most_allowed(trials: int, chance: Fraction, risk: Fraction) -> int:
    """Return the most hits that so many or fewer of have a chance of at most ``risk``; or -1."""
    hits, tail = 0, chance_of(0, trials, chance)
    while tail <= risk:
        hits += 1
        tail += chance_of(hits, trials, chance)
    return hits - 1
