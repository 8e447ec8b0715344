"""Temporary folders beside an output, which tell the living from the dead."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgecv_cli.core.unfinished import take_back

_SUFFIX = ".edgecv-tmp"
_NAME_BYTES = 200  # of the 255 that file systems allow; the rest is dot, token and suffix
_TRIES = 100


def is_scratch(path: Path) -> bool:
    """Whether ``path`` carries the name of a scratch folder."""
    return path.name.startswith(".") and path.name.endswith(_SUFFIX)


class ScratchFolder:
    """A folder ``.<name>.<random>.edgecv-tmp`` that belongs to this process while it lives.

    The folder itself is locked (flock), and the kernel drops the lock with the process, so
    that making a scratch folder can first sweep those whose makers are gone.

    Args:
        base: existing folder to make it in.
        name: what it is for; shortened where a file name would become too long.

    Raises:
        OSError: it can't be made.
    """

    def __init__(self, base: Path, name: str) -> None:
        sweep(base)
        stem = name.encode()[:_NAME_BYTES].decode(errors="ignore")
        for _ in range(_TRIES):
            self.path = base / f".{stem}.{secrets.token_hex(4)}{_SUFFIX}"
            self.path.mkdir(mode=0o700)
            with suppress(FileNotFoundError):  # a sweeper was between the mkdir and the lock
                self._lock = _open(self.path)
                if _lock(self._lock, otherwise=True) and self.path.exists():
                    return
                os.close(self._lock)
        raise FileNotFoundError(errno.ENOENT, "the scratch folder vanishes", str(base))

    def remove(self) -> None:
        """Remove the folder and all that is left in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def sweep(base: Path) -> None:
    """Remove the scratch folders in ``base`` whose processes are dead, and half-placed outputs.

    Raises:
        OSError: ``base`` can't be listed.
    """
    for path in base.iterdir():
        if is_scratch(path):
            with suppress(OSError):  # a link, a file, another user's, or swept by someone else
                _sweep_one(path)


def _sweep_one(folder: Path) -> None:
    descriptor = _open(folder)
    try:
        if _lock(descriptor, otherwise=False) and take_back(folder, folder.parent):
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _lock(descriptor: int, *, otherwise: bool) -> bool:
    """Lock a folder without waiting; where the file system has no locks, say ``otherwise``.

    There nobody can tell the living from the dead, so nothing is swept.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return otherwise
    return True


@contextmanager
def scratch() -> Iterator[Path]:
    """A private temporary folder, gone afterwards; a killed process's goes with the next one."""
    folder = ScratchFolder(Path(tempfile.gettempdir()), "edgecv")
    try:
        yield folder.path
    finally:
        folder.remove()
