"""One engine run at a time: an execution context with a stream and memory on the device."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import EngineError
from edgecv_cli.runtime.base import still_running
from edgecv_cli.runtime.carried.cuda_runtime import Cuda, CudaError

_POLL_SECONDS = 0.0005
_AGAIN = "run `edgecv doctor`, and build the engine again"


class Lane:
    """Copies in, runs and copies out on a stream of its own; memory is taken once and kept.

    Attributes:
        context: TensorRT's execution context.
    """

    def __init__(self, engine: Any, cuda: Cuda, outputs: Mapping[str, np.dtype[Any]]) -> None:
        """Make the context and the stream.

        Args:
            engine: a deserialized engine.
            cuda: the CUDA runtime.
            outputs: names of the outputs with what numpy calls their types.

        Raises:
            EngineError: there is not enough memory on the device.
        """
        self.context = engine.create_execution_context()
        if self.context is None:
            raise failed("it has no memory for another run", "close other programs on the GPU")
        self._cuda, self._outputs = cuda, outputs
        self._held = _Held(cuda)
        self._free = weakref.finalize(self, self._held.free)
        self._reading: list[NDArray[Any]] = []
        self._writing: dict[str, NDArray[Any]] | None = None

    @property
    def running(self) -> bool:
        """Whether a run was started that nobody has waited for."""
        return self._writing is not None

    def pin(self, arrays: Iterable[NDArray[Any]]) -> None:
        """Keep arrays where they are in memory, for faster copies."""
        for array in arrays:
            self._held.pin(array)

    def start(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        """Begin a run.

        Raises:
            EngineError: one is under way, or TensorRT or CUDA fails.
        """
        if self._writing is not None:
            raise still_running()
        try:
            self._begin(feeds)
        except CudaError as error:
            raise failed(str(error)) from error

    def _begin(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        stream = self._held.stream
        self._reading = [np.ascontiguousarray(array) for array in feeds.values()]
        for name, array in zip(feeds, self._reading, strict=True):
            if not self.context.set_input_shape(name, array.shape):
                raise failed(
                    f"the engine takes no {name} of {list(array.shape)}",
                    "feed no more pictures at once than --max-batch said when it was built",
                )
            place = self._held.place(name, array.nbytes)
            self._cuda.upload(place, array, stream)
            self.context.set_tensor_address(name, place)
        made = {name: np.empty(self._shape(name), kind) for name, kind in self._outputs.items()}
        for name, array in made.items():
            self.context.set_tensor_address(name, self._held.place(name, array.nbytes))
        if not self.context.execute_async_v3(stream):
            raise failed("it refused to run")
        for name, array in made.items():
            self._cuda.download(array, self._held.place(name, array.nbytes), stream)
        self._writing = made

    def wait(self, timeout: float | None) -> dict[str, NDArray[Any]]:
        """Block until the outputs are there (seconds; None: forever).

        Raises:
            EngineError: the run failed, or took longer.
        """
        made = self._writing
        assert made is not None
        try:
            if timeout is not None:
                self._poll(timeout)
            self._cuda.wait(self._held.stream)
        except CudaError as error:
            self._writing = None
            raise failed(str(error)) from error
        self._writing = None
        return made

    def _poll(self, timeout: float) -> None:
        end = time.monotonic() + timeout
        while not self._cuda.done(self._held.stream):
            if time.monotonic() > end:
                raise EngineError(
                    f"TensorRT gave no answer within {timeout:g} s", remedy="wait longer"
                )
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """Wait for what is under way, and free the memory."""
        self._free()

    def _shape(self, name: str) -> tuple[int, ...]:
        shape = tuple(self.context.get_tensor_shape(name))
        if any(size < 0 for size in shape):
            raise failed(
                f"the size of output {name} hangs on what is found, {list(shape)}",
                "convert the model without NMS in its graph, or with a fixed number of boxes",
            )
        return shape


class _Held:
    """What a lane holds of the device, freed together."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._places: dict[str, tuple[int, int]] = {}
        self._pinned: list[NDArray[Any]] = []
        try:
            self.stream = cuda.stream()
        except CudaError as error:
            raise failed(str(error)) from error

    def place(self, name: str, size: int) -> int:
        """Return memory of at least that size for a tensor: what it had, where that is enough."""
        pointer, there = self._places.get(name, (0, -1))
        if size > there:
            if there >= 0:
                self._cuda.wait(self.stream)
                self._cuda.free(pointer)
            pointer = self._cuda.allocate(size)
            self._places[name] = pointer, size
        return pointer

    def pin(self, array: NDArray[Any]) -> None:
        if self._cuda.pin(array):
            self._pinned.append(array)

    def free(self) -> None:
        try:
            self._cuda.wait(self.stream)
            for array in self._pinned:
                self._cuda.unpin(array)
            for pointer, _ in self._places.values():
                self._cuda.free(pointer)
            self._cuda.end(self.stream)
        except CudaError:
            return  # the device is lost, and its memory with it


def failed(
    problem: str, remedy: str = "run `edgecv doctor`, and build the engine again"
) -> EngineError:
    """Return what is said where TensorRT or CUDA fails."""
    return EngineError(f"TensorRT failed to run the model: {problem}", remedy=remedy)
