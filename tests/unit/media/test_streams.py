"""What cameras and streams are called, and what is shown of their addresses."""

from __future__ import annotations

import pytest

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.streams import Stream, address_of, backends, live_address, shown


@pytest.mark.parametrize(
    ("arg", "kind"),
    [
        ("0", "camera"), ("/dev/video3", "device"), ("csi:0", "csi"), ("rtsp://a/b", "url"),
        ("HTTP://a:80/b.mjpg", "url"), ("gst:videotestsrc ! appsink", "gst"), ("a.mp4", None),
        ("/dev/null", None), ("photos", None), ("c:/x.mp4", None),
        ("/dev/v4l/by-id/usb-cam-index0", "device"), ("/dev/v4l/by-id/../../sda", None),
    ],
)  # fmt: skip
def test_names(arg, kind):
    found = address_of(arg)
    assert (None if found is None else found.kind) == kind


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("rtsp://me:secret@cam.local:554/live", "rtsp://***@cam.local:554/live"),
        ("http://cam/a?token=secret&x=1", "http://cam/a?token=***&x=***"),
        ("rtsp://me:sec@ret@[::1]:554/l", "rtsp://***@[::1]:554/l"),
        ("http://cam:bad/secret", "http://***"),
        ("https://cam/a#secret", "https://cam/a"),
    ],
)
def test_no_secret_is_shown(url, said):
    assert shown(url) == said
    assert "secret" not in repr(address_of(url))


@pytest.mark.parametrize("url", ["ftp://me:secret@host/a.mp4", "rtsp:/me:secret@host/a"])
def test_what_is_no_stream_is_refused_without_its_password(url):
    with pytest.raises(DataError, match="is no address that can be read") as caught:
        address_of(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("arg", "said"),
    [
        ("97", "camera 97 can't be opened: this machine"),
        ("/dev/video97", "/dev/video97 can't be opened"),
        ("http://me:secret@127.0.0.1:9/a", r"http://\*\*\*@127.0.0.1:9/a can't be opened"),
    ],
)
def test_what_does_not_open_is_told(arg, said):
    with pytest.raises(DataError, match=said) as caught:
        Stream(address_of(arg))
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(backends()["GStreamer"], reason="this OpenCV has GStreamer")
@pytest.mark.parametrize("arg", ["csi:0", "gst:videotestsrc ! appsink"])
def test_pipelines_need_an_opencv_with_gstreamer(arg):
    with pytest.raises(DataError, match="built with GStreamer"):
        Stream(address_of(arg))


def test_what_exists_is_a_file_unless_it_is_a_device(tmp_path, monkeypatch):
    monkeypatch.setattr("pathlib.Path.exists", lambda _: True)
    assert live_address("0") is None
    assert live_address("/dev/video0").kind == "device"


def test_an_address_that_is_longer_than_a_path_may_be_is_one():
    assert live_address("http://cam/a?token=" + "x" * 5000).shown == "http://cam/a?token=***"
