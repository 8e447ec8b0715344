"""The one place where failures become words and exit codes."""

from __future__ import annotations

import errno
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgecv_cli.cli.streams import plain
from edgecv_cli.core.errors import EdgeCVError, GateNotMetError, InterruptedByUser

if TYPE_CHECKING:
    from edgecv_cli.cli.streams import Streams

_OS_REMEDIES = {
    errno.ENOSPC: "free some space, or write to another disk",
    errno.EDQUOT: "free some of your quota, or write to another disk",
    errno.EACCES: "check the permissions, or use another path",
    errno.EPERM: "check the permissions, or use another path",
    errno.EROFS: "write to a file system that is not read-only",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "give a file, not a folder",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENOMEM: "free memory, or use fewer --threads",
    errno.ENAMETOOLONG: "use a shorter path",
}


@dataclass(frozen=True)
class Failure:
    """What is said about a failure, on one line each, and the exit code."""

    kind: str
    problem: str
    remedy: str
    exit_code: int

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        said = {"kind": self.kind, "problem": self.problem, "remedy": self.remedy}
        return {"error": said}


def report(error: BaseException, streams: Streams) -> int:
    """Say what went wrong, on stderr and with ``--json`` on stdout, and return the exit code."""
    if isinstance(error, BrokenPipeError):
        return 1  # the reader went away; there is no one to tell
    failure = failure_of(error)
    if streams.verbose:
        streams.say("".join(traceback.format_exception(error)).rstrip())
    streams.say(f"error: {failure.problem}")
    streams.say(f"  fix: {failure.remedy}")
    streams.emit(_refused(error) or failure.to_json())
    return failure.exit_code


def _refused(error: BaseException) -> dict[str, Any] | None:
    """Return the whole result that a gate refused; its ``saved`` is null, not absent."""
    if not isinstance(error, GateNotMetError) or error.result is None:
        return None
    result: dict[str, Any] = error.result.to_json()
    if "saved" in type(error.result).model_fields:
        result.setdefault("saved", None)
    return result


def failure_of(error: BaseException) -> Failure:
    """Return the words for any exception."""
    if isinstance(error, KeyboardInterrupt):
        error = InterruptedByUser()
    if isinstance(error, EdgeCVError):
        return Failure(error.kind, plain(error.problem), plain(error.remedy), error.exit_code)
    if hasattr(error, "format_message"):
        return _usage(error)
    if isinstance(error, MemoryError):
        return Failure("memory", "not enough memory", "free memory, or use fewer --threads", 1)
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("edgecv"):
        name = plain(str(error.name))
        problem = f"the Python module {name} is missing; edgecv can't work without it"
        return Failure("dependency", problem, f"pip install {name.partition('.')[0]}", 1)
    if isinstance(error, OSError) and error.errno in _OS_REMEDIES:
        where = f"{error.filename}: " if error.filename else ""
        problem = f"{where}{error.strerror}"
        return Failure("system", plain(problem), _OS_REMEDIES[error.errno], 1)
    said = plain(f"this is a bug of edgecv: {type(error).__name__}: {error}")
    return Failure("bug", said[:400], "report it with what --verbose prints", 1)


def _usage(error: Any) -> Failure:
    """Return the words for what Typer's parser refused."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "edgecv"
    problem = plain(error.format_message()).rstrip(".")
    return Failure("usage", problem, f"{command} --help lists what it takes", error.exit_code)
