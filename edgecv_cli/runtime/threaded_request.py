"""Requests of engines that have none of their own: a thread each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import EngineError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.runtime.base import still_running

Infer = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]


class ThreadedRequest:
    """One inference in flight, on a thread of its own; an engine's own threads are the model's.

    Args:
        infer: runs once and returns every output by name.
        inputs: what it is fed; open sizes count as 1.
        engine: as people call it, for messages.
    """

    def __init__(self, infer: Infer, inputs: Sequence[TensorSpec], engine: str) -> None:
        self._infer, self._engine = infer, engine
        self._thread = ThreadPoolExecutor(1, "request")
        self._started: Future[dict[str, NDArray[Any]]] | None = None
        self.inputs: Mapping[str, NDArray[Any]] = {
            spec.name: np.zeros([size or 1 for size in spec.shape], spec.dtype) for spec in inputs
        }
        self.outputs: Mapping[str, NDArray[Any]] = {}

    def start(self) -> None:
        """Begin on the current inputs.

        Raises:
            EngineError: the request is still running.
        """
        self._require_idle()
        self._started = self._thread.submit(self._infer, self.inputs)

    def wait(self, timeout: float | None = None) -> None:
        """Block until the outputs are there.

        Raises:
            EngineError: the run failed, or took longer than ``timeout`` seconds.
        """
        if self._started is None:
            return
        try:
            self.outputs = self._started.result(timeout)
        except TimeoutError as error:
            raise EngineError(
                f"{self._engine} gave no answer within {timeout:g} s", remedy="wait longer"
            ) from error

    def run(self) -> None:
        """Run on the current inputs in the calling thread: changing threads takes time.

        Raises:
            EngineError: the run failed, or the request is still running.
        """
        self._require_idle()
        self._started = None
        self.outputs = self._infer(self.inputs)

    def _require_idle(self) -> None:
        if self._started is not None and not self._started.done():
            raise still_running()
