"""One row of a benchmark on the parent's side: its child process and what it has reported."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from edgecv_cli.core.errors import (
    ChildFailureError,
    EdgeCVError,
    InterruptedByUser,
    MissingDependencyError,
    UsageError,
)
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.measure.schedule import MAX_WARM_UP, STEADY_BLOCKS, block_count, is_steady

T = TypeVar("T")

_PROBE = 3  # inferences that tell how long a block has to be
_OPEN_SECONDS = 300.0
_BLOCK_SECONDS = 60.0  # a block that was planned to take a fraction of one


@dataclass(frozen=True)
class BenchRow:
    """What is timed: one model on one engine.

    Attributes:
        model: the file.
        engine: name, with an optional device after a colon.
        threads: of the engine; None is one per usable core.
        spec: how the detector is fed; None scales pictures to 0..1.
        input_size: [height, width] for a model that leaves it open.
    """

    model: Path
    engine: str = "onnxruntime"
    threads: int | None = None
    spec: DetectorSpec | None = None
    input_size: tuple[int, int] | None = None


class Timer(Protocol):
    """What answers for a child process."""

    def call(
        self, method: str, payload: dict[str, Any], timeout: float | None = None
    ) -> dict[str, Any]:
        """Carry out one request."""
        ...


StartTimer = Callable[[BenchRow], AbstractContextManager[Timer]]


@dataclass
class Lane:
    """A row with its child; after its first failure it stays out of every round."""

    row: BenchRow
    start: StartTimer
    load_ns: int | None = None
    first_ns: int | None = None
    provider: str | None = None
    batch: int | None = None
    peak_rss_bytes: int | None = None
    inference_ns: float = 0.0
    block: int = 0
    steady: bool = False
    rounds: list[list[int]] = field(default_factory=list)
    failure: EdgeCVError | None = None
    _child: AbstractContextManager[Timer] | None = None
    _timer: Timer | None = None

    def open(self, seed: int) -> None:
        """Start the child and have it load the model."""
        row = self.row
        self._guard(self._enter)
        answer = self._call(
            "open",
            {
                "model": str(row.model.absolute()),
                "engine": row.engine,
                "threads": row.threads,
                "spec": row.spec.model_dump(mode="json") if row.spec else None,
                "input_size": list(row.input_size) if row.input_size else None,
                "seed": seed,
            },
            _OPEN_SECONDS,
        )
        if answer is not None:
            self.load_ns, self.first_ns = answer["load_ns"], answer["first_ns"]
            self.provider, self.batch = answer["provider"], answer.get("batch")

    def warm_up(self, block_seconds: float) -> None:
        """Run blocks of about that length until their median is steady, within bounds."""
        times = self._time_block(_PROBE)
        medians: list[float] = []
        while times and not self.steady and len(medians) < MAX_WARM_UP:
            times = self._time_block(
                block_count(float(np.median(times)), block_seconds=block_seconds)
            )
            if times:
                medians.append(float(np.median(times)))
                self.steady = is_steady(medians)
        if self.failure is None:
            self.inference_ns = float(np.median(medians[-STEADY_BLOCKS:]))

    def run_round(self) -> None:
        """Time one block of ``block`` inferences and keep it."""
        times = self._time_block(self.block)
        if times:
            self.rounds.append(times)

    def close(self) -> None:
        """Ask for the peak memory, then end the child."""
        if self._timer is not None:
            with suppress(ChildFailureError):  # the times stand without it
                answer = self._timer.call("memory", {}, _BLOCK_SECONDS)
                self.peak_rss_bytes = answer["peak_rss_bytes"]
        self.end()

    def end(self) -> None:
        """End the child, whatever state it is in."""
        child, self._child, self._timer = self._child, None, None
        if child is not None:
            child.__exit__(None, None, None)

    def _enter(self) -> None:
        child = self.start(self.row)
        self._timer = child.__enter__()
        self._child = child

    def _time_block(self, count: int) -> list[int]:
        answer = self._call("block", {"count": count}, self._patience(count))
        times: list[int] = answer["ns"] if answer is not None else []
        return times

    def _patience(self, count: int) -> float:
        return _BLOCK_SECONDS + 20 * count * (self.first_ns or 0) / 1e9

    def _call(self, method: str, payload: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        timer = self._timer
        if timer is None:
            return None
        return self._guard(lambda: timer.call(method, payload, seconds))

    def _guard(self, action: Callable[[], T]) -> T | None:
        """Run an action of the child's; what goes wrong there is this row's error alone.

        What the user asked for wrongly, and Ctrl-C, concern the whole benchmark.
        """
        try:
            return action()
        except (UsageError, MissingDependencyError, InterruptedByUser):
            raise
        except EdgeCVError as error:
            self.failure = error
            self.end()
            return None

    def error_text(self) -> str | None:
        """Say in one line what went wrong, if anything did."""
        if self.failure is None:
            return None
        if isinstance(self.failure, ChildFailureError):
            return f"{self.failure.reason}: {self.failure.problem}"
        return self.failure.problem
