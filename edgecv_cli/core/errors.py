"""Failures that a user can act on.

::

    EdgeCVError                 exit 1
    ├── UsageError              exit 2   wrong option, wrong combination
    │   ├── ConfigError                  a config file or value that can't be read
    │   ├── OutputExistsError            the output stands already, or is the input
    │   └── UnrecognisedError            the detector's layout is open or unknown
    ├── ModelError                       a model file that is broken, hostile or unsupported
    ├── DataError                        images, videos or annotations that can't be used
    ├── OutputError                      an output that could not be written
    ├── EngineError                      an engine that could not load or run a model
    ├── MissingDependencyError           a package or library that is not installed
    ├── ChildFailureError                a child process that crashed, hung or failed
    ├── DeviceError                      a device that can't be reached, or gave no answer
    ├── GateNotMetError         exit 3   measured, and worse than what was asked for
    └── InterruptedByUser       exit 130 Ctrl-C

Anything else that escapes is a bug of edgecv and keeps its traceback under ``--verbose``.
"""

from __future__ import annotations

from typing import Any, ClassVar


class EdgeCVError(Exception):
    """A failure the user can act on: what went wrong and where, and what to type next.

    Attributes:
        problem: one sentence, naming the file, node or option.
        remedy: one sentence that begins with what to do.
    """

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "error"

    def __init__(self, problem: str, *, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem} ({self.remedy})"


class UsageError(EdgeCVError):
    """An option or a combination of options that makes no sense."""

    exit_code = 2
    kind = "usage"


class ConfigError(UsageError):
    """A configuration value or file that can't be read."""

    kind = "config"


class OutputExistsError(UsageError):
    """The output is there already, or is one of the inputs."""

    kind = "output-exists"


class UnrecognisedError(UsageError):
    """What a detector's outputs mean is unknown, or open between several readings."""

    kind = "unrecognised"


class ModelError(EdgeCVError):
    """A model file that is broken, hostile, or uses what is not supported."""

    kind = "model"


class DataError(EdgeCVError):
    """Images, videos or annotations that can't be used."""

    kind = "data"


class OutputError(EdgeCVError):
    """An output that could not be written."""

    kind = "output"


class EngineError(EdgeCVError):
    """An inference engine that could not load or run a model."""

    kind = "engine"


class MissingDependencyError(EdgeCVError):
    """A Python package or system library that is not installed."""

    kind = "dependency"


class ChildFailureError(EdgeCVError):
    """A child process that did not give its answer.

    Attributes:
        reason: ``crashed``, ``hung``, ``oom`` or ``error``.
        signal: number of the signal that ended the child, if one did.
        stderr_tail: the last lines the child wrote to standard error.
    """

    kind = "child"

    def __init__(
        self,
        problem: str,
        *,
        remedy: str,
        reason: str,
        signal: int | None = None,
        stderr_tail: str = "",
    ) -> None:
        super().__init__(problem, remedy=remedy)
        self.reason = reason
        self.signal = signal
        self.stderr_tail = stderr_tail


class DeviceError(EdgeCVError):
    """Another device that can't be reached, died, hangs, or answers with something else."""

    kind = "device"


class GateNotMetError(EdgeCVError):
    """The artifact was measured and is worse than what was asked for; nothing was saved.

    Attributes:
        result: the stage's whole result (a pydantic model) with ``saved`` unset.
    """

    exit_code = 3
    kind = "gate"

    def __init__(self, problem: str, *, remedy: str, result: Any) -> None:
        super().__init__(problem, remedy=remedy)
        self.result = result


class InterruptedByUser(EdgeCVError):  # noqa: N818 - an event, not a fault
    """The user pressed Ctrl-C; nothing half-written is left."""

    exit_code = 130
    kind = "interrupted"

    def __init__(self) -> None:
        super().__init__("interrupted", remedy="run the command again; nothing was half written")
