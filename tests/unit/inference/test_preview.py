"""The newest frame over HTTP, for whoever may look."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from contextlib import ExitStack

import cv2
import numpy as np
import pytest
from clips import picture
from fakes import CLASSES, found

from edgecv_cli.core.errors import OutputError, UsageError
from edgecv_cli.inference.frames import Frame, FrameResult
from edgecv_cli.inference.preview import Preview, _Handler, is_local, where_to_listen
from edgecv_cli.media.video import VideoInfo


def result(index, shade=0):
    frame = Frame("clip.mp4", index, picture(48, 64, shade), index / 10, VideoInfo(10.0, None))
    return FrameResult(frame, found((2, 4, 22, 24, 0.9, 1), (0, 0, 9, 9, 0.5, 1)), CLASSES)


@pytest.fixture
def preview():
    before = threading.enumerate()
    made = Preview("127.0.0.1", 0, lambda one: one.frame.image)
    yield made
    made.close()
    left = [one.name for one in threading.enumerate() if one not in before]
    assert left == []


def asked(preview, path, host=None):
    address = preview.url.split("/")[2]
    connection = http.client.HTTPConnection(address, timeout=5)
    connection.request("GET", path, headers={"Host": host} if host else {})
    return connection.getresponse()


def next_picture(answer):
    while not (line := answer.readline().strip()).startswith(b"Content-Length"):
        assert line is not None
    size = int(line.split(b":")[1])
    answer.readline()
    return cv2.imdecode(np.frombuffer(answer.read(size), np.uint8), cv2.IMREAD_COLOR)


def test_the_page_and_the_numbers(preview):
    preview.write(result(0))
    preview.write(result(1))
    page = asked(preview, "/")
    assert (page.status, page.getheader("X-Frame-Options")) == (200, "DENY")
    assert "frame-ancestors 'none'" in page.getheader("Content-Security-Policy")
    assert page.getheader("Cross-Origin-Resource-Policy") == "same-origin"
    assert b"/stats.json" in asked(preview, "/page.js").read()
    assert b"/stream.mjpg" in page.read()
    told = json.loads(asked(preview, "/stats.json").read())
    assert told == {"frames": 2, "objects": 4, "frame": 1, "now": {"bolt": 2}}


def test_each_who_looks_gets_the_newest_frame(preview):
    preview.write(result(0, shade=0))
    lookers = [asked(preview, "/stream.mjpg") for _ in range(2)]
    first = [next_picture(one) for one in lookers]
    for shade in (50, 100, 250):
        preview.write(result(1, shade=shade))
    assert all(abs(float(one[..., 1].mean())) < 20 for one in first)
    deadline = time.monotonic() + 5
    for one in lookers:
        while next_picture(one)[..., 1].mean() < 200:
            assert time.monotonic() < deadline
        one.close()


def test_who_takes_nothing_holds_nobody_up(preview):
    sleeper = socket.create_connection(preview.url.split("/")[2].split(":"))
    sleeper.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for index in range(300):
        preview.write(result(index))
    assert json.loads(asked(preview, "/stats.json").read())["frames"] == 300
    sleeper.close()


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [("/../secret", None, 404), ("/", "evil.example", 403), ("/", "localhost:1", 200)],
)
def test_only_three_paths_by_this_machines_names(preview, path, host, status):
    assert asked(preview, path, host).status == status


@pytest.fixture
def connected(preview):
    """Opens connections that say nothing yet."""
    host, port = preview.url.split("/")[2].split(":")
    with ExitStack() as stack:
        yield lambda: stack.enter_context(socket.create_connection((host, int(port)), timeout=5))


def test_who_says_nothing_does_not_hold_up_the_end(preview, connected, monkeypatch):
    monkeypatch.setattr(_Handler, "timeout", None)
    for _ in range(3):
        connected()
    asked(preview, "/stats.json").read()  # by now all of them have a thread
    closing = threading.Thread(target=preview.close, daemon=True)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()


def test_there_are_no_more_threads_than_clients_that_are_taken(connected):
    before = threading.active_count()
    many = [connected() for _ in range(40)]
    assert many[-1].recv(1) == b""
    assert threading.active_count() - before <= 32


def test_too_many_who_look_are_told(preview, connected):
    preview.write(result(0))
    lookers = [connected() for _ in range(9)]
    said = []
    for one in lookers:
        one.sendall(b"GET /stream.mjpg HTTP/1.0\r\nHost: localhost\r\n\r\n")
        said.append(one.recv(12)[-3:])
    assert said == [b"200"] * 8 + [b"503"]


def test_large_frames_are_shown_smaller(preview):
    frame = Frame("a.png", 0, picture(30, 2600), None, None)
    preview.write(FrameResult(frame, found(), CLASSES))
    looker = asked(preview, "/stream.mjpg")
    assert next_picture(looker).shape[:2] == (15, 1280)
    looker.close()


def test_an_address_that_is_taken_is_told(preview):
    port = int(preview.url.rsplit(":", 1)[1].strip("/"))
    with pytest.raises(OutputError, match="--serve can't listen at") as caught:
        Preview("127.0.0.1", port, lambda one: one.frame.image)
    assert "another port" in caught.value.remedy


def test_addresses():
    assert where_to_listen("8080") == ("127.0.0.1", 8080)
    assert where_to_listen("0.0.0.0:80") == ("0.0.0.0", 80)
    assert where_to_listen("[::1]:80") == ("::1", 80)
    assert [is_local(one) for one in ("127.0.0.1", "::1", "localhost", "0.0.0.0")] == [
        True, True, True, False
    ]  # fmt: skip
    for wrong in ("http", "1:2:x", "::1", "99999", ""):
        with pytest.raises(UsageError, match="no port"):
            where_to_listen(wrong)
