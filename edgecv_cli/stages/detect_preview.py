"""What detect has to do with its preview, and with sinks that choose what they keep."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edgecv_cli.core.context import Context
from edgecv_cli.inference.frames import FrameSink
from edgecv_cli.inference.hard import HardSink
from edgecv_cli.inference.picked import CropSink
from edgecv_cli.inference.preview import Preview, is_local, where_to_listen
from edgecv_cli.inference.sinks import drawn


def open_preview(text: str, context: Context) -> Preview:
    """Serve what ``--serve`` asks for, and say where, and to whom.

    Raises:
        UsageError: it names no port.
        OutputError: the address is taken.
    """
    host, port = where_to_listen(text)
    preview = Preview(host, port, drawn)
    context.progress.note(f"preview at {preview.url}")
    if not is_local(host):
        context.progress.note("warning: whoever reaches that address sees the pictures")
    return preview


def kept(sinks: Iterable[FrameSink]) -> dict[str, Any]:
    """Return what the summary says of sinks that choose what they keep."""
    counts: dict[str, int] = {}
    for sink in sinks:
        if isinstance(sink, CropSink | HardSink):
            counts |= sink.kept
    return {"kept": counts or None}
