"""A device's progress, as texts that travel to the host."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class _Counted:
    def __init__(self, relay: Relay, name: str, total: int | None, unit: str) -> None:
        self._relay, self._name, self._total, self._unit = relay, name, total, unit
        self._done, self._text = 0, ""
        self._tell()

    def advance(self, amount: int = 1) -> None:
        self._done += amount
        self._tell()

    def describe(self, text: str, details: Sequence[str] = ()) -> None:  # noqa: ARG002
        self._text = text
        self._tell()

    def _tell(self) -> None:
        of = "" if self._total is None else f"/{self._total}"
        said = f" ({self._text})" if self._text else ""
        self._relay.state = f"{self._name} {self._done}{of} {self._unit}s{said}"


class Relay:
    """Progress that keeps the latest state, and the notes that nobody has taken yet."""

    def __init__(self) -> None:
        self.state = ""
        self._notes: list[str] = []
        self._lock = threading.Lock()

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "image") -> Iterator[_Counted]:
        """Open a task, whose count becomes the state."""
        before = self.state
        yield _Counted(self, name, total, unit)
        self.state = before

    def note(self, text: str) -> None:
        """Keep a line."""
        with self._lock:
            self._notes.append(text)

    def take_notes(self) -> list[str]:
        """Return the lines since the last call."""
        with self._lock:
            notes, self._notes = self._notes, []
        return notes
