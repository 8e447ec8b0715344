"""What detect has to do with its preview."""

from __future__ import annotations

from edgecv_cli.core.context import Context
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
