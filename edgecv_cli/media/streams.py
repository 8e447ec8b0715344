"""Cameras and network streams through OpenCV: what they are called, how they open, what they give.

OpenCV's FFmpeg is told how long it may wait, so that a dead peer is noticed; a camera is asked to
hold no frames back. Addresses may hold passwords: what is shown of them is :func:`shown`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.images import MAX_PIXELS, Image
from edgecv_cli.media.opencv import opencv

_SCHEMES = frozenset({"rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "srt"})
_URL = re.compile(r"([a-z][a-z0-9+.-]+):(//?)", re.IGNORECASE)
_HIDDEN = "***"
_OPEN_MS, _AGAIN_MS, _READ_MS = 5000, 1500, 2000
_NOWHERE = "check the address, the network and the password; ffplay shows whether it serves"


@dataclass(frozen=True)
class Address:
    """Where pictures come from.

    Attributes:
        kind: ``url``, ``camera`` (a number), ``device`` (a path), ``csi`` or ``gst``.
        text: what is opened; may hold a password, so it is not shown.
        shown: the same without secrets.
    """

    kind: str
    text: str = field(repr=False)
    shown: str


def address_of(arg: str) -> Address | None:
    """Return what a camera's or stream's name stands for; None for what is none.

    ``0``, ``/dev/video0``, ``csi:0``, ``gst:PIPELINE`` and URLs are.

    Raises:
        DataError: a URL of a kind that can't be read.
    """
    if found := _URL.match(arg):
        scheme = found.group(1).lower()
        if scheme not in _SCHEMES or found.group(2) != "//":
            raise DataError(
                f"{scheme}:{_HIDDEN} is no address that can be read",
                remedy=f"write KIND://HOST/PATH, with {', '.join(sorted(_SCHEMES))} as the kind",
            )
        return Address("url", arg, shown(arg))
    if arg.isascii() and arg.isdecimal():
        return Address("camera", arg, f"camera {arg}")
    if arg.startswith("csi:"):
        return Address("csi", arg[4:], arg)
    if arg.startswith("gst:"):
        return Address("gst", arg[4:], "gst pipeline")
    if re.fullmatch(r"/dev/(video\d+|v4l/by-(id|path)/[^/]+)", arg):
        return Address("device", arg, arg)
    return None


def live_address(arg: str) -> Address | None:
    """Return where a source's pictures come from if they are live; None for files.

    What exists is a file, whatever it is called, but for devices.

    Raises:
        DataError: a URL of a kind that can't be read.
    """
    try:
        is_file = not arg.startswith("/dev/") and Path(arg).exists()
    except OSError:  # longer than a path may be, and perhaps with a password in it
        is_file = False
    return None if is_file else address_of(arg)


def shown(url: str) -> str:
    """Return a URL without what may be secret: user, password, and the values of its query."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return f"{url.partition('://')[0]}://{_HIDDEN}"
    host = f"[{host}]" if ":" in host else host
    user = f"{_HIDDEN}@" if "@" in parts.netloc else ""
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    query = "&".join(f"{name}={_HIDDEN}" for name in names) or (_HIDDEN if parts.query else "")
    return urlunsplit((parts.scheme, f"{user}{host}{port}", parts.path, query, ""))


class Stream:
    """An open camera or stream.

    Attributes:
        rate: frames a second as it says, or None.
        frames: of a recording, about how many there are; None of what is live.
    """

    def __init__(self, address: Address, *, again: bool = False) -> None:
        """Open it.

        Args:
            address: what to open.
            again: whether it had been open before: it is given up sooner then, to be tried anew.

        Raises:
            DataError: it can't be opened; the words hold no secrets.
        """
        library = opencv()
        self._address = address
        self._capture = _capture(library, address, _AGAIN_MS if again else _OPEN_MS)
        if not self._capture.isOpened():
            self._capture.release()
            raise _closed(address)
        self._library = library
        rate = float(self._capture.get(library.CAP_PROP_FPS))
        count = float(self._capture.get(library.CAP_PROP_FRAME_COUNT))
        self.rate = rate if 0 < rate <= 1000 else None
        self.frames = int(count) if address.kind == "url" and 0 < count < 2**40 else None

    def skip(self) -> bool:
        """Wait for the next frame and leave it; False at the end."""
        return bool(self._capture.grab())

    def read(self) -> Image | None:
        """Wait for the next frame, BGR uint8 [H, W, 3]; None at the end, or where it stalls.

        Raises:
            DataError: frames are larger than 200 megapixels.
        """
        there, image = self._capture.read()
        if not there or image is None:
            return None
        if image.shape[0] * image.shape[1] > MAX_PIXELS:
            raise DataError(
                f"{self._address.shown} gives frames of {image.shape[1]}x{image.shape[0]}",
                remedy="set it to a smaller size",
            )
        found: Image = image
        return found

    def close(self) -> None:
        """Let it go; harmless when repeated."""
        self._capture.release()


def backends() -> dict[str, bool]:
    """Return which ways to video this OpenCV was built with: FFmpeg, GStreamer, V4L2."""
    told = opencv().getBuildInformation()
    wanted: Mapping[str, str] = {"FFmpeg": "FFMPEG", "GStreamer": "GStreamer", "V4L2": "v4l/v4l2"}
    return {
        name: bool(re.search(rf"^\s*{re.escape(key)}:\s*YES", told, re.MULTILINE))
        for name, key in wanted.items()
    }


def _capture(library: ModuleType, address: Address, patience_ms: int) -> Any:
    if address.kind == "url":
        waits = [
            library.CAP_PROP_OPEN_TIMEOUT_MSEC,
            patience_ms,
            library.CAP_PROP_READ_TIMEOUT_MSEC,
            _READ_MS,
        ]
        return library.VideoCapture(address.text, library.CAP_FFMPEG, waits)
    if address.kind in ("csi", "gst"):
        if not backends()["GStreamer"]:
            raise DataError(
                f"{address.shown} needs an OpenCV that was built with GStreamer, and this one was "
                "not",
                remedy="use the OpenCV of the device's system (JetPack's has it), or give "
                "/dev/videoN or an rtsp:// address",
            )
        return library.VideoCapture(_pipeline(address), library.CAP_GSTREAMER)
    if address.kind == "device" and not Path(address.text).exists():
        raise _closed(address)
    which = int(address.text) if address.kind == "camera" else address.text
    capture = library.VideoCapture(which, library.CAP_V4L2)
    capture.set(library.CAP_PROP_BUFFERSIZE, 1)
    return capture


def _pipeline(address: Address) -> str:
    if address.kind == "gst":
        return address.text
    if not address.text.isdecimal():
        raise DataError(f"{address.shown} names no sensor", remedy="give csi:0 or csi:1")
    return (
        f"nvarguscamerasrc sensor-id={address.text} ! nvvidconv ! video/x-raw,format=BGRx ! "
        "videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
    )


def _closed(address: Address) -> DataError:
    if address.kind == "url":
        return DataError(f"{address.shown} can't be opened", remedy=_NOWHERE)
    there = sorted(path.name for path in Path("/dev").glob("video*"))
    found = f"this machine has {', '.join(there)}" if there else "this machine shows no camera"
    return DataError(
        f"{address.shown} can't be opened: {found}",
        remedy="close what else uses the camera, and check its cable and its permissions (group "
        "video)",
    )
