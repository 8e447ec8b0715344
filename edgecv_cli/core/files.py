"""Outputs that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from edgecv_cli.core.errors import OutputError, OutputExistsError
from edgecv_cli.core.scratch import ScratchFolder, is_scratch, sweep
from edgecv_cli.core.unfinished import REPLACED, Move, note_moves

_DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
_REMEDIES = {
    errno.ENOSPC: "free some space, or name an output on another disk",
    errno.EDQUOT: "free some of your quota, or name an output on another disk",
    errno.EROFS: "name an output on a disk that can be written to",
    errno.EFBIG: "name an output on a file system that takes files of this size",
    errno.ENAMETOOLONG: "choose a shorter name for the output",
}


@dataclass(frozen=True)
class Published:
    """A file that was put in place.

    Attributes:
        path: where it stands now.
        size_bytes: its size.
        sha256: digest of its content, in hex.
    """

    path: Path
    size_bytes: int
    sha256: str


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's content, in hex; memory does not grow with the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write ``path`` into words.

    Raises:
        OutputError: any OSError inside the block, such as a full disk or no permission.
    """
    try:
        yield
    except OSError as error:
        raise _refusal(path, error) from error


def _refusal(path: Path, error: OSError) -> OutputError:
    why = error.strerror or str(error)
    return OutputError(
        f"{path} can't be written: {why}",
        remedy=_REMEDIES.get(error.errno or 0, "name an output in a folder you may write to"),
    )


