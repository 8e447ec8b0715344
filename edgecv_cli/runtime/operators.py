"""What an engine tells of the nodes that it really runs: how long each took, and in what type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from edgecv_cli.core.errors import EngineError
from edgecv_cli.runtime.base import Runner


@dataclass(frozen=True)
class OperatorTime:
    """One node of the graph that an engine made of a file; it may be several of the file's.

    Attributes:
        name: the engine's own name for it, which mostly begins with a node's or tensor's.
        kind: operator, in the engine's words: ``Conv``, ``QLinearConv``, ``Reorder``.
        kernel: what carried it out, where the engine says so.
        provider: where it ran.
        precision: numpy name of the type that it works in; unsigned 8 bits are ``int8`` too.
            ``unknown`` where the engine does not show it.
        weighted: whether it multiplies by stored weights, as far as the engine shows that.
        ns: nanoseconds in each inference but the first; a single mean where the engine keeps
            no more than that.
        calls: how often it runs in one inference.
    """

    name: str
    kind: str
    kernel: str | None
    provider: str
    precision: str
    weighted: bool
    ns: tuple[float, ...]
    calls: int = 1


@runtime_checkable
class Profiled(Protocol):
    """A runner that keeps the time of each node; opened with ``EngineOptions.profile``."""

    def operator_times(self) -> tuple[OperatorTime, ...]:
        """Return what each node took so far; the recording ends with that."""
        ...


def operator_times(runner: Runner) -> tuple[OperatorTime, ...]:
    """Return what each node took in the inferences so far, in the order that they run.

    Raises:
        EngineError: the engine keeps no times by operator, the model was not opened for that, or
            fewer than two inferences were run.
    """
    if not isinstance(runner, Profiled):
        raise EngineError(
            f"engine {runner.execution.engine} keeps no times by operator",
            remedy="use --engine onnxruntime",
        )
    found = runner.operator_times()
    if not found:
        raise EngineError("no operator was timed", remedy="run the model at least twice before")
    return found


def not_recording() -> EngineError:
    """Return what a runner says that was not opened to keep times."""
    return EngineError(
        "the model was not opened to time its operators", remedy="open it with profile=True"
    )
