"""Detections agree with themselves; IoU is symmetric, bounded and safe for empty boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgecv_cli.core.boxes import Detections, iou_matrix

corners = arrays(
    np.float32, st.tuples(st.integers(0, 6), st.just(4)), elements=st.floats(-50, 50, width=16)
)


def some(n=3):
    return Detections(
        np.arange(4 * n, dtype=np.float32).reshape(n, 4),
        np.linspace(0.9, 0.1, n, dtype=np.float32),
        np.arange(n, dtype=np.int64),
    )


def test_iteration_gives_the_six_values_of_the_contract():
    first = next(iter(some()))
    assert first == (0.0, 1.0, 2.0, 3.0, pytest.approx(0.9), 0)
    assert [type(value) for value in first] == [float] * 5 + [int]


def test_take_keeps_order_and_masks():
    taken = some().take(np.array([2, 0]))
    assert taken.class_ids.tolist() == [2, 0]
    assert len(some().take(np.array([True, False, True]))) == 2


def test_empty_has_the_shapes_of_none():
    empty = Detections.empty()
    assert (len(empty), empty.boxes.shape, list(empty)) == (0, (0, 4), [])


def test_arrays_that_disagree_are_refused():
    with pytest.raises(ValueError, match="disagree"):
        Detections(np.zeros((2, 4), np.float32), np.zeros(3, np.float32), np.zeros(2, np.int64))


def test_iou_of_known_boxes():
    a = np.array([[0, 0, 2, 2]], np.float32)
    b = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6], [1, 1, 1, 1]], np.float32)
    np.testing.assert_allclose(iou_matrix(a, b), [[1, 1 / 3, 0, 0]], rtol=1e-6)


@given(corners, corners)
def test_iou_is_symmetric_and_bounded(a, b):
    matrix = iou_matrix(a, b)
    assert matrix.shape == (len(a), len(b))
    assert matrix.dtype == np.float32
    assert ((matrix >= 0) & (matrix <= 1 + 1e-6)).all()
    np.testing.assert_allclose(matrix, iou_matrix(b, a).T, atol=1e-6)
