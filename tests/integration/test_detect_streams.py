"""detect on a stream that is lost and comes back, from the socket to the summary."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import pytest
from clips import picture, write_picture, write_video
from fakes import FakePredictor, loaded

from edgecv_cli.config.detect import DetectConfig
from edgecv_cli.core.context import Cancel, Context
from edgecv_cli.core.errors import DataError, UsageError
from edgecv_cli.stages.detect import run_detect


class Camera:
    """Motion JPEG over HTTP, which can be cut off and put back at the same port."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.start()

    def start(self):
        self._running = running = threading.Event()
        running.set()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=f")
                self.end_headers()
                body = cv2.imencode(".jpg", picture(48, 64))[1].tobytes()
                head = f"--f\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
                while running.is_set():
                    try:
                        self.wfile.write(head.encode() + body + b"\r\n")
                    except OSError:
                        return
                    time.sleep(0.02)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def cut(self):
        self._running.clear()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def camera():
    made = Camera()
    yield made
    made.cut()


def run(sources, context=None, emit=None, **options):
    config = DetectConfig.from_options(model="m.onnx", sources=sources, **options)
    return run_detect(
        config, context or Context(), emit=emit, load=lambda _: loaded(FakePredictor())
    )


def threads():
    return [one.name for one in threading.enumerate() if one.name.startswith("edgecv-")]


def test_detection_goes_on_where_a_stream_comes_back(camera, tmp_path):
    cancel, lines, when = Cancel(), [], {}

    def emit(line):
        lines.append(line)
        if len(lines) == 5:
            camera.cut()
            camera.start()
            when["back"], when["at"] = time.monotonic(), len(lines)
        elif "back" in when and len(lines) == when["at"] + 40:
            cancel.set()  # frames of before that were on their way are behind it by now

    url = f"http://me:secret@127.0.0.1:{camera.port}/live?key=secret"
    summary = run([url], Context(cancel=cancel), emit, output=tmp_path / "out", save=["json"])

    assert summary.live[0].reconnects >= 1
    assert summary.live[0].seconds_away < 10
    assert summary.frames == len(lines) - 1 >= 40  # Ctrl-C ends it, and what was found is kept
    text = (tmp_path / "out" / "detections.jsonl").read_text()
    assert json.loads(text.splitlines()[-1])["summary"]["frames"] == summary.frames
    assert "secret" not in text + json.dumps(lines)
    assert threads() == []


def test_a_stream_that_is_not_there_is_told_without_its_password():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(DataError, match="can't be opened") as caught:
        run([f"http://me:secret@127.0.0.1:{port}/live"])
    assert "secret" not in str(caught.value)
    assert threads() == []


def test_a_list_may_come_from_standard_input(tmp_path, monkeypatch):
    paths = [write_picture(tmp_path / f"{name}.png") for name in "abc"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(map(str, paths)) + "\n\n"))
    assert run(["-"]).frames == 3
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(DataError, match="standard input lists no files"):
        run(["-"])


@pytest.mark.parametrize(
    ("sources", "options", "said"),
    [
        (["clip.mp4", "rtsp://a/b"], {}, "clip.mp4 is a file"),
        (["rtsp://a/b", "rtsp://a/c"], {"track": True}, "--track takes one live source"),
        (["clip.mp4"], {"duration": 5.0}, "--duration is for cameras and streams"),
        (["clip.mp4"], {"every_frame": True}, "--every-frame is for cameras and streams"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, monkeypatch, sources, options, said):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "clip.mp4", frames=2)
    with pytest.raises(UsageError, match=said):
        run(sources, **options)


def test_names_on_standard_input_may_hold_line_ends_between_nuls(tmp_path, monkeypatch):
    paths = [write_picture(tmp_path / name) for name in ("a\nb.png", "c.png")]
    monkeypatch.setattr("sys.stdin", io.StringIO("\0".join(map(str, paths)) + "\0"))
    assert run(["-"]).frames == 2


def test_channels_that_look_alike_without_their_secrets_are_told_apart(camera):
    urls = [f"http://127.0.0.1:{camera.port}/cam?channel={number}" for number in (1, 2)]
    shown = f"http://127.0.0.1:{camera.port}/cam?channel=***"
    named = [one.source for one in run([*urls, urls[0]], limit=2).live]
    assert named == [shown, f"{shown} (2)"]
