"""Reading ahead in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from edgecv_cli.inference.prefetch import Prefetch


def readers() -> int:
    return sum(thread.name == "edgecv-reader" for thread in threading.enumerate())


def test_order_is_kept_and_the_thread_ends() -> None:
    with Prefetch(range(100), depth=3) as ahead:
        assert list(ahead) == list(range(100))
    assert readers() == 0


def test_an_error_comes_after_what_was_read_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("gone")

    seen: list[int] = []
    with pytest.raises(OSError, match="gone"), Prefetch(items()) as ahead:
        seen.extend(ahead)
    assert seen == [1, 2]
    assert readers() == 0


def test_leaving_early_ends_an_endless_source_and_closes_it() -> None:
    read, closed = [], threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                read.append(1)
                yield len(read)
        finally:
            closed.set()

    with Prefetch(endless(), depth=4) as ahead:
        assert next(ahead) == 1
    assert readers() == 0
    assert closed.is_set()
    assert len(read) <= 7  # one given, four waiting, one or two in hand


def test_none_is_an_item_like_any_other() -> None:
    with Prefetch([None, None]) as ahead:
        assert list(ahead) == [None, None]
