"""Reading ahead: the next frames are decoded while the detector works on this one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import Generic, TypeVar, cast

T = TypeVar("T")

_POLL_S = 0.1  # how soon a reader that waits for room notices that nobody reads any more
_END = object()


class Prefetch(Generic[T]):
    """Iterates over ``items`` in a thread of its own, at most ``depth`` ahead.

    An exception of the iterable is raised here, after what came before it. Leaving the
    ``with`` block ends the thread, which finishes the item it is at.

    Args:
        items: iterated by the thread only; needs no lock as long as nobody else does.
        depth: items that may wait, each a whole frame in memory.
    """

    def __init__(self, items: Iterable[T], *, depth: int = 4) -> None:
        self._items = items
        self._queue: queue.Queue[object] = queue.Queue(depth)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="edgecv-reader", daemon=True)

    def __enter__(self) -> Iterator[T]:
        """Start reading."""
        self._thread.start()
        return self._given()

    def __exit__(self, *_: object) -> None:
        """Stop reading and wait for the thread."""
        self._stop.set()
        self._thread.join()

    def _given(self) -> Iterator[T]:
        while (item := self._queue.get()) is not _END:
            yield cast("T", item)
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        iterator = iter(self._items)
        try:
            for item in iterator:
                if not self._put(item):
                    break
        except BaseException as error:  # noqa: BLE001 - raised again in the reader's thread
            self._error = error
        finally:
            if isinstance(iterator, Generator):
                iterator.close()  # an open video is let go here and now
        self._put(_END)

    def _put(self, item: object) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False
