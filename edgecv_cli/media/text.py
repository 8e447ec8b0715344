"""Small text files of datasets: hostile input, read whole within a limit."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from edgecv_cli.core.errors import DataError


def read_text(path: Path, limit: int) -> str:
    """Return a UTF-8 text file's content.

    Raises:
        DataError: unreadable, not a plain file, larger than ``limit`` bytes, or not UTF-8.
    """
    try:
        return read_limited(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} is not UTF-8 text (line {line})", remedy="save it as UTF-8 text"
        ) from error


def read_limited(path: Path, limit: int) -> bytes:
    """Return a plain file's bytes.

    Raises:
        DataError: unreadable, not a plain file, or larger than ``limit`` bytes.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would block
            raise DataError(f"{path} is not a plain file", remedy="put an annotation file there")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise DataError(
            f"{path} can't be read: {error.strerror}",
            remedy="check that the file exists and that you may read it",
        ) from error
    if len(data) > limit:
        raise DataError(
            f"{path} is larger than {limit} bytes", remedy="check that it is an annotation file"
        )
    return data


def is_there(path: Path, *, folder: bool = False) -> bool:
    """Whether a path made from data is a file (or folder); what no disk could hold is neither."""
    try:
        return path.is_file() or (folder and path.is_dir())
    except OSError:  # a name that is too long
        return False


def leads_out(name: str) -> bool:
    """Whether a file name from annotations could leave its folder, on whatever platform.

    Names are data: a parent step, an absolute path, a drive or a NUL has no place in them.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    drive = PureWindowsPath(name).drive
    return not path.parts or path.is_absolute() or ".." in path.parts or bool(drive) or "\0" in name
