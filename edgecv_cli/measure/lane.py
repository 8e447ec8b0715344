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
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.measure.energy import EnergyTally
from edgecv_cli.measure.schedule import MAX_WARM_UP, STEADY_BLOCKS, block_count, is_steady

T = TypeVar("T")

_PROBE = 3  # inferences that tell how long a block has to be
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
        affinity: the logical cores that its process may run on; None is all.
        patience_s: seconds that it may take to load and to answer for the first time.
        model_cache: whether it may be loaded from what an earlier start compiled.
        refused: why it is not started at all; it is a row without figures then.
    """

    model: Path
    engine: str = "onnxruntime"
    threads: int | None = None
    spec: DetectorSpec | None = None
    input_size: tuple[int, int] | None = None
    affinity: tuple[int, ...] | None = None
    patience_s: float = 300.0
    model_cache: bool = False
    refused: EdgeCVError | None = None

    @property
    def cores(self) -> int:
        """Logical cores that it may run on."""
        return usable_cores() if self.affinity is None else len(self.affinity)


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
    """A row with its child; after its first failure it stays out of every round.

    Attributes:
        row: what is timed.
        start: makes its child process.
        launches: nanoseconds of single inferences, [launch][round][inference].
        load_ns, first_ns, from_cache: one entry a launch.
        block, settling: inferences of a round that are timed, and those before them that are not.
        inference_ns: one warm inference.
        unsteady: launches whose warm-up ended without a steady median.
        notes: what the child has to say of what it runs.
        energy: adds up what its blocks take; None without a sensor.
    """

    row: BenchRow
    start: StartTimer
    launches: list[list[list[int]]] = field(default_factory=list)
    load_ns: list[int] = field(default_factory=list)
    first_ns: list[int] = field(default_factory=list)
    from_cache: list[bool | None] = field(default_factory=list)
    provider: str | None = None
    batch: int | None = None
    peak_rss_bytes: int | None = None
    inference_ns: float = 0.0
    block: int = 0
    settling: int = 0
    unsteady: int = 0
    notes: list[str] = field(default_factory=list)
    energy: EnergyTally | None = None
    failure: EdgeCVError | None = None
    _child: AbstractContextManager[Timer] | None = None
    _timer: Timer | None = None

    def __post_init__(self) -> None:
        """Keep out of every round what is not to be started."""
        self.failure = self.row.refused

    @property
    def rounds(self) -> list[list[int]]:
        """The rounds of all launches."""
        return [block for launch in self.launches for block in launch]

    def open(self, seed: int) -> None:
        """Start a child and have it load the model; nothing after a failure."""
        if self.failure is not None:
            return
        row = self.row
        self._guard(self._enter)
        answer = self._call(
            "open",
            {
                "model": str(row.model.absolute()),
                "engine": row.engine,
                "threads": row.threads,
                "affinity": None if row.affinity is None else list(row.affinity),
                "spec": row.spec.model_dump(mode="json") if row.spec else None,
                "input_size": list(row.input_size) if row.input_size else None,
                "seed": seed,
                "model_cache": row.model_cache,
            },
            row.patience_s,
        )
        if answer is not None:
            self.launches.append([])
            self.load_ns.append(answer["load_ns"])
            self.first_ns.append(answer["first_ns"])
            self.from_cache.append(answer.get("from_cache"))
            self.provider, self.batch = answer["provider"], answer.get("batch")
            self.notes = list(answer.get("notes", ()))

    def warm_up(self, block_seconds: float) -> None:
        """Run blocks of about that length until their median is steady, within bounds."""
        times = self._time_block(_PROBE)
        medians: list[float] = []
        while times and not is_steady(medians) and len(medians) < MAX_WARM_UP:
            times = self._time_block(
                block_count(float(np.median(times)), block_seconds=block_seconds)
            )
            if times:
                medians.append(float(np.median(times)))
        if self.failure is None:
            self.unsteady += not is_steady(medians)
            self.inference_ns = float(np.median(medians[-STEADY_BLOCKS:]))

    def run_round(self) -> None:
        """Time one block of ``block`` inferences and keep it, and what energy it took."""
        if self.energy is None:
            self._run_block()
            return
        with self.energy.meter.measure() as taken:
            inferences = self._run_block()
        self.energy.add(taken, inferences)

    def close(self) -> None:
        """Ask for the peak memory, then end the child."""
        if self._timer is not None:
            with suppress(ChildFailureError):  # the times stand without it
                answer = self._timer.call("memory", {}, _BLOCK_SECONDS)
                self.peak_rss_bytes = max(self.peak_rss_bytes or 0, answer["peak_rss_bytes"])
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

    def _run_block(self) -> int:
        times = self._time_block(self.block, self.settling)
        if not times:
            return 0
        self.launches[-1].append(times)
        return len(times) + self.settling

    def _time_block(self, count: int, settling: int = 0) -> list[int]:
        asked = {"count": count, "settling": settling}
        answer = self._call("block", asked, self._patience(count + settling))
        times: list[int] = answer["ns"] if answer is not None else []
        return times

    def _patience(self, count: int) -> float:
        return _BLOCK_SECONDS + 20 * count * max(self.first_ns, default=0) / 1e9

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
