"""OpenCV, kept quiet: its own log and FFmpeg's would otherwise reach the user's terminal."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from edgecv_cli.core import require

FFMPEG_QUIET = "-8"  # AV_LOG_QUIET, libavutil/log.h


@functools.cache
def opencv() -> ModuleType:
    """Return ``cv2`` with its log silenced; what goes wrong is said by our own errors.

    Raises:
        MissingDependencyError: OpenCV or a system library it needs is not installed.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", FFMPEG_QUIET)  # read at the first capture
    cv2 = require.cv2()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


@contextmanager
def on_calling_threads() -> Iterator[None]:
    """Have OpenCV work in the threads that call it, for those who have some of their own.

    Its pool would only take their cores from them. What it computes is the same.
    """
    cv2 = opencv()
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
