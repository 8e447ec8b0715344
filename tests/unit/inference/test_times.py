"""Durations in bounded memory."""

from __future__ import annotations

import random

from edgecv_cli.inference.times import Times


def test_few_are_kept_whole():
    times = Times()
    assert times.p50_ms() is None
    for value in (1_000_000, 5_000_000, 2_000_000):
        times.add(value)
    assert (times.count, times.total_ns, times.p50_ms()) == (3, 8_000_000, 2)


def test_many_take_no_more_memory_and_stay_evenly_sampled():
    times, drawn = Times(), random.Random(0)
    for number in range(100_000):
        times.add(int(1e6 * (1 + number / 100_000 + drawn.random() / 100)))
    assert len(times._sample) < 4096
    assert times.count == 100_000
    assert abs((times.p50_ms() or 0) - 1.505) < 0.01
