"""Progress as a live bar on a terminal, as occasional lines elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from edgecv_cli.cli.streams import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from edgecv_cli.core.context import Task

SECONDS_BETWEEN_LINES = 10.0


def _count(done: int, total: int | None, unit: str) -> str:
    of = f"/{total}" if total is not None and done != total else ""
    return f"{done}{of} {unit}{'' if done == 1 and not of else 's'}"


class _Line:
    """A task that prints how far it is now and then."""

    def __init__(self, owner: PlainProgress, name: str, total: int | None, unit: str) -> None:
        self._owner, self._name, self._total, self._unit = owner, name, total, unit
        self._done = 0
        self._text = ""
        self._began = self._spoke = owner.clock()

    def advance(self, amount: int = 1) -> None:
        self._done += amount
        now = self._owner.clock()
        if now - self._spoke >= SECONDS_BETWEEN_LINES and self._done != self._total:
            self._spoke = now
            self._say("")

    def describe(self, text: str, details: Sequence[str] = ()) -> None:  # noqa: ARG002
        self._text = plain(text)

    def finish(self) -> None:
        self._say(f" in {self._owner.clock() - self._began:.1f} s")

    def _say(self, ending: str) -> None:
        nothing = not self._done and not self._total
        count = "done" if nothing else _count(self._done, self._total, self._unit)
        said = f" ({self._text})" if self._text else ""
        self._owner.note(f"{self._name}: {count}{ending}{said}")


class PlainProgress:
    """For logs: a line when a task ends, and one every ten seconds before that."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self.clock = clock

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "image") -> Iterator[Task]:
        """Open a task; its last line says how long it took."""
        line = _Line(self, plain(name), total, unit)
        yield line
        line.finish()

    def note(self, text: str) -> None:
        """Print one line."""
        print(plain(text), file=self._stream, flush=True)


class _Bar:
    """A task that is a row of a live display."""

    def __init__(self, display: RichProgress, row: TaskID, total: int | None, unit: str) -> None:
        self._display, self._row, self._total, self._unit = display, row, total, unit
        self._done = 0

    def advance(self, amount: int = 1) -> None:
        self._done += amount
        count = _count(self._done, self._total, self._unit)
        self._display.update(self._row, completed=self._done, count=count)

    def describe(self, text: str, details: Sequence[str] = ()) -> None:
        lines = tuple(plain(line) for line in details)
        self._display.update(self._row, text=plain(text), details=lines)


class LiveProgress:
    """For terminals: a row a task: a bar, a count, the time, what it says, and details below."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._display: RichProgress | None = None
        self._open = 0

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "image") -> Iterator[Task]:
        """Open a task; when it ends its row stays, or goes if it was part of another's."""
        display = self._started()
        row = display.add_task(
            plain(name), total=total, count=_count(0, total, unit), text="", details=()
        )
        self._open += 1
        try:
            yield _Bar(display, row, total, unit)
        finally:
            self._open -= 1
            if self._open == 0:
                display.stop()
                self._display = None
            else:
                display.remove_task(row)

    def note(self, text: str) -> None:
        """Print one line above the bars."""
        if self._display is None:
            print(plain(text), file=self._stream, flush=True)
        else:
            self._display.console.print(plain(text), markup=False, highlight=False)

    def _started(self) -> RichProgress:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

        from edgecv_cli.cli.live_rows import LiveRows

        if self._display is None:
            self._display = LiveRows(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[count]}", markup=False),
                TimeElapsedColumn(),
                TextColumn("{task.fields[text]}", markup=False, style="dim"),
                console=Console(file=self._stream, emoji=False, highlight=False),
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._display.start()
        return self._display
