"""Where output goes: people's words and, with ``--json``, a descriptor of its own for JSON."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO


class Streams:
    """The process's output, arranged once before any command runs.

    With JSON asked for, descriptor 1 is duplicated and then points at standard error, so that
    whatever a native library prints can't get between the objects.
    """

    def __init__(self, *, json_wanted: bool, verbose: bool = False) -> None:
        self.verbose = verbose
        self._json: TextIO | None = None
        # Before descriptor 1 moves: a stream that began on a file would ask the pipe that it
        # then is for its position.
        for stream in (sys.stdout, sys.stderr):
            # A terminal that lacks a character shows a substitute, never a traceback.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        if json_wanted:
            sys.stdout.flush()
            self._json = os.fdopen(os.dup(1), "w", encoding="ascii", newline="\n")
            os.dup2(2, 1)

    @property
    def json_wanted(self) -> bool:
        """Whether results go out as JSON."""
        return self._json is not None

    def emit(self, value: dict[str, Any]) -> None:
        """Write one JSON object on a line of its own; nothing where JSON was not asked for."""
        if self._json is not None:
            self._json.write(json.dumps(value, allow_nan=False) + "\n")
            self._json.flush()

    def say(self, line: str) -> None:
        """Write a line for people on standard error."""
        print(line, file=sys.stderr, flush=True)


def plain(text: str) -> str:
    """Return text on one line, with control characters (a file name may hold some) spelled out."""
    spaced = " ".join(text.split())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in spaced)
