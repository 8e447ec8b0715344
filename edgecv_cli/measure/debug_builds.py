"""Builds for debugging, whose times say nothing of a release."""

from __future__ import annotations

import sys

from edgecv_cli.runtime.base import Execution


def debug_note(execution: Execution) -> str | None:
    """Say so if the engine, or this interpreter, was built for debugging.

    A debug build of CPython counts references, and has ``sys.gettotalrefcount`` (docs.python.org,
    "Python Debug Build").
    """
    built = [execution.engine] if execution.debug else []
    if hasattr(sys, "gettotalrefcount"):
        built.append("Python")
    if not built:
        return None
    verb = "are debug builds" if len(built) > 1 else "is a debug build"
    return f"{' and '.join(built)} {verb}: times are longer than those of a release"
