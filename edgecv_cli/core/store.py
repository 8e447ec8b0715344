"""Where finished work is kept between steps: bytes under a digest, and corruption is a miss."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from edgecv_cli.core.errors import OutputError

_DIGEST_BYTES = hashlib.sha256().digest_size


def cache_home() -> Path:
    """Return the folder that this user's caches of edgecv stand in (XDG base directories)."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "edgecv"


def digest_key(**parts: Any) -> str:
    """Return the sha256, in hex, of the canonical JSON of ``parts``.

    Names and values both count; their order does not. Values are what JSON knows: a path or
    an object has to be turned into a digest of its content first.

    Raises:
        TypeError: a value that JSON does not know.
        ValueError: NaN or infinity.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Store(Protocol):
    """A cache of bytes; losing an entry is always allowed."""

    def get(self, key: str) -> bytes | None:
        """Return the value, or None if it was never put, was evicted or is damaged."""
        ...

    def put(self, key: str, value: bytes) -> None:
        """Keep ``value`` under ``key``, replacing what was there."""
        ...


class MemoryStore:
    """A store that ends with the process."""

    def __init__(self) -> None:
        self._entries: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        """Return the value, or None."""
        return self._entries.get(key)

    def put(self, key: str, value: bytes) -> None:
        """Keep ``value``."""
        self._entries[key] = bytes(value)


class FolderStore:
    """A store on disk, shared by any number of processes.

    Every entry is one file that begins with the sha256 of its value, so that a damaged file
    is recognised, removed and reported as a miss. Writers hold one lock; readers need none,
    because entries appear by rename. What was used longest ago goes first.

    Args:
        root: folder of the store, made if absent.
        max_bytes: size that all entries together may have.
        read_only: answer from what is there and change nothing, not even when it was used.

    Raises:
        OutputError: ``root`` can't be made or written to.
    """

    def __init__(self, root: Path, max_bytes: int, *, read_only: bool = False) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._read_only = read_only
        if read_only:
            return
        try:
            root.mkdir(parents=True, exist_ok=True)
            with self._locked():
                pass
        except OSError as error:
            raise OutputError(
                f"the cache folder {root} can't be used: {error.strerror}",
                remedy="name another cache folder, or make this one writable",
            ) from error

    def get(self, key: str) -> bytes | None:
        """Return the value, or None; a hit becomes the youngest entry."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        value = content[_DIGEST_BYTES:]
        sound = hashlib.sha256(value).digest() == content[:_DIGEST_BYTES]
        if not self._read_only:
            with suppress(OSError):
                os.utime(path) if sound else path.unlink()
        return value if sound else None

    def put(self, key: str, value: bytes) -> None:
        """Keep ``value`` and evict down to the size limit.

        A value above the limit, or a disk that takes no more, leaves the store without the
        entry: work must not fail because it can't be remembered.
        """
        size = len(value) + _DIGEST_BYTES
        if self._read_only or size > self._max_bytes:
            return
        with suppress(OSError), self._locked():
            self._evict(self._max_bytes - size, keep=self._path(key))
            self._write(self._path(key), hashlib.sha256(value).digest() + value)

    def _path(self, key: str) -> Path:
        # A key may hold anything; a file name may not.
        return self._root / f"{hashlib.sha256(key.encode()).hexdigest()}.entry"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._root / ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, path: Path, content: bytes) -> None:
        temporary = path.with_suffix(".tmp")
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _evict(self, room: int, keep: Path) -> None:
        """Shrink the other entries to ``room`` bytes, oldest first; call with the lock held."""
        for leftover in self._root.glob("*.tmp"):
            leftover.unlink(missing_ok=True)
        stats = [(path.stat(), path) for path in self._root.glob("*.entry") if path != keep]
        total = sum(stat.st_size for stat, _ in stats)
        for stat, path in sorted(stats, key=lambda entry: (entry[0].st_mtime_ns, entry[1].name)):
            if total <= room:
                return
            path.unlink(missing_ok=True)
            total -= stat.st_size
