"""Adaptive rounding of small layers beside every rounding that there is, in scalar loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from edgecv_cli.compress.quantization.rounding import choose_rounding


def output_error(ratios, ups, inputs, limit):
    """Return the mean squared output error of one channel over input vectors."""
    total = 0.0
    for vector in inputs:
        error = 0.0
        for ratio, up, value in zip(ratios, ups, vector, strict=True):
            integer = max(-limit, min(limit, math.floor(ratio) + int(up)))
            error += (ratio - integer) * value
        total += error * error
    return total / len(inputs)


@pytest.mark.parametrize("inputs", [1, 2, 4, 6])
@pytest.mark.parametrize("limit", [7, 63])
def test_small_rows_get_the_best_rounding_of_all(inputs, limit):
    rng = np.random.default_rng(10 * inputs + limit)
    vectors = np.abs(rng.normal(size=(2, 12, inputs))) + 0.5
    gram = np.stack([part.T @ part / len(part) for part in vectors])
    ratios = rng.uniform(-limit, limit, (2, 3, inputs))

    chosen = choose_rounding(ratios, gram, limit=limit)

    for group in range(2):
        for row in range(3):
            best = min(
                output_error(ratios[group, row], ups, vectors[group], limit)
                for ups in itertools.product((False, True), repeat=inputs)
            )
            found = output_error(ratios[group, row], chosen[group, row], vectors[group], limit)
            assert found == pytest.approx(best, rel=1e-9, abs=1e-12)
