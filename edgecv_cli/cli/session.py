"""One run of a command: its context, its output, and what Ctrl-C does to it."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from edgecv_cli.core.context import SILENT, Cancel, Context, Progress
from edgecv_cli.core.errors import GateNotMetError, InterruptedByUser, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import Console, RenderableType

    from edgecv_cli.cli.streams import Streams
    from edgecv_cli.config.base import Config
    from edgecv_cli.core.result import Result

    Render = Callable[[Any], Iterable[RenderableType]]

C = TypeVar("C", bound="Config")
_CACHE_BYTES = 2**29


class Session:
    """What a command works with: the library's context, and where its result is shown."""

    def __init__(self, streams: Streams, *, quiet: bool, seed: int) -> None:
        self.streams = streams
        self.quiet = quiet
        self.context = Context(progress=_progress(quiet=quiet), seed=seed)

    def remember(self) -> None:
        """Keep what long work finds in the user's cache, to go on from there if it is interrupted.

        Where that can't be written to, nothing is kept.
        """
        from edgecv_cli.core.store import FolderStore, cache_home

        with suppress(OutputError):
            store = FolderStore(cache_home() / "search", _CACHE_BYTES)
            self.context = replace(self.context, store=store)

    def run(self, stage: Callable[[C, Context], Result], config: C, render: Render) -> None:
        """Run a stage and show its result; a result that a gate refused is shown as well."""
        try:
            result = stage(config, self.context)
        except GateNotMetError as refused:
            if refused.result is not None:
                self.show(render(refused.result))
            raise
        self.show(render(result))
        self.streams.emit(result.to_json())

    def show(self, blocks: Iterable[RenderableType]) -> None:
        """Print tables and lines for people: stdout, or stderr with ``--json``."""
        if self.quiet and self.streams.json_wanted:
            return
        from rich.console import Console

        if sys.stdout.isatty():
            _print(Console(emoji=False, markup=False, highlight=False), blocks)
            return
        console = Console(width=120, emoji=False, markup=False, highlight=False)
        with console.capture() as captured:
            _print(console, blocks)
        for text in captured.get().splitlines():
            print(text.rstrip())


def _print(console: Console, blocks: Iterable[RenderableType]) -> None:
    for block in blocks:
        console.print(block)


def _progress(*, quiet: bool) -> Progress:
    from edgecv_cli.cli.progress import LiveProgress, PlainProgress

    if quiet:
        return SILENT
    return LiveProgress(sys.stderr) if sys.stderr.isatty() else PlainProgress(sys.stderr)


@contextmanager
def interruptible(cancel: Cancel, progress: Progress) -> Iterator[None]:
    """Let the first Ctrl-C (or SIGTERM) ask the work to stop, and a second one stop it now.

    Raises:
        InterruptedByUser: the work stopped for it.
    """

    def on_signal(number: int, frame: object) -> None:  # noqa: ARG001 - the signature is given
        if cancel.is_set:
            raise KeyboardInterrupt
        cancel.set()
        progress.note("stopping; press Ctrl-C again to stop at once")

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedByUser from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
