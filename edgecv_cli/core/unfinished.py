"""What a process that was killed while it put files in place left among those of the user.

Before the first of several renames a list of them is written into the scratch folder, where it
stays if the process dies. Whoever sweeps the folder reads it and takes back what only a part of an
output would be. A file of the user's is never removed: what is taken back stood nowhere before,
has the digest that the list names, and the file that it belongs to is not there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JOURNAL = ".moves.json"
REPLACED = ".replaced"
"""Where a folder waits that is about to be replaced as a whole."""

_MOST_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Move:
    """One file or folder on its way into place.

    Attributes:
        staged: where it is, in the scratch folder.
        destination: where it shall stand.
        sha256: digest of a file; empty for a folder.
    """

    staged: Path
    destination: Path
    sha256: str


def note_moves(scratch: Path, base: Path, moves: Sequence[Move]) -> None:
    """Write down what is about to be renamed, in order; the last makes the output whole.

    Args:
        scratch: the scratch folder.
        base: the folder that the scratch folder and every destination are in.
        moves: what is renamed.

    Raises:
        OSError: it can't be written.
    """
    entries = [
        {
            "staged": str(move.staged.relative_to(scratch)),
            "name": os.path.relpath(move.destination.absolute(), base.absolute()),
            "sha256": move.sha256,
            "fresh": not os.path.lexists(move.destination),
            "folders": _missing(move.destination.parent, base),
        }
        for move in moves
    ]
    (scratch / JOURNAL).write_text(json.dumps(entries), encoding="utf-8")


def _missing(folder: Path, base: Path) -> list[str]:
    """Name the folders that will be made on the way to one, the innermost first."""
    lacking = [path for path in (folder, *folder.parents) if not path.exists()]
    return [os.path.relpath(path.absolute(), base.absolute()) for path in lacking]


def take_back(scratch: Path, base: Path) -> bool:
    """Undo what a dead process began and did not finish; the scratch folder itself stays.

    Anything that is not as the dead process left it is left alone.

    Args:
        scratch: its scratch folder, locked by the caller.
        base: the folder that it is in.

    Returns:
        Whether the scratch folder holds nothing that only stands there.
    """
    with suppress(OSError, ValueError, TypeError, LookupError):
        if _own(scratch):
            entries = _read(scratch / JOURNAL)
            if not os.path.lexists(_inside(scratch, entries[-1]["staged"])):
                return True  # the last rename was done
            _undo(entries, scratch, base)
    return not os.path.lexists(scratch / REPLACED)


def _undo(entries: Sequence[Mapping[str, Any]], scratch: Path, base: Path) -> None:
    last, replaced = entries[-1], scratch / REPLACED
    target = _inside(base, last["name"])
    if os.path.lexists(target):  # it stood there before, or someone has put it there since
        return
    if replaced.is_dir() and not replaced.is_symlink():
        replaced.rename(target)
    elif not last["fresh"]:
        return
    for entry in reversed(entries[:-1]):
        if entry["fresh"] and not os.path.lexists(_inside(scratch, entry["staged"])):
            _remove(_inside(base, entry["name"]), entry["sha256"])
    for entry in entries:
        for name in entry["folders"]:
            with suppress(OSError):  # it was not made yet, or holds something else
                _inside(base, name).rmdir()


def _own(folder: Path) -> bool:
    """Whether nobody else can have written into a folder; else its list is not believed."""
    status = folder.stat(follow_symlinks=False)
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _read(journal: Path) -> list[dict[str, Any]]:
    if journal.stat(follow_symlinks=False).st_size > _MOST_BYTES:
        raise ValueError(f"{journal} is too long")
    entries = json.loads(journal.read_text(encoding="utf-8"))
    if not isinstance(entries, list) or len(entries) == 0:
        raise ValueError(f"{journal} is no list of moves")
    return entries


def _inside(folder: Path, name: str) -> Path:
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or path == Path():
        raise ValueError(f"{name!r} leads out of {folder}")
    return folder / path


def _remove(path: Path, sha256: str) -> None:
    """Remove a file that still has its digest."""
    if path.is_symlink() or not path.is_file():
        return
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            return
    path.unlink()
