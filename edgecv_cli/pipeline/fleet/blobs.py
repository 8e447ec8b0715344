"""Files on a device, each under the sha256 of its content: what was sent once stays."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from edgecv_cli.core.errors import DataError, OutputError
from edgecv_cli.core.files import sha256_file, writing
from edgecv_cli.core.scratch import ScratchFolder
from edgecv_cli.core.store import cache_home
from edgecv_cli.pipeline.fleet.job import MAX_FILE_BYTES, FileRef

STORE_BYTES = 8 * 2**30
_SPARE_BYTES = 64 * 2**20
_MORE_ROOM = "free some space, or set XDG_CACHE_HOME to a folder on another disk"
_DIGEST = re.compile("[0-9a-f]{64}")


def fleet_home() -> Path:
    """Return the folder in which a worker keeps what it was sent."""
    return cache_home() / "fleet"


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into words that fit a cache.

    Raises:
        OutputError: any OSError inside the block, such as a full disk.
    """
    try:
        with writing(path):
            yield
    except OutputError as error:
        raise OutputError(error.problem, remedy=_MORE_ROOM) from error


class Blobs:
    """A folder of files by digest; what was used longest ago goes first.

    Args:
        root: the folder, made if absent.
        max_bytes: size that all files together may have.

    Raises:
        OutputError: the folder can't be made.
    """

    def __init__(self, root: Path, max_bytes: int = STORE_BYTES) -> None:
        self.root = root
        self.scratch = root / "unfinished"
        self._max_bytes = max_bytes
        self._room = 0
        with storing(root):
            self.scratch.mkdir(parents=True, exist_ok=True, mode=0o700)

    def has(self, digest: str) -> bool:
        """Whether the file is there and still what its name says; a damaged one is removed."""
        path = self._path(digest)
        try:
            if sha256_file(path) == digest:
                os.utime(path)
                return True
            path.unlink()
        except OSError:
            return False
        return False

    def receive(self, digest: str, size: int) -> Incoming:
        """Begin to take a file.

        Raises:
            OutputError: it is too large, or the disk has no room for it.
        """
        path = self._path(digest)
        if not 0 <= size <= min(MAX_FILE_BYTES, self._max_bytes):
            raise OutputError(
                f"a file of {size} bytes is more than a device takes",
                remedy=f"send files of at most {min(MAX_FILE_BYTES, self._max_bytes)} bytes",
            )
        self._make_room(size)
        free = shutil.disk_usage(self.root).free
        if free < size + _SPARE_BYTES:
            raise OutputError(
                f"no room in {self.root}: {size} bytes are needed and {_SPARE_BYTES} to spare, "
                f"and {free} are free",
                remedy=_MORE_ROOM,
            )
        return Incoming(self.scratch, path, digest, size)

    def lay_out(self, folder: Path, files: Sequence[FileRef], *, link: bool = True) -> Path:
        """Put files under their names into a folder, and return the first one's path.

        Args:
            folder: where to, made if absent.
            files: names and digests.
            link: give a file a second name rather than copy it, where the disk can do that.

        Raises:
            DataError: a file has not been sent.
            OutputError: the disk is full.
        """
        for file in files:
            target = folder / file.name
            with storing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    _copy(self._path(file.sha256), target, link=link)
                except FileNotFoundError as error:
                    raise DataError(
                        f"the file {file.name} ({file.sha256[:12]}) is not on this device",
                        remedy="run it again; it will be sent anew",
                    ) from error
        return folder / files[0].name

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise DataError(f"{digest[:80]!r} is no sha256", remedy="send the digest in hex")
        return self.root / digest

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with storing(self.root), (self.root / ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _make_room(self, size: int) -> None:
        """Evict where it has to be; the folder is looked through only now and then."""
        if size > self._room:
            with self._locked():
                self._room = self._max_bytes - self._evict(self._max_bytes - size)
        self._room -= size

    def _evict(self, room: int) -> int:
        """Shrink to ``room`` bytes, oldest first, and return how many are left."""
        kept = [path for path in self.root.iterdir() if _DIGEST.fullmatch(path.name)]
        stats = sorted(((path.stat(), path) for path in kept), key=lambda one: one[0].st_mtime_ns)
        total = sum(stat.st_size for stat, _ in stats)
        for stat, path in stats:
            if total <= room:
                break
            path.unlink(missing_ok=True)
            total -= stat.st_size
        return total


class Incoming:
    """A file on its way; it appears under its digest when all of it has come and is sound."""

    def __init__(self, root: Path, target: Path, digest: str, size: int) -> None:
        self._target, self._digest, self._missing = target, digest, size
        self._hash = hashlib.sha256()
        with storing(root):
            self._scratch = ScratchFolder(root, "incoming")
            self._path = self._scratch.path / digest
            self._file = self._path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove what did not become complete."""
        with suppress(OSError):  # closing flushes, and a full disk was reported already
            self._file.close()
        self._scratch.remove()

    @property
    def complete(self) -> bool:
        """Whether every byte has come."""
        return self._missing == 0

    def write(self, piece: bytes) -> None:
        """Take the next bytes.

        Raises:
            OutputError: the disk is full.
            DataError: there are more of them than were announced.
        """
        self._missing -= len(piece)
        if self._missing < 0:
            raise DataError("more bytes came than were announced", remedy="send the file again")
        self._hash.update(piece)
        with storing(self._target):
            self._file.write(piece)

    def commit(self) -> None:
        """Put the file in its place.

        Raises:
            DataError: it is not what its digest says.
            OutputError: the disk is full.
        """
        if not self.complete or self._hash.hexdigest() != self._digest:
            raise DataError(
                f"the file {self._digest[:12]} was damaged on its way", remedy="run it again"
            )
        with storing(self._target):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._path.replace(self._target)


def _copy(source: Path, target: Path, *, link: bool) -> None:
    if link:
        with suppress(OSError):  # a file system without links
            target.hardlink_to(source)
            return
    shutil.copyfile(source, target)
