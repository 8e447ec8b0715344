"""Figures beside latency: each row in a process of its own, in turns, like the timing itself."""

from __future__ import annotations

import math
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

FEWEST_TURNS = 5
_START_SECONDS = 120.0
_CALL_SECONDS = 60.0

StartSide = Callable[[BenchRow, str], Any]
"""Makes the child process of a row that runs a service, not yet started."""

Turns = tuple[int, Sequence[Mapping[str, Any]]]
"""How many turns each row has, and what each row's is asked to do."""


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

    def take_turn(self, payload: Mapping[str, Any]) -> None:
        """Keep the answer to one turn, if there is one."""
        answer = self.call("turn", payload, max(_CALL_SECONDS, self.row.patience_s))
        if answer is not None:
            self.turns.append(answer)

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
    plan: Callable[[Sequence[dict[str, Any]]], Turns],
    *,
    name: str,
    context: Context,
    at_most: float = math.inf,
    start: StartSide | None = None,
) -> list[Side]:
    """Run a service for every row, in rounds of random order, one process at a time.

    Args:
        rows: what is run.
        service: of ``edgecv_cli._child``; it answers ``open`` and ``turn``.
        payloads: what ``open`` takes beside the row, one entry a row.
        plan: from the answers to ``open`` to how many turns there are, and what each row's
            ``turn`` takes; of a row that can't be opened the answer is empty.
        name: of the work, for the progress bar.
        context: progress, cancellation and the seed of the order.
        at_most: seconds of all rows together, after which no other round begins.
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
        count, turns = plan([side.opened for side in sides])
        began = context.clock()
        with context.progress.task(name, count, "round") as task:
            for order in interleaved(len(sides), count, context.seed):
                if context.clock() - began > at_most * 1e9:
                    break
                for place in order:
                    context.cancel.check()
                    sides[place].take_turn(turns[place])
                task.advance()
    return sides


def share_rounds(least: Sequence[float], seconds: float) -> tuple[int, float]:
    """Return how many turns fit into each row's seconds, and how long a turn then is.

    Args:
        least: seconds that each row's turn takes at least.
        seconds: of each row.
    """
    count = max(FEWEST_TURNS, math.floor(seconds / max(least) + 1e-6))
    return count, seconds / count


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
