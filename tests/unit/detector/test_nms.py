from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference.scalar_detector import suppress as scalar_suppress

from edgecv_cli.core.boxes import Detections
from edgecv_cli.detector import nms
from edgecv_cli.detector.nms import suppress


def detections(entries):
    boxes = np.array([entry[0] for entry in entries], np.float32).reshape(-1, 4)
    scores = np.array([entry[1] for entry in entries], np.float32)
    return Detections(boxes, scores, np.array([entry[2] for entry in entries], np.int64))


# whole pixels and eighths are exact in both arithmetics; many ties on purpose
ENTRIES = st.lists(
    st.tuples(
        st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 9), st.integers(1, 9)).map(
            lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
        ),
        st.integers(1, 8).map(lambda n: n / 8),
        st.integers(0, 2),
    ),
    max_size=60,
)


@given(
    ENTRIES, st.sampled_from([0.25, 0.5, 0.65]), st.integers(0, 20), st.booleans(),
    st.sampled_from([1, 7, 128]), st.sampled_from([0, 20, 10_000]),
)  # fmt: skip
def test_keeps_what_the_scalar_loop_keeps(entries, iou, limit, class_wise, block, few):
    found = detections(entries)
    kept = scalar_suppress(
        [(tuple(map(float, box)), score, label) for box, score, label in entries],
        iou, limit, class_wise,
    )  # fmt: skip

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nms, "BLOCK", block)
        patch.setattr(nms, "FEW", few)
        result = suppress(found, iou=iou, limit=limit, class_wise=class_wise)

    expected = found.take(np.array(kept, np.intp))
    np.testing.assert_array_equal(result.boxes, expected.boxes)
    np.testing.assert_array_equal(result.scores, expected.scores)
    np.testing.assert_array_equal(result.class_ids, expected.class_ids)


def test_thousands_of_candidates_agree_with_the_scalar_loop():
    rng = np.random.default_rng(0)
    corner = rng.integers(0, 200, (1500, 2))
    boxes = np.hstack([corner, corner + rng.integers(10, 60, (1500, 2))]).astype(np.float32)
    found = Detections(boxes, rng.random(1500).astype(np.float32), rng.integers(0, 3, 1500))
    listed = [
        (tuple(box), score, label)
        for box, score, label in zip(
            boxes.tolist(), found.scores.tolist(), found.class_ids.tolist(), strict=True
        )
    ]

    result = suppress(found, iou=0.45, limit=300)

    expected = found.take(np.array(scalar_suppress(listed, 0.45, 300, True), np.intp))
    np.testing.assert_array_equal(result.boxes, expected.boxes)


def test_scores_fall_and_equal_scores_stay_in_order():
    apart = [((10 * i, 0, 10 * i + 5, 5), 0.5 if i % 2 else 0.75, 0) for i in range(6)]

    result = suppress(detections(apart), iou=0.5, limit=10)

    assert result.scores.tolist() == [0.75] * 3 + [0.5] * 3
    assert result.boxes[:, 0].tolist() == [0, 20, 40, 10, 30, 50]


def test_nothing_in_nothing_out():
    assert len(suppress(Detections.empty(), iou=0.5, limit=10)) == 0


def test_an_overlap_of_exactly_the_limit_stays():
    halves = [((0, 0, 4, 4), 0.9, 0), ((0, 0, 4, 2), 0.8, 0)]

    assert len(suppress(detections(halves), iou=0.5, limit=10)) == 2
    assert len(suppress(detections(halves), iou=0.49, limit=10)) == 1
