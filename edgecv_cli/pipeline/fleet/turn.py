"""One measurement at a time on a device, whoever asks for it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgecv_cli.core.context import Cancel
from edgecv_cli.core.errors import DeviceError

MACHINE = Path("/")
_POLL_SECONDS = 0.1


@contextmanager
def measuring_alone(
    *,
    wait_seconds: float,
    cancel: Cancel,
    waiting: Callable[[], None],
    place: Path = MACHINE,
) -> Iterator[None]:
    """Hold this device's turn: a lock that the kernel drops with the process.

    The lock (flock(2)) is on the root folder, which takes no permission but to read: so it keeps
    all users of a machine apart, and nothing has to be written anywhere.

    Args:
        wait_seconds: how long to wait for it.
        cancel: polled while waiting.
        waiting: called once if it has to be waited for.
        place: an existing folder that stands for the device.

    Raises:
        DeviceError: the device is still measuring something else.
    """
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not _taken(descriptor):
            waiting()
            _wait(descriptor, wait_seconds, cancel)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, seconds: float, cancel: Cancel) -> None:
    deadline = time.monotonic() + seconds
    while not _taken(descriptor):
        cancel.check()
        if time.monotonic() >= deadline:
            raise DeviceError(
                f"something else is being measured there, for over {seconds:g} s",
                remedy="wait until it is done, or raise the device's `wait`",
            )
        time.sleep(_POLL_SECONDS)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
