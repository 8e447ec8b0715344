"""What library code may not take from the world: progress, cancellation, cache, seed, clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from edgecv_cli.core.errors import InterruptedByUser
from edgecv_cli.core.store import MemoryStore, Store


class Task(Protocol):
    """One visible piece of long work."""

    def advance(self, amount: int = 1) -> None:
        """Report that ``amount`` more units are done."""
        ...

    def describe(self, text: str, details: Sequence[str] = ()) -> None:
        """Show ``text`` beside the bar: the best so far, a rate, the current file.

        ``details`` are lines for a live display, which go when nothing is said any more.
        """
        ...


class Progress(Protocol):
    """Where library code reports to; the command line draws it."""

    def task(
        self, name: str, total: int | None = None, unit: str = "image"
    ) -> AbstractContextManager[Task]:
        """Open a task of ``total`` units (None: unknown)."""
        ...

    def note(self, text: str) -> None:
        """Say one line that a reader of the log should see."""
        ...


class _SilentTask:
    def advance(self, amount: int = 1) -> None:
        """Do nothing."""

    def describe(self, text: str, details: Sequence[str] = ()) -> None:
        """Do nothing."""


class SilentProgress:
    """Progress for callers that show none."""

    @contextmanager
    def task(
        self,
        name: str,  # noqa: ARG002 - protocol
        total: int | None = None,  # noqa: ARG002
        unit: str = "image",  # noqa: ARG002
    ) -> Iterator[Task]:
        """Open a task that reports nowhere."""
        yield _SilentTask()

    def note(self, text: str) -> None:
        """Do nothing."""


class Cancel:
    """A flag that the first Ctrl-C sets; long loops poll it once per image or step."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        """Ask the running work to stop at the next safe point."""
        self._set = True

    @property
    def is_set(self) -> bool:
        """Whether the work should stop."""
        return self._set

    def check(self) -> None:
        """Raise :class:`InterruptedByUser` if the work should stop."""
        if self._set:
            raise InterruptedByUser


Clock = Callable[[], int]
"""Monotonic nanoseconds."""

SILENT: Progress = SilentProgress()
SYSTEM: Clock = time.perf_counter_ns


@dataclass(frozen=True)
class Context:
    """Carried through every stage and evaluation; the defaults are silent and hermetic."""

    progress: Progress = SILENT
    cancel: Cancel = field(default_factory=Cancel)
    store: Store = field(default_factory=MemoryStore)
    seed: int = 0
    clock: Clock = SYSTEM
