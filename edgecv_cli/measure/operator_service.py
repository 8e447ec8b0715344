"""The child's side of an operator profile: loads one model and has the engine keep times."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.measure.latency_service import stay_on
from edgecv_cli.measure.pictures import network_feeds
from edgecv_cli.runtime.base import Runner
from edgecv_cli.runtime.opening import open_runner
from edgecv_cli.runtime.operators import operator_times

_PICTURES = 4


class OperatorService:
    """Answers ``profile``; times are nanoseconds."""

    def call(self, method: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Carry out one request of the parent.

        Raises:
            EdgeCVError: the model can't be loaded or run, or the engine keeps no such times.
            ValueError: there is no such method.
        """
        if method != "profile":
            raise ValueError(f"the operator service has no method {method!r}")
        return _profile(payload)


def _profile(payload: dict[str, Any]) -> dict[str, Any]:
    stay_on(payload.get("affinity"))
    artifact = Artifact.open(Path(payload["model"]))
    with closing(
        open_runner(artifact, payload["engine"], payload.get("threads"), profile=True)
    ) as runner:
        wall = _run(runner, payload)
        operators = operator_times(runner)
        provider = runner.execution.provider
    several = any(len(one.ns) > 1 for one in operators)
    return {
        "operators": [{**asdict(one), "ns": [median(one.ns)]} for one in operators],
        "wall_ns": wall[1:],
        "statistic": "median" if several or payload["inferences"] == 1 else "mean",
        "provider": provider,
    }


def _run(runner: Runner, payload: dict[str, Any]) -> list[int]:
    """Return the nanoseconds of one inference more than were asked for."""
    spec, size = payload.get("spec"), payload.get("input_size")
    feeds = network_feeds(
        runner.inputs,
        count=_PICTURES,
        seed=payload["seed"],
        spec=None if spec is None else DetectorSpec.model_validate(spec),
        size=None if size is None else (size[0], size[1]),
    )
    wall = []
    for number in range(payload["inferences"] + 1):
        started = time.perf_counter_ns()
        runner.infer(feeds[number % len(feeds)])
        wall.append(time.perf_counter_ns() - started)
    return wall
