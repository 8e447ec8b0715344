"""Have a process of its own run a model and tell the time of each operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from edgecv_cli.core.child import Child, Limits
from edgecv_cli.core.context import Context
from edgecv_cli.core.machine_limits import memory_bytes
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.runtime.operators import OperatorTime

_START_SECONDS = 120.0
_SLOWER = 20.0  # a profiled inference may take this many times as long as a timed one


@dataclass(frozen=True)
class Seen:
    """What a child saw of a model's operators.

    Attributes:
        operators: with one time each, in nanoseconds.
        wall_ns: the inferences as a whole, without the first.
        statistic: what each operator's time is over these inferences.
        provider: what ran the model, as the engine reports it.
    """

    operators: tuple[OperatorTime, ...]
    wall_ns: tuple[int, ...]
    statistic: Literal["median", "mean"]
    provider: str


def see_operators(row: BenchRow, *, inferences: int, context: Context, inference_ms: float) -> Seen:
    """Have a child process run a model and tell the time of each operator.

    Args:
        row: what to run.
        inferences: how many count; one more is run first.
        context: cancellation and the seed of the inputs.
        inference_ms: what one took when it was timed, to know how long to wait.

    Raises:
        EdgeCVError: the child failed, or the engine can't tell.
    """
    patience = row.patience_s + _SLOWER * (inferences + 1) * inference_ms / 1000
    child = Child(
        "operators",
        name=f"profiling {row.model.name} on {row.engine}",
        limits=Limits(_START_SECONDS, memory_bytes()),
        cancel=context.cancel,
    )
    with child:
        answer = child.call("profile", request_of(row, inferences, context.seed), patience)
    return Seen(
        operators=tuple(
            OperatorTime(**{**one, "ns": tuple(one["ns"])}) for one in answer["operators"]
        ),
        wall_ns=tuple(answer["wall_ns"]),
        statistic=answer["statistic"],
        provider=answer["provider"],
    )


def request_of(row: BenchRow, inferences: int, seed: int) -> dict[str, Any]:
    """Return what the operator service is asked."""
    return {
        "model": str(row.model.absolute()),
        "engine": row.engine,
        "threads": row.threads,
        "affinity": None if row.affinity is None else list(row.affinity),
        "spec": row.spec.model_dump(mode="json") if row.spec else None,
        "input_size": list(row.input_size) if row.input_size else None,
        "seed": seed,
        "inferences": inferences,
    }
