"""How many frames detect works on at once, and which stage is its limit."""

from __future__ import annotations

import pytest

from edgecv_cli.inference.predictor import Timings
from edgecv_cli.inference.times import Times
from edgecv_cli.stages.detect_model import side_by_side
from edgecv_cli.stages.detect_result import Tally


@pytest.mark.parametrize(
    ("read", "lanes", "timings", "write", "stage", "busy"),
    [
        (9, 1, (1, 8, 1), 2, "infer", 1.0),
        (9, 2, (1, 8, 1), 2, "read", 0.9),
        (2, 2, (12, 5, 1), 3, "preprocess", 0.9),
        (2, 2, (1, 5, 9), 3, "postprocess", 0.75),
        (2, 1, (1, 2, 3), 9, "write", 0.9),
        (2, 1, (1, 11, 3), 9, "infer", 1.0),  # clocks of several threads need not add up
    ],
)
def test_who_is_busy_most_is_the_limit(read, lanes, timings, write, stage, busy):
    tally, reading = Tally(), Times()
    tally.follow(reading, lanes)
    for _ in range(5):
        reading.add(read)
        tally.add(1, Timings(*timings), write_ns=write)

    limit = tally.limit(5 * 10)

    assert limit is not None
    assert (limit.stage, limit.busy) == (stage, pytest.approx(busy))


def test_nothing_run_has_no_limit():
    assert Tally().limit(1000) is None
    assert set(Tally().medians().values()) == {None}


@pytest.mark.parametrize(
    ("engine", "threads", "frames", "expected"),
    [
        ("onnxruntime", 4, None, 4),
        ("openvino:cpu:bf16", 4, 2, 2),
        ("openvino::bf16", 64, 1000, 8),
        ("onnxruntime:CPU", 1, None, 1),
        ("onnxruntime:cuda", 16, None, 2),
        ("openvino:GPU", 1, None, 2),
        ("tensorrt", 16, 1, 1),
    ],
)
def test_a_lane_a_thread_on_a_processor_and_two_elsewhere(engine, threads, frames, expected):
    assert side_by_side(engine, threads, frames) == expected
