"""The child's side of throughput: several inferences in flight at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.errors import EngineError
from edgecv_cli.core.tensors import is_image
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.measure.latency_service import stay_on
from edgecv_cli.measure.pictures import network_feeds
from edgecv_cli.measure.schedule import settling
from edgecv_cli.runtime.base import Request
from edgecv_cli.runtime.opening import open_runner

Clock = Callable[[], int]
_WARM_UP = 3


class ThroughputService:
    """Answers ``open``, and ``turn`` with seconds to fill or queries to answer.

    Each stream is a thread with a request and buffers of its own. Turns of ``seconds`` return how
    many inferences fell into them (the last of each stream in part, or the wait for the slowest
    would count as idle time) and how long each took; turns of ``queries`` return how long each
    query took, which is ``samples`` inferences at once.

    Args:
        clock: nanoseconds.
    """

    def __init__(self, clock: Clock = time.perf_counter_ns) -> None:
        self._clock = clock
        self._requests: Sequence[Request] = ()
        self._pool = ThreadPoolExecutor(1)
        self._inference_ns = 0

    def call(self, method: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Carry out one request of the parent.

        Raises:
            EdgeCVError: the model can't be loaded or run, or leaves its size open.
            ValueError: there is no such method.
        """
        if method == "open":
            return self._open(payload)
        if method == "turn":
            return self._turn(payload)
        raise ValueError(f"the throughput service has no method {method!r}")

    def _open(self, payload: dict[str, Any]) -> dict[str, Any]:
        stay_on(payload.get("affinity"))
        streams = payload["streams"]
        artifact = Artifact.open(Path(payload["model"]))
        runner = open_runner(artifact, payload["engine"], payload.get("threads"), streams=streams)
        spec, size = payload.get("spec"), payload.get("input_size")
        feeds = network_feeds(
            runner.inputs,
            count=streams,
            seed=payload["seed"],
            spec=None if spec is None else DetectorSpec.model_validate(spec),
            size=None if size is None else (size[0], size[1]),
        )
        self._requests = runner.requests(streams)
        for request, feed in zip(self._requests, feeds, strict=True):
            for name, values in feed.items():
                request.inputs[name][...] = values
        self._pool = ThreadPoolExecutor(streams)
        for _ in range(_WARM_UP):
            self._query(streams)
        self._inference_ns = self._query(streams)
        images = next((len(one) for one in feeds[0].values() if is_image(one.shape)), 1)
        return {
            "provider": runner.execution.provider,
            "images": images,
            "streams": streams,
            "inference_ns": self._inference_ns,
        }

    def _turn(self, payload: dict[str, Any]) -> dict[str, Any]:
        if not self._requests:
            raise EngineError("no model is open", remedy="open one before running it")
        for _ in range(settling(self._inference_ns)):  # another row has had the caches
            self._query(len(self._requests))
        if "seconds" in payload:
            return self._fill(payload["seconds"])
        return {"ns": [self._query(payload["samples"]) for _ in range(payload["queries"])]}

    def _fill(self, seconds: float) -> dict[str, Any]:
        begin = self._clock()
        until = begin + round(seconds * 1e9)
        done = [self._pool.submit(self._until, request, until) for request in self._requests]
        spans = [span for one in done for span in one.result()]
        return {
            "inferences": sum(_inside(span, until) for span in spans),
            "seconds": seconds,
            "ns": [end - start for start, end in spans],
        }

    def _until(self, request: Request, until: int) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        start = self._clock()
        while not spans or start < until:  # once, however late a busy machine lets it begin
            request.run()
            end = self._clock()
            spans.append((start, end))
            start = end
        return spans

    def _query(self, samples: int) -> int:
        """Return how long it took until all samples of a query were answered."""
        waiting = iter(range(samples))  # next() on it is one step of the interpreter
        first, *others = self._requests
        begin = self._clock()
        done = [self._pool.submit(self._answer, request, waiting) for request in others]
        self._answer(first, waiting)  # this thread is one of them: handing work over takes time
        for one in done:
            one.result()
        return self._clock() - begin

    @staticmethod
    def _answer(request: Request, waiting: Any) -> None:
        for _ in waiting:
            request.run()


def _inside(span: tuple[int, int], until: int) -> float:
    """Return which part of an inference lies before the end of the turn."""
    start, end = span
    return 1.0 if end <= until else max(0.0, (until - start) / (end - start))
