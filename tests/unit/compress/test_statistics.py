"""Observations to bytes and back."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecv_cli.compress.quantization.statistics import (
    BINS,
    Histogram,
    Observations,
    TensorStats,
)


def made(seed, tensors=3):
    rng = np.random.default_rng(seed)
    stats = {}
    for index in range(tensors):
        low, mean_low, mean_high, high = np.sort(rng.normal(0, 10, 4)).tolist()
        histogram = Histogram(rng.integers(0, 9, BINS), low, float(rng.random()))
        stats[f"tensor {index}/é"] = TensorStats(mean_low, mean_high, low, high, histogram)
    return Observations(
        images=int(rng.integers(1, 1000)),
        tensors=stats,
        channel_means={"a": rng.random(4), "b": rng.random(7)},
        channel_lows={"c": rng.random(5)},
        channel_highs={"c": rng.random(5)},
        signatures=rng.random((2, 11), np.float32),
    )


@given(seed=st.integers(0, 2**31), tensors=st.integers(0, 4))
@settings(max_examples=20)
def test_observations_survive_exactly(seed, tensors):
    before = made(seed, tensors)
    after = Observations.loads(before.dumps())

    assert after.images == before.images
    assert list(after.tensors) == list(before.tensors)
    for name, stats in before.tensors.items():
        same = after.tensors[name]
        assert (same.mean_low, same.mean_high, same.low, same.high) == (
            stats.mean_low,
            stats.mean_high,
            stats.low,
            stats.high,
        )
        np.testing.assert_array_equal(same.histogram.counts, stats.histogram.counts)
        assert same.quantile(0.3) == stats.quantile(0.3)
    for field in ("channel_means", "channel_lows", "channel_highs"):
        for name, values in getattr(before, field).items():
            np.testing.assert_array_equal(getattr(after, field)[name], values)
    np.testing.assert_array_equal(after.signatures, before.signatures)
    assert after.dumps() == before.dumps()


@given(data=st.data())
@settings(max_examples=60)
def test_damaged_bytes_are_a_value_error_or_still_observations(data):
    whole = bytearray(made(1, 1).dumps())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = Observations.loads(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    except ValueError:
        return
    assert read.images > 0


def rewritten(**replaced):
    """Return the bytes of observations with some members replaced."""
    result = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(made(1, 1).dumps())) as source,
        zipfile.ZipFile(result, "w") as target,
    ):
        for name in source.namelist():
            target.writestr(name, replaced.get(name[: -len(".npy")], source.read(name)))
    return result.getvalue()


def array(value):
    data = io.BytesIO()
    np.save(data, value)
    return data.getvalue()


def header(shape):
    data = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        data, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    return data.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        b"\x80\x04}\x94.",
        rewritten(meta=array(np.frombuffer(b"[]", np.uint8))),
        rewritten(meta=array(np.frombuffer(b'{"version": 9}', np.uint8))),
        rewritten(meta=array(np.frombuffer(b"\xff\xfe", np.uint8))),
        rewritten(bounds=array(np.full((1, 4), np.nan))),
        rewritten(bounds=array(np.zeros((2, 4)))),
        rewritten(bounds=array(np.zeros(4))),
        rewritten(bounds=array(np.asarray([[{}, 1, 2, 3]], dtype=object))),
        rewritten(bounds=header((2**40, 4))),
        rewritten(bounds=header((-1, 4))),
        rewritten(means=array(np.zeros(3))),
        rewritten(ranges=array(np.zeros((3, 5)))),
        rewritten(counts=b"no array"),
    ],
)
def test_hostile_bytes_are_a_value_error(data):
    with pytest.raises(ValueError, match="these are no observations"):
        Observations.loads(data)
