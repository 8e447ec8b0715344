"""Work done beside the caller's, in its order: a thread behind a queue of a few items."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Aside(Generic[T]):
    """Does something with each item in a thread of its own.

    Who gives items waits while the queue is full, so memory is bounded and a slow worker sets the
    pace. What the worker raises is raised again where the next item is given, or at the end.

    Args:
        work: what to do with an item.
        name: of the thread.
        depth: items that may wait.
    """

    def __init__(self, work: Callable[[T], None], *, name: str, depth: int = 3) -> None:
        self._work, self._depth = work, depth
        self._waiting: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Give an item, once there is room for it.

        Raises:
            Exception: whatever the work on an earlier item raised.
        """
        with self._changed:
            while len(self._waiting) >= self._depth and self._failed is None:
                self._changed.wait()
            self._raise()
            self._waiting.append(item)
            self._changed.notify_all()

    def finish(self) -> None:
        """Wait until everything is done, and end the thread.

        Raises:
            Exception: whatever the work on an item raised.
        """
        self._end()
        with self._changed:
            self._raise()

    def abandon(self) -> None:
        """Forget what waits, and end the thread after the item it is at; harmless when repeated."""
        with self._changed:
            self._waiting.clear()
        self._end()

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    def _raise(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._ended:
                    self._changed.wait()
                if not self._waiting:
                    return
                item = self._waiting.popleft()
                self._changed.notify_all()
            try:
                self._work(item)
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                with self._changed:
                    self._failed = error
                    self._waiting.clear()
                    self._changed.notify_all()
                return
