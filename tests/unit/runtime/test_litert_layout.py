"""Where a converter put the original's tensors: values decide, not names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.core.errors import ModelError
from edgecv_cli.runtime.litert_layout import matched

RNG = np.random.default_rng(5)
A = RNG.normal(0, 1, (1, 6, 4, 4)).astype(np.float32)
B = RNG.normal(0, 1, (1, 6, 4, 4)).astype(np.float32)
C = RNG.normal(0, 1, (1, 21, 7)).astype(np.float32)


def test_orders_and_places_are_found():
    found = [C.transpose(0, 2, 1), B.transpose(0, 2, 3, 1), A.transpose(0, 3, 2, 1)]

    ports = matched({"a": A, "b": B, "c": C}, found)

    assert [port.name for port in ports] == ["a", "b", "c"]
    assert [port.position for port in ports] == [2, 1, 0]
    for port, wanted in zip(ports, (A, B, C), strict=True):
        np.testing.assert_array_equal(found[port.position].transpose(port.order), wanted)


@given(order=st.permutations(range(4)), noise=st.floats(0, 0.2))
def test_any_order_is_undone_even_with_noise(order, noise):
    value = RNG.normal(0, 1, (2, 5, 5, 5)).astype(np.float32)
    given_ = (value + noise * RNG.normal(0, 1, value.shape)).transpose(order)

    (port,) = matched({"a": value}, [given_])

    np.testing.assert_array_equal(np.argsort(order), port.order)


def test_zeros_match_zeros():
    (port,) = matched({"a": np.zeros((1, 4))}, [np.zeros((1, 4))])
    assert port.order == (0, 1)


@pytest.mark.parametrize(
    "found",
    [
        [RNG.normal(0, 5, A.shape)],
        [A.reshape(1, 96)],
        [np.full(A.shape, np.nan)],
        [],
    ],
    ids=["other numbers", "other sizes", "nan", "nothing"],
)
def test_a_wrong_file_is_caught(found):
    with pytest.raises(ModelError, match=r"numbers of a \[1, 6, 4, 4\]"):
        matched({"a": A}, found)


def test_one_tensor_does_not_stand_for_two():
    with pytest.raises(ModelError, match="numbers of b"):
        matched({"a": A, "b": A + 0.01}, [A])
