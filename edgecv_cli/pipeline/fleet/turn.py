"""One measurement at a time on a device, whoever asks for it."""

from __future__ import annotations

import fcntl
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from edgecv_cli.core.context import Cancel
from edgecv_cli.core.errors import DeviceError
from edgecv_cli.core.files import writing

_POLL_SECONDS = 0.1


@contextmanager
def measuring_alone(
    home: Path, *, wait_seconds: float, cancel: Cancel, waiting: Callable[[], None]
) -> Iterator[None]:
    """Hold this device's turn: a lock that the kernel drops with the process.

    It keeps apart what this user's workers measure, not what other users do. The file bears the
    machine's name, for a home folder may be shared by several.

    Args:
        home: folder of the lock.
        wait_seconds: how long to wait for it.
        cancel: polled while waiting.
        waiting: called once if it has to be waited for.

    Raises:
        DeviceError: the device is still measuring something else.
    """
    path = home / f"measuring-{platform.node() or 'here'}.lock"
    with writing(path):
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = path.open("ab")
    with lock:
        if not _taken(lock):
            waiting()
            _wait(lock, wait_seconds, cancel)
        yield


def _wait(lock: IO[bytes], seconds: float, cancel: Cancel) -> None:
    deadline = time.monotonic() + seconds
    while not _taken(lock):
        cancel.check()
        if time.monotonic() >= deadline:
            raise DeviceError(
                f"something else is being measured there, for over {seconds:g} s",
                remedy="wait until it is done, or raise the device's `wait`",
            )
        time.sleep(_POLL_SECONDS)


def _taken(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
