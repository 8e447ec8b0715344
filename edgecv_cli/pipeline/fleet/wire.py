"""What a host and its worker speak over two pipes: framed JSON, and pieces of files.

A frame is a letter (``J`` JSON, ``B`` bytes), its length in 4 bytes, big-endian, and the body.
The worker's first bytes are :data:`MAGIC`; what a login shell printed before is skipped.
"""

from __future__ import annotations

import json
import os
import select
import struct
import time
from collections.abc import Callable
from typing import Any

MAGIC = b"\0edgecv-fleet\0"
CHUNK_BYTES = 2**20

_HEADER = struct.Struct(">cI")
_MAX_BYTES = 64 * 2**20
_MAX_NOISE = 64 * 2**10
_SLICE_SECONDS = 0.1
_READ_BYTES = 2**16

Message = dict[str, Any]
Poll = Callable[[], None]


class WireClosedError(Exception):
    """The other side is gone, or speaks something else."""


class WireStalledError(Exception):
    """The other side takes nothing."""


class Wire:
    """One end of two pipes.

    Args:
        reading, writing: descriptors of pipes or sockets; they stay their owner's to close.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self._buffer = bytearray()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)

    def greet(self) -> None:
        """Say that frames follow; the worker's first word."""
        self._write(MAGIC, 60.0, None)

    def find_greeting(self) -> bool:
        """Skip what was printed before the frames; whether the greeting has come.

        Raises:
            WireClosedError: the other side is gone, or prints without end.
        """
        place = self._buffer.find(MAGIC)
        if place < 0:
            self._fill()
            place = self._buffer.find(MAGIC)
        if place < 0:
            if len(self._buffer) > _MAX_NOISE:
                raise WireClosedError
            return False
        del self._buffer[: place + len(MAGIC)]
        return True

    def send(self, message: Message, *, seconds: float = 60.0, poll: Poll | None = None) -> None:
        """Send JSON; ``poll`` is called now and then while it waits, and may raise.

        Raises:
            WireClosedError: the other side is gone.
            WireStalledError: it took nothing for ``seconds``.
            ValueError: the message holds what JSON does not know.
        """
        body = json.dumps(message, allow_nan=False).encode()
        self._write(_HEADER.pack(b"J", len(body)) + body, seconds, poll)

    def send_bytes(self, piece: bytes, *, seconds: float = 60.0, poll: Poll | None = None) -> None:
        """Send a piece of a file, at most :data:`CHUNK_BYTES`; raises as :meth:`send`."""
        self._write(_HEADER.pack(b"B", len(piece)) + piece, seconds, poll)

    def receive(self) -> Message | bytes | None:
        """Return the next frame, or None if none is complete within a moment.

        Raises:
            WireClosedError: the other side is gone, or speaks something else.
        """
        frame = self._frame()
        if frame is None:
            self._fill()
            frame = self._frame()
        return frame

    def _frame(self) -> Message | bytes | None:
        if len(self._buffer) < _HEADER.size:
            return None
        kind, size = _HEADER.unpack_from(self._buffer)
        if kind not in (b"J", b"B") or size > (_MAX_BYTES if kind == b"J" else CHUNK_BYTES):
            raise WireClosedError
        end = _HEADER.size + size
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_HEADER.size : end])
        del self._buffer[:end]
        return body if kind == b"B" else _parsed(body)

    def _fill(self) -> None:
        poller = select.poll()
        poller.register(self._reading, select.POLLIN)
        if not poller.poll(_SLICE_SECONDS * 1000):
            return
        try:
            chunk = os.read(self._reading, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise WireClosedError from error
        if not chunk:
            raise WireClosedError
        self._buffer += chunk

    def _write(self, content: bytes, seconds: float, poll: Poll | None) -> None:
        poller = select.poll()
        poller.register(self._writing, select.POLLOUT)
        rest, deadline = memoryview(content), time.monotonic() + seconds
        while rest:
            if poll is not None:
                poll()
            if not poller.poll(_SLICE_SECONDS * 1000):
                if time.monotonic() > deadline:
                    raise WireStalledError
                continue
            try:
                rest = rest[os.write(self._writing, rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise WireClosedError from error
            deadline = time.monotonic() + seconds


def _parsed(body: bytes) -> Message:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireClosedError from error
    if not isinstance(message, dict):
        raise WireClosedError
    return message