class Publication:
    """One output: a file, a file with parts beside it, or a folder.

    ::

        with Publication(target, force=force, inputs=[model]) as out:
            save(out.main)
            published = out.commit()

    Everything is written into a scratch folder next to the target and renamed into place by
    :meth:`commit`, parts first in the order that they were asked for in, and the main file last.
    Leaving the block without a commit removes it all. What a killed process left behind, in its
    scratch folder or half in place, is swept when the next publication begins in the same folder.

    Args:
        target: where the file or folder shall stand.
        force: replace an existing file; in an existing folder replace the files of the same
            name. Nothing else in such a folder is touched.
        inputs: files and folders being read, which the output must not overwrite.
        whole: the target is a folder that is one thing, such as a package: with ``force`` it takes
            the place of the one that is there, and no file of that stays.

    Raises:
        OutputExistsError: the target stands already and ``force`` is not given (an empty
            folder does not count), or the target is an input or contains one.
        OutputError: the parent folder is missing or can't be written to, or the target is a
            device, pipe or socket.
    """

    def __init__(
        self,
        target: Path,
        *,
        force: bool = False,
        inputs: Sequence[Path] = (),
        whole: bool = False,
    ) -> None:
        self._target = target
        self._force = force
        self._inputs = tuple(inputs)
        self._scratch: ScratchFolder | None = None
        self._whole = whole
        self._parts: list[str] = []
        self._merges = target.is_dir() and not target.is_symlink() and not whole
        # A folder that exists may be a mount point: only inside it are renames sure to work.
        self._base = target if self._merges else target.absolute().parent
        with suppress(OSError):  # said below, in words
            sweep(self._base)
        _refuse_special(target)
        self._refuse_inputs(target)
        self._refuse_existing(target)
        _refuse_unwritable(target, self._base)

    def __enter__(self) -> Self:
        """Make the scratch folder.

        Raises:
            OutputError: it can't be made.
        """
        with writing(self._target):
            self._scratch = ScratchFolder(self._base, self._target.name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove what was not committed; a full disk in the block becomes an OutputError."""
        if self._scratch is not None:
            self._scratch.remove()
            self._scratch = None
        if isinstance(error, OSError) and error.errno in _DISK_ERRNOS:
            raise _refusal(self._target, error) from error

    @property
    def main(self) -> Path:
        """Where to write the main file: the target's name, inside the scratch folder.

        Raises:
            OutputExistsError: the target is a folder. Ask before the work, not after it.
        """
        if self._merges:
            raise OutputExistsError(
                f"{self._target} is a folder, and the output is a file",
                remedy=f"name a file, such as {self._target / 'model.onnx'}",
            )
        return self._staged / self._target.name

    def part(self, name: str) -> Path:
        """Return where to write a file that shall stand beside the main file.

        Raises:
            OutputExistsError: such a file stands already and ``force`` was not given, or it
                is an input.
        """
        if Path(name).name != name or name in ("", "..", self._target.name):
            raise ValueError(f"{name!r} is no name for a part of {self._target.name}")
        destination = self._target.parent / name
        self._refuse_inputs(destination)
        self._refuse_existing(destination)
        self._parts.append(name)
        return self._staged / name

    def folder(self) -> Path:
        """Return a folder to write into; everything under it is published."""
        folder = self._staged / self._target.name
        with writing(self._target):
            folder.mkdir(exist_ok=True)
        return folder

    def commit(self) -> tuple[Published, ...]:
        """Put everything in place; the main file comes last, here and in the answer.

        Raises:
            OutputError: the disk refused; what had been put in place is taken back where it
                replaced nothing.
        """
        staged = self._staged
        if not os.path.lexists(staged / self._target.name):
            raise RuntimeError(f"nothing was written for {self._target}")
        pairs = [*self._part_moves(), *self._main_moves(staged / self._target.name)]
        with writing(self._target):
            described = [tuple(_describe(*pair)) for pair in pairs]
            moves = [
                Move(*pair, "" if pair[0].is_dir() else files[0].sha256)
                for pair, files in zip(pairs, described, strict=True)
            ]
            if len(moves) > 1 or self._whole:
                note_moves(staged, self._base, moves)
            _sync_tree(staged)
            with self._set_aside():
                _move_all(moves, self._base)
            _sync(self._base)
        return tuple(entry for files in described for entry in files)

    def _part_moves(self) -> list[tuple[Path, Path]]:
        """Return what stands beside the main file, in the order that it was asked for in."""
        there = {entry.name for entry in self._staged.iterdir()} - {self._target.name}
        asked = [name for name in dict.fromkeys(self._parts) if name in there]
        names = [*sorted(there.difference(asked)), *asked]
        return [(self._staged / name, self._target.parent / name) for name in names]

    @contextmanager
    def _set_aside(self) -> Iterator[None]:
        """Make way for a folder that is replaced as a whole; on failure put the old one back."""
        if not self._whole or not self._target.is_dir():
            yield
            return
        kept = self._staged / REPLACED
        self._target.rename(kept)
        try:
            yield
        except BaseException:
            kept.rename(self._target)
            raise

    @property
    def _staged(self) -> Path:
        if self._scratch is None:
            raise RuntimeError("a Publication is used inside its with block")
        return self._scratch.path

    def _main_moves(self, staged: Path) -> list[tuple[Path, Path]]:
        if not self._merges:
            return [(staged, self._target)]
        files = sorted(path for path in staged.rglob("*") if not path.is_dir())
        return [(path, self._target / path.relative_to(staged)) for path in files]

    def _refuse_inputs(self, destination: Path) -> None:
        real = destination.resolve()
        for source in self._inputs:
            other = source.resolve()
            both = destination.exists() and other.exists()
            same = real == other or (both and destination.samefile(other))
            if same or other.is_relative_to(real):
                verb = "is" if same else "contains"
                raise OutputExistsError(
                    f"the output {destination} {verb} the input {source}",
                    remedy="name another output",
                )

    def _refuse_existing(self, destination: Path) -> None:
        if self._force or not os.path.lexists(destination) or _is_vacant(destination):
            return
        raise OutputExistsError(
            f"{destination} exists already",
            remedy="name another output, or replace it with --force",
        )


def _is_vacant(path: Path) -> bool:
    """Whether ``path`` is a folder that holds nothing but scratch folders."""
    with suppress(OSError):
        return all(is_scratch(entry) for entry in path.iterdir())
    return False


def _refuse_special(target: Path) -> None:
    if target.name in ("", ".."):
        raise OutputError(f"{target} is no name for an output", remedy="name a file or a folder")
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise OutputError(
            f"{target} is neither a file nor a folder", remedy="name a file that can be replaced"
        )


def _refuse_unwritable(target: Path, base: Path) -> None:
    if not base.is_dir():
        missing = "exists and is no folder" if os.path.lexists(base) else "does not exist"
        raise OutputError(
            f"{target} can't be written: the folder {base} {missing}",
            remedy=f"make it first (mkdir -p {shlex.quote(str(base))}), or name another output",
        )
    if not os.access(base, os.W_OK | os.X_OK):
        raise OutputError(
            f"{target} can't be written: no permission to write in the folder {base}",
            remedy="name an output in a folder you may write to",
        )


def _describe(staged: Path, destination: Path) -> Iterator[Published]:
    """Yield what ``staged``, a file or a folder, will be once it stands at ``destination``."""
    if not staged.is_dir():
        yield Published(destination, staged.stat().st_size, sha256_file(staged))
        return
    for path in sorted(staged.rglob("*")):
        if not path.is_dir():
            yield from _describe(path, destination / path.relative_to(staged))


def _move_all(moves: Sequence[Move], base: Path) -> None:
    """Rename in order; on failure take back what replaced nothing."""
    fresh: list[Path] = []
    try:
        for move in moves:
            if move is moves[-1] and len(moves) > 1:
                _sync(base)  # a crash of the machine must not keep the last rename alone
            is_new = not os.path.lexists(move.destination)
            move.destination.parent.mkdir(parents=True, exist_ok=True)
            move.staged.replace(move.destination)
            if is_new:
                fresh.append(move.destination)
    except BaseException:
        for path in fresh:
            path.unlink(missing_ok=True)
        raise


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
