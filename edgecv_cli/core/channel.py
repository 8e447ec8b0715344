"""Length-prefixed JSON over a socket: what a parent and its child process speak."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from typing import Any

_HEADER = struct.Struct(">Q")
_MAX_BYTES = 256 * 2**20
_SLICE_SECONDS = 0.1
_CHUNK_BYTES = 2**20

Message = dict[str, Any]


class ChannelClosedError(Exception):
    """The other side is gone."""


class Channel:
    """One end of a private socket.

    Args:
        end: a connected stream socket; the channel owns it from now on.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def send(self, message: Message) -> None:
        """Send one message.

        Raises:
            ChannelClosedError: the other side is gone.
            TypeError: the message holds what JSON does not know.
        """
        body = json.dumps(message).encode()
        self._socket.settimeout(None)
        try:
            self._socket.sendall(_HEADER.pack(len(body)) + body)
        except OSError as error:
            raise ChannelClosedError from error

    def receive(self, poll: Callable[[], None] | None = None) -> Message:
        """Wait for one message.

        Args:
            poll: called about ten times a second while waiting; may raise to give up.

        Raises:
            ChannelClosedError: the other side is gone, or speaks something else.
        """
        (size,) = _HEADER.unpack(self._read(_HEADER.size, poll))
        if size > _MAX_BYTES:
            raise ChannelClosedError
        message: Message = json.loads(self._read(size, poll))
        return message

    def close(self) -> None:
        """Hang up; the other side reads the end."""
        self._socket.close()

    def _read(self, size: int, poll: Callable[[], None] | None) -> bytes:
        self._socket.settimeout(_SLICE_SECONDS if poll else None)
        content = bytearray()
        while len(content) < size:
            if poll:
                poll()
            try:
                chunk = self._socket.recv(min(size - len(content), _CHUNK_BYTES))
            except TimeoutError:
                continue
            except OSError as error:
                raise ChannelClosedError from error
            if not chunk:
                raise ChannelClosedError
            content += chunk
        return bytes(content)
