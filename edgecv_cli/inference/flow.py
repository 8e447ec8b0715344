"""A bounded flow: items are read, worked on and used at the same time, in their order.

A thread reads, one thread a lane works, and the caller uses what comes out. Two rooms lie between
them, each of a few items: before the lanes, and behind them, where results wait for their turn.
Who finds the next room full waits. So memory is bounded whatever is slow, and the slowest of the
three sets the pace.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from edgecv_cli.core.context import SYSTEM, Cancel, Clock
from edgecv_cli.inference.times import Times

T = TypeVar("T")
R = TypeVar("R")

_POLL_S = 0.1  # how soon a caller that waits for a result notices that it is to stop


@dataclass(frozen=True)
class Rooms:
    """How many items wait in the two rooms of a flow, and how many can.

    Attributes:
        before: wait for a lane; ``most_before`` can.
        behind: were worked on and wait for their turn; ``most_behind`` can.
    """

    before: int
    most_before: int
    behind: int
    most_behind: int


class Flow(Generic[T, R]):
    """Iterates over what lanes make of items, in the order of the items.

    What fails fails where a plain loop would: the exception of an item, or of reading, is raised
    here after the results of all items before it. Leaving the ``with`` block ends all threads,
    each after the item it is at; a source that can wait for long must give up by itself.

    Args:
        items: iterated by one thread, which also closes it if it is a generator.
        lanes: what to do with an item; each lane is called by one thread only, its own.
        depth: items that each room holds.
        on_demand: an item is read only once a lane has nothing to do, and no result waits behind
            the lanes: for cameras, whose source holds the newest frame until it is asked for.
        cancel: looked at before each result is given, and while one is waited for.
        clock: monotonic nanoseconds.
        stop: ends what reading may wait for.

    Attributes:
        read: times of reading an item; ``used``: times that the caller had a result in hand.
    """

    def __init__(
        self,
        items: Iterable[T],
        lanes: Sequence[Callable[[T], R]],
        *,
        depth: int = 2,
        on_demand: bool = False,
        cancel: Cancel | None = None,
        clock: Clock = SYSTEM,
        stop: Callable[[], None] | None = None,
    ) -> None:
        self._stop_items = stop
        self._items, self._depth, self._on_demand = items, 1 if on_demand else depth, on_demand
        self._cancel, self._clock = cancel or Cancel(), clock
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)  # to read into
        self._work = threading.Condition(self._lock)  # to take up, and room for its result
        self._done = threading.Condition(self._lock)  # results, or the end
        self._waiting: deque[T] = deque()
        self._results: dict[int, R | _Failure] = {}
        self._taken = self._given = self._idle = 0
        self._most_out = len(lanes) + (0 if on_demand else depth)
        self._ended = self._stopped = False
        self._failed: BaseException | None = None
        self.read, self.used = Times(), Times()
        names = [("edgecv-reader", self._read_all, ())] + [
            (f"edgecv-lane-{index}", self._work_on, (lane,)) for index, lane in enumerate(lanes)
        ]
        self._threads = [
            threading.Thread(target=target, name=name, args=args, daemon=True)
            for name, target, args in names
        ]

    def __enter__(self) -> Self:
        """Start reading and working."""
        try:
            for thread in self._threads:
                thread.start()
        except BaseException:  # no room for another thread
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and wait for every thread."""
        if self._stop_items is not None:
            self._stop_items()
        with self._lock:
            self._stopped = True
            self._waiting.clear()
            for condition in (self._room, self._work, self._done):
                condition.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def __iter__(self) -> Iterator[R]:
        """Yield results.

        Raises:
            InterruptedByUser: cancelled.
            Exception: whatever reading or a lane raised.
        """
        while self._await_next():
            with self._lock:
                result = self._results.pop(self._given)
                self._given += 1
                self._work.notify()
                self._room.notify()
            if isinstance(result, _Failure):
                raise result.error
            began = self._clock()
            yield result
            self.used.add(self._clock() - began)
        if self._failed is not None:
            raise self._failed

    def rooms(self) -> Rooms:
        """Return how many items wait now."""
        with self._lock:
            waiting, done = len(self._waiting), len(self._results)
        return Rooms(waiting, self._depth, done, self._most_out)

    def _await_next(self) -> bool:
        """Wait for the next result; False at the end."""
        with self._lock:
            while True:
                self._cancel.check()
                if self._given in self._results:
                    return True
                if self._stopped or self._is_over():
                    return False
                self._done.wait(_POLL_S)

    def _is_over(self) -> bool:
        return self._ended and not self._waiting and self._given == self._taken

    def _read_all(self) -> None:
        iterator = iter(self._items)
        try:
            while self._may_read():
                began = self._clock()
                try:
                    item = next(iterator)
                except StopIteration:
                    break
                self.read.add(self._clock() - began)
                self._put(item)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._failed = error
        finally:
            self._close(iterator)
            with self._lock:
                self._ended = True
                self._work.notify_all()
                self._done.notify()

    def _close(self, iterator: Iterator[T]) -> None:
        """Let an open video go here and now."""
        try:
            if isinstance(iterator, Generator):
                iterator.close()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._failed = self._failed or error

    def _may_read(self) -> bool:
        """Wait until an item is asked for; False where none is any more."""
        with self._lock:
            while self._on_demand and not self._stopped and not self._is_asked_for():
                self._room.wait()
            return not self._stopped

    def _is_asked_for(self) -> bool:
        out = self._taken + len(self._waiting) - self._given
        return self._idle > len(self._waiting) and out < self._most_out

    def _put(self, item: T) -> None:
        with self._lock:
            while len(self._waiting) >= self._depth and not self._stopped:
                self._room.wait()
            if not self._stopped:
                self._waiting.append(item)
                self._work.notify()

    def _take(self) -> tuple[int, T] | None:
        """Wait for an item, and for room for its result; None at the end."""
        with self._lock:
            while not self._stopped:
                if self._waiting and self._taken - self._given < self._most_out:
                    number, item = self._taken, self._waiting.popleft()
                    self._taken += 1
                    self._room.notify()
                    return number, item
                if self._ended and not self._waiting:
                    return None
                self._idle += 1
                self._room.notify()
                self._work.wait()
                self._idle -= 1
            return None

    def _work_on(self, lane: Callable[[T], R]) -> None:
        while (taken := self._take()) is not None:
            number, item = taken
            result: R | _Failure
            try:
                result = lane(item)
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                result = _Failure(error)
            with self._lock:
                self._results[number] = result
                self._done.notify()


class _Failure:
    """An item that a lane failed on, in the place of its result."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
