"""A look at what detect sees, over HTTP: Motion JPEG in a page, and numbers.

Only this machine is served unless another address is asked for by name. Nothing is read from a
client but its request line and headers; there are four paths, and none of them is a file's.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from edgecv_cli.core.errors import OutputError, UsageError
from edgecv_cli.inference.frames import FrameResult
from edgecv_cli.media.images import Image
from edgecv_cli.media.opencv import opencv

LOOPBACK = "127.0.0.1"
_QUALITY = 80
_LONGEST = 1280  # pixels of a side: more is neither seen in a page nor cheap
_PATIENCE_S = 5.0  # for a client that takes or says nothing
_WAIT_S = 0.5  # how soon a waiting client notices the end
_MOST_LOOKING = 8
_MOST_CLIENTS = 32  # each has a thread
_BOUNDARY = "edgecv-frame"
_PAGE = b"""<!doctype html><meta charset=utf-8><title>edgecv</title>
<style>body{margin:0;background:#111;color:#ddd;font:14px sans-serif}img{max-width:100%}</style>
<img src=/stream.mjpg alt="what detect sees"><pre id=stats></pre><script src=/page.js></script>
"""
_SCRIPT = b"""const stats = document.getElementById('stats');
setInterval(async () => {
  try {
    stats.textContent = JSON.stringify(await (await fetch('/stats.json')).json(), null, 1);
  } catch (error) {
    stats.textContent = 'ended';
  }
}, 1000);
"""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; connect-src 'self'; "
    "script-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""No other page may show, embed or read any of it."""


class Preview:
    """Serves the newest annotated frame; a sink of detect.

    Frames are encoded by the clients' threads, only while somebody looks, and a client that is slow
    gets fewer of them: detection never waits.

    Args:
        host, port: where to listen; port 0 takes any.
        drawn: makes the picture that is shown of a result.

    Raises:
        OutputError: the address is taken, or is not this machine's.

    Attributes:
        url: where it is served.
    """

    def __init__(self, host: str, port: int, drawn: Callable[[FrameResult], Image]) -> None:
        self._drawn = drawn
        self._changed = threading.Condition()
        self._newest: FrameResult | None = None
        self._number = self._seen_objects = 0
        self._jpeg: tuple[int, bytes] = (0, b"")
        self._encoding = threading.Lock()
        self._ended = False
        self._lookers = threading.BoundedSemaphore(_MOST_LOOKING)
        try:
            self._server = _Server((host, port), self)
        except OSError as error:
            raise OutputError(
                f"--serve can't listen at {_place(host, port)}: {error.strerror or error}",
                remedy="give another port, such as --serve 8081, or 0 for any that is free",
            ) from error
        self.url = f"http://{_place(host, self._server.server_address[1])}/"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="edgecv-preview", daemon=True
        )
        self._thread.start()

    def write(self, result: FrameResult) -> None:
        """Show a frame from now on."""
        with self._changed:
            self._newest = result
            self._number += 1
            self._seen_objects += len(result.detections)
            self._changed.notify_all()

    def finish(self, _summary: Mapping[str, Any], /) -> None:
        """Nothing stands at the end."""

    def close(self) -> None:
        """Stop serving, and wait for every thread; harmless when repeated."""
        with self._changed:
            if self._ended:
                return
            self._ended = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_jpeg(self, after: int) -> tuple[int, bytes] | None:
        """Wait for a frame newer than number ``after``; None at the end."""
        with self._changed:
            while not self._ended and self._number <= after:
                self._changed.wait(_WAIT_S)
            if self._ended:
                return None
            number, newest = self._number, self._newest
        assert newest is not None
        with self._encoding:  # once for all who look
            if self._jpeg[0] < number:
                self._jpeg = (number, _jpeg(self._drawn(newest)))
            return self._jpeg

    def stats(self) -> dict[str, Any]:
        """Return what has passed so far."""
        with self._changed:
            newest = self._newest
            found = {"frames": self._number, "objects": self._seen_objects}
        if newest is None:
            return found
        counts: dict[str, int] = {}
        for *_, class_id in newest.detections:
            name = newest.class_name(class_id)
            counts[name] = counts.get(name, 0) + 1
        return {**found, "frame": newest.frame.index, "now": counts}

    def enter(self) -> bool:
        """Count a client that looks at pictures; False where there are enough of them."""
        return self._lookers.acquire(blocking=False)

    def leave(self) -> None:
        """A client that looked has gone."""
        self._lookers.release()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # the end waits for all of them
    block_on_close = True
    request_queue_size = 2 * _MOST_CLIENTS  # those too many are to be told, not left waiting

    def __init__(self, address: tuple[str, int], preview: Preview) -> None:
        self.preview = preview
        self._open: set[socket.socket] = set()
        self._opening = threading.Lock()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind, and ask no name server what this machine is called, as the base class does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        """Take no more clients than there may be threads."""
        with self._opening:
            if len(self._open) >= _MOST_CLIENTS:
                return False
            self._open.add(request)
        return True

    def shutdown_request(self, request: Any) -> None:
        """Forget a client, and close its connection."""
        with self._opening:
            self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Stop listening, hang up on those who are slow to listen, and wait for every thread."""
        with self._opening:
            for request in self._open:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client went away: nobody needs to know."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _PATIENCE_S
    server_version, sys_version = "edgecv", ""

    def do_GET(self) -> None:
        """Answer one of four paths."""
        answers = {
            "/": lambda: self._whole("text/html; charset=utf-8", _PAGE),
            "/page.js": lambda: self._whole("text/javascript; charset=utf-8", _SCRIPT),
            "/stats.json": self._stats,
            "/stream.mjpg": self._stream,
        }
        if not self._is_asked_by_name():
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        answers.get(self.path, lambda: self.send_error(HTTPStatus.NOT_FOUND))()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's
        """Say nothing: standard error belongs to the command."""

    def _is_asked_by_name(self) -> bool:
        """Refuse names that a foreign page may have pointed at this machine (DNS rebinding)."""
        host = self.headers.get("Host", "").rsplit(":", 1)[0].strip("[]")
        try:
            ipaddress.ip_address(host)
        except ValueError:
            name = socket.gethostname().casefold()
            return host.casefold() in {"localhost", name, f"{name}.local"}
        return True

    def _stats(self) -> None:
        self._whole("application/json", json.dumps(self.server.preview.stats()).encode())

    def _whole(self, kind: str, body: bytes) -> None:
        self._head(kind, {"Content-Length": str(len(body))})
        self.wfile.write(body)

    def _stream(self) -> None:
        preview = self.server.preview
        if not preview.enter():
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, "too many look already")
            return
        try:
            self._head(f"multipart/x-mixed-replace; boundary={_BOUNDARY}", {})
            number = 0
            while (newer := preview.next_jpeg(number)) is not None:
                number, body = newer
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}"
                self.wfile.write(f"{head}\r\n\r\n".encode() + body + b"\r\n")
        finally:
            preview.leave()

    def _head(self, kind: str, more: Mapping[str, str]) -> None:
        self.send_response(HTTPStatus.OK)
        for name, value in {"Content-Type": kind, **_HEADERS, **more}.items():
            self.send_header(name, value)
        self.end_headers()


def where_to_listen(text: str) -> tuple[str, int]:
    """Return host and port of ``PORT`` or ``HOST:PORT``; without a host it is this machine alone.

    Raises:
        UsageError: it is neither.
    """
    host, _, port = text.rpartition(":")
    bare = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if bare or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise UsageError(
            f"--serve {text[:60]}: that is no port",
            remedy="give --serve 8080, HOST:8080 or [IPV6]:8080",
        )
    return host.strip("[]") or LOOPBACK, int(port)


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_local(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.casefold() == "localhost"


def _jpeg(image: Image) -> bytes:
    library = opencv()
    scale = _LONGEST / max(image.shape[:2])
    if scale < 1:
        size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
        image = library.resize(image, size, interpolation=library.INTER_AREA)
    _, data = library.imencode(".jpg", image, [library.IMWRITE_JPEG_QUALITY, _QUALITY])
    return bytes(data.tobytes())
