"""Whether detection goes on when a stream is lost, and how old the frames are that it reports.

    python benchmarks/stream_reconnect.py MODEL.onnx [--restarts 3] [--up 6] [--down 2]

A server of its own process gives Motion JPEG over HTTP, 25 frames a second, each with the time of
its making in its pixels. It is killed and started again while detect looks at it; the two processes
share a clock. Prints JSON: for each restart the time from the server being there again to the next
result, the age of the oldest frame when its result came, and threads that were left.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgecv_cli.config.detect import DetectConfig
from edgecv_cli.core.context import Context
from edgecv_cli.inference.live import LiveFrames, Patience
from edgecv_cli.measure.hardware import machine
from edgecv_cli.media.streams import address_of
from edgecv_cli.stages.detect import detect
from edgecv_cli.stages.detect_model import load_model

_BITS, _CELL, _ROW = 32, 20, 8
_PAUSE_S = 0.04


def stamped() -> Any:
    image = np.zeros((_CELL * _BITS // _ROW, _CELL * _ROW, 3), np.uint8)
    now = int(time.time() * 1000) & (2**_BITS - 1)
    for bit in range(_BITS):
        y, x = (_CELL * part for part in divmod(bit, _ROW))
        image[y : y + _CELL, x : x + _CELL] = 255 * (now >> bit & 1)
    return image


def age(image: Any) -> float:
    """Return the seconds since a frame was made."""
    half, made = _CELL // 2, 0
    for bit in range(_BITS):
        y, x = (_CELL * part + half for part in divmod(bit, _ROW))
        made |= int(image[y, x, 0] > 127) << bit
    return float(((int(time.time() * 1000) - made) & (2**_BITS - 1)) / 1000)


class Camera(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        while True:
            body = cv2.imencode(".jpg", stamped())[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + body + b"\r\n")
            except OSError:
                return
            time.sleep(_PAUSE_S)

    def log_message(self, *_: Any) -> None:
        pass


def serve(port: int) -> subprocess.Popen[bytes]:
    """Start a server, and wait until it can be reached."""
    process = subprocess.Popen([sys.executable, __file__, "-", "--port", str(port)])
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.02)
        else:
            return process


class Outages:
    """Kills and starts the server while detection runs."""

    def __init__(self, port: int, options: argparse.Namespace) -> None:
        self.back: list[float] = []
        self._port, self._options = port, options
        self._server = serve(port)

    def run(self, live: LiveFrames) -> None:
        for _ in range(self._options.restarts):
            time.sleep(self._options.up)
            self._server.kill()
            self._server.wait()
            time.sleep(self._options.down)
            self._server = serve(self._port)
            self.back.append(time.monotonic())
        time.sleep(self._options.up)
        live.stop()
        self._server.kill()
        self._server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--up", type=float, default=6.0)
    parser.add_argument("--down", type=float, default=2.0)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.port is not None:
        ThreadingHTTPServer(("127.0.0.1", options.port), Camera).serve_forever()
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/stream"
    loaded = load_model(DetectConfig(model=options.model, sources=(url,), threads=2), 2)
    before = threading.active_count()
    outages = Outages(port, options)
    address = address_of(url)
    assert address is not None
    live = LiveFrames([address], Patience(), note=lambda text: print(text, file=sys.stderr))
    killer = threading.Thread(target=outages.run, args=(live,))
    killer.start()
    came, ages = [], []
    for result in detect(loaded, live, [], Context(), on_demand=True):
        came.append(time.monotonic())
        ages.append(age(result.frame.image))
    killer.join()
    report = {
        "machine": machine(2).model_dump(mode="json"),
        "model": options.model.name,
        "results": len(came),
        "down_s": options.down,
        "resumed_after_s": [
            round(min((at for at in came if at > back), default=float("inf")) - back, 2)
            for back in outages.back
        ],
        "age_s": {"median": float(np.median(ages)), "oldest": max(ages)},
        "reconnects": live.states[0].reconnects,
        "threads_left": threading.active_count() - before,
    }
    loaded.predictor.close()
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
