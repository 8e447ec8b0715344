"""Temporary folders beside an output, which tell the living from the dead."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

_SUFFIX = ".edgecv-tmp"
_NAME_BYTES = 200  # of the 255 that file systems allow; the rest is dot, token and suffix


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
        while True:
            self.path = base / f".{stem}.{secrets.token_hex(4)}{_SUFFIX}"
            self.path.mkdir(mode=0o700)
            lock = _lock(self.path)
            if lock is not None:
                self._lock = lock
                return

    def remove(self) -> None:
        """Remove the folder and all that is left in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def sweep(base: Path) -> None:
    """Remove the scratch folders in ``base`` whose processes are dead."""
    with suppress(OSError):
        for entry in os.scandir(base):
            path = Path(entry.path)
            if not is_scratch(path) or not entry.is_dir(follow_symlinks=False):
                continue
            lock = _lock(path)
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def _lock(folder: Path) -> int | None:
    """Return a descriptor that holds the folder's lock, or None if another has or had it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A sweeper may have been between our mkdir and our lock: then the folder is gone.
        if os.path.samestat(os.fstat(descriptor), folder.stat()):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
