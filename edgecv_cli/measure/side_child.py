"""Figures beside latency: each row in a process of its own, in turns, like the timing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from edgecv_cli.core.child import Child, Limits
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    EdgeCVError,
    InterruptedByUser,
    MissingDependencyError,
    UsageError,
)
from edgecv_cli.core.machine_limits import memory_bytes
from edgecv_cli.measure.lane import BenchRow, Timer
from edgecv_cli.measure.schedule import interleaved

_START_SECONDS = 120.0
_CALL_SECONDS = 60.0

StartSide = Callable[[BenchRow, str], Any]
"""Makes the child process of a row that runs a service, not yet started."""


@dataclass
class Side:
    """One row's process; after its first failure it stays out of every turn.

    Attributes:
        row: what it runs.
        opened: what it answered to ``open``.
        failure: what went wrong.
        turns: what it answered in each turn.
    """

    row: BenchRow
    opened: dict[str, Any] = field(default_factory=dict)
    failure: EdgeCVError | None = None
    turns: list[dict[str, Any]] = field(default_factory=list)
    _timer: Timer | None = None

    def call(
        self, method: str, payload: Mapping[str, Any], seconds: float
    ) -> dict[str, Any] | None:
        """Carry out one request; None after a failure."""
        if self.failure is not None or self._timer is None:
            return None
        try:
            return self._timer.call(method, dict(payload), seconds)
        except (UsageError, MissingDependencyError, InterruptedByUser):
            raise
        except EdgeCVError as error:
            self.failure = error
            return None

    def enter(self, stack: ExitStack, start: StartSide, service: str) -> None:
        """Start the process; ``stack`` ends it."""
        try:
            self._timer = stack.enter_context(start(self.row, service))
        except (UsageError, MissingDependencyError, InterruptedByUser):
            raise
        except EdgeCVError as error:
            self.failure = error


def take_turns(
    rows: Sequence[BenchRow],
    service: str,
    payloads: Sequence[Mapping[str, Any]],
    plan: Callable[[dict[str, Any]], dict[str, Any]],
    *,
    rounds: Callable[[Sequence[Side]], int],
    name: str,
    context: Context,
    start: StartSide | None = None,
) -> list[Side]:
    """Run a service for every row, in rounds of random order, one process at a time.

    Args:
        rows: what is run.
        service: of ``edgecv_cli._child``; it answers ``open`` and ``turn``.
        payloads: what ``open`` takes beside the row, one entry a row.
        plan: from the answer to ``open`` to what ``turn`` takes.
        rounds: from the opened sides to how many turns each has.
        name: of the work, for the progress bar.
        context: progress, cancellation and the seed of the order.
        start: makes a process.
    """
    begin = start or (lambda row, service: start_side(row, service, context))
    sides = [Side(row) for row in rows]
    with ExitStack() as stack:
        for side, payload in zip(sides, payloads, strict=True):
            context.cancel.check()
            side.enter(stack, begin, service)
            asked = {**row_request(side.row, context.seed), **payload}
            side.opened = side.call("open", asked, side.row.patience_s) or {}
        turns = [plan(side.opened) for side in sides]
        count = rounds([side for side in sides if side.failure is None])
        with context.progress.task(name, count, "round") as task:
            for order in interleaved(len(sides), count, context.seed):
                for place in order:
                    context.cancel.check()
                    answer = sides[place].call("turn", turns[place], _CALL_SECONDS)
                    if answer is not None:
                        sides[place].turns.append(answer)
                task.advance()
    return sides


def start_side(row: BenchRow, service: str, context: Context) -> Child:
    """Return the process that runs a service for a row, not yet started."""
    return Child(
        service,
        name=f"running {row.model.name} on {row.engine}",
        limits=Limits(_START_SECONDS, memory_bytes()),
        cancel=context.cancel,
    )


def row_request(row: BenchRow, seed: int) -> dict[str, Any]:
    """Return what a service is told of a row."""
    return {
        "model": str(row.model.absolute()),
        "engine": row.engine,
        "threads": row.threads,
        "affinity": None if row.affinity is None else list(row.affinity),
        "spec": row.spec.model_dump(mode="json") if row.spec else None,
        "input_size": list(row.input_size) if row.input_size else None,
        "seed": seed,
    }
