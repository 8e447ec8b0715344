"""Accuracy and agreement against scalar references."""

from __future__ import annotations

import pytest
import scalar_agreement
import scalar_ap
from detection_sets import random_set

from edgecv_cli.measure.accuracy import evaluate_detections
from edgecv_cli.measure.agreement import agreement

CLASS_MAP = {0: 1, 1: 2, 2: 3}


def as_rows(found):
    return [[(row[:4], row[4], row[5]) for row in image] for image in found]


@pytest.mark.parametrize("seed", range(6))
def test_map_is_that_of_a_scalar_implementation(seed):
    data, found = random_set(seed)
    truths = [
        [
            (box, int(kind), bool(crowd))
            for box, kind, crowd in zip(
                item.boxes.tolist(), item.category_ids, item.iscrowd, strict=True
            )
        ]
        for item in data.items
    ]
    rows = [[(box, score, CLASS_MAP[kind]) for box, score, kind in r] for r in as_rows(found)]

    expected = scalar_ap.mean_average_precision(truths, rows, data.categories)

    assert 0.05 < expected < 0.95
    result = evaluate_detections(data, found, CLASS_MAP, resamples=2)
    assert result.map == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("threshold", [0.25, 0.4])
def test_agreement_is_that_of_a_scalar_implementation(seed, threshold):
    _, reference = random_set(seed)
    _, other = random_set(seed + 1000)
    candidate = other[:6] + reference[6:]

    f1, matched, missed, extra = scalar_agreement.micro_f1(
        as_rows(reference), as_rows(candidate), threshold
    )

    assert min(matched, missed, extra) > 0
    result = agreement(reference, candidate, threshold)
    assert result.agreement == pytest.approx(f1, abs=1e-12)
    assert (result.matched, result.missed, result.extra) == (matched, missed, extra)
