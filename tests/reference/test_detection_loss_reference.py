"""The detection loss against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import scalar_detection_loss as scalar
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecv_cli.core.boxes import Detections
from edgecv_cli.measure.detection_loss import THRESHOLD, detection_loss


def _drawn(rng: np.random.Generator) -> Detections:
    count = int(rng.integers(0, 8))
    corner = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 60, (count, 2))], axis=1)
    scores = rng.uniform(0, 1, count)
    return Detections(
        boxes.astype(np.float32), scores.astype(np.float32), rng.integers(0, 2, count)
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 4))
def test_it_is_what_the_definition_says(seed: int, images: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = ([_drawn(rng) for _ in range(images)] for _ in range(2))
    pairs = [(list(a), list(b)) for a, b in zip(ours, theirs, strict=True)]
    assert detection_loss(ours, theirs) == pytest.approx(scalar.loss(pairs, THRESHOLD), abs=1e-5)
