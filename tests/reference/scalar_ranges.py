"""Range estimators by scalar loops over plain values."""

from __future__ import annotations

import math


def squared_error(values, low, high, steps):
    """Mean of (value - value on the grid)^2; the grid holds zero and has steps + 1 points."""
    step = (high - low) / steps
    zero = round(-low / step)
    total = 0.0
    for value in values:
        place = round(value / step) + zero
        place = min(max(place, 0), steps)
        total += (value - (place - zero) * step) ** 2
    return total / len(values)


def least_error_range(values, steps, candidates=24):
    """Return (error, low, high) of the best of evenly spaced candidates."""
    least, most = min(0.0, *values), max(0.0, *values)
    best = (math.inf, least, most)
    lows = [least * k / candidates for k in range(candidates + 1)] if least else [0.0]
    highs = [most * k / candidates for k in range(candidates + 1)] if most else [0.0]
    for low in lows:
        for high in highs:
            if high > low:
                best = min(best, (squared_error(values, low, high, steps), low, high))
    return best


def quantile(values, fraction):
    """Return the value below which a fraction of the values lies."""
    ordered = sorted(values)
    place = min(max(math.ceil(fraction * len(ordered)) - 1, 0), len(ordered) - 1)
    return ordered[place]
