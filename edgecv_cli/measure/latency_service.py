"""The child's side of a benchmark: loads one model and times blocks of inferences."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.errors import EngineError, UsageError
from edgecv_cli.core.tensors import is_image
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.measure.debug_builds import debug_note
from edgecv_cli.measure.footprint import peak_rss_bytes, reset_peak_rss
from edgecv_cli.measure.input_check import zero_inputs
from edgecv_cli.measure.pictures import network_feeds
from edgecv_cli.runtime.base import Runner
from edgecv_cli.runtime.opening import open_runner

_PICTURES = 4


class LatencyService:
    """Answers ``open``, ``block`` and ``memory``; times are raw nanoseconds of one inference.

    Only the engine's inference is timed, on inputs that were made before; a block can begin with
    some that are not timed.
    """

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._feeds: list[dict[str, NDArray[Any]]] = []
        self._next = 0
        self._loading_peak = 0

    def call(self, method: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Carry out one request of the parent.

        Raises:
            EdgeCVError: the model can't be loaded or run.
            ValueError: there is no such method.
        """
        if method == "open":
            return self._open(payload)
        if method == "block":
            for _ in range(payload.get("settling", 0)):
                self._once()
            return {"ns": [self._once() for _ in range(payload["count"])]}
        if method == "memory":
            return {"peak_rss_bytes": max(self._loading_peak, peak_rss_bytes())}
        raise ValueError(f"the latency service has no method {method!r}")

    def _open(self, payload: dict[str, Any]) -> dict[str, Any]:
        spec, size = payload.get("spec"), payload.get("input_size")
        stay_on(payload.get("affinity"))
        artifact = Artifact.open(Path(payload["model"]))
        started = time.perf_counter_ns()
        self._runner = open_runner(
            artifact,
            payload["engine"],
            payload.get("threads"),
            model_cache=payload.get("model_cache", False),
        )
        loaded = time.perf_counter_ns()
        self._loading_peak = peak_rss_bytes()
        self._feeds = network_feeds(
            self._runner.inputs,
            count=_PICTURES,
            seed=payload["seed"],
            spec=None if spec is None else DetectorSpec.model_validate(spec),
            size=None if size is None else (size[0], size[1]),
        )
        reset_peak_rss()  # drawing the pictures is not the model's doing
        return {
            "load_ns": loaded - started,
            "first_ns": self._once(),
            "from_cache": self._runner.execution.from_cache,
            "provider": self._runner.execution.provider,
            "batch": _batch(self._feeds[0]),
            "notes": list(
                filter(None, [zero_inputs(self._feeds), debug_note(self._runner.execution)])
            ),
        }

    def _once(self) -> int:
        if self._runner is None:
            raise EngineError("no model is open", remedy="open one before timing a block")
        feeds = self._feeds[self._next % len(self._feeds)]
        self._next += 1
        started = time.perf_counter_ns()
        self._runner.infer(feeds)
        return time.perf_counter_ns() - started


def stay_on(cores: Sequence[int] | None) -> None:
    """Keep this process, and the threads that it will start, on some logical cores.

    Raises:
        UsageError: one of them is not there for this process, or the system can't do it.
    """
    if cores is None:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise UsageError("this system can't keep a process on some cores", remedy="drop --affinity")
    there = os.sched_getaffinity(0)
    if not there.issuperset(cores):
        missing = ", ".join(str(core) for core in sorted(set(cores) - there))
        raise UsageError(
            f"--affinity names a core that is not there for this process: {missing}",
            remedy=f"choose from {', '.join(str(core) for core in sorted(there))}",
        )
    os.sched_setaffinity(0, cores)


def _batch(feeds: dict[str, NDArray[Any]]) -> int | None:
    """Return how many pictures one inference takes, if it takes any."""
    return next((len(array) for array in feeds.values() if is_image(array.shape)), None)
