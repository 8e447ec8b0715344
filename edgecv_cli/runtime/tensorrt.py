"""Classic TensorRT: engines that were built for the GPU of this machine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.artifact.sidecar import read_sidecar
from edgecv_cli.core.errors import EngineError
from edgecv_cli.core.require import require
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.runtime.base import Availability, EngineOptions, Execution
from edgecv_cli.runtime.carried.cuda_runtime import Cuda, CudaError
from edgecv_cli.runtime.carried.engine_layers import weighted, worked
from edgecv_cli.runtime.tensorrt_lane import Lane, failed

if TYPE_CHECKING:
    from edgecv_cli.artifact.artifact import Artifact

_MODULE = "tensorrt"
_DISTRIBUTIONS = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12")
_INSTALL = "pip install tensorrt; on a Jetson: apt-get install python3-libnvinfer"
_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}
_LEAST_SHARE = 0.8  # of the layers meant for int8: some have no such kernel


class TensorRtEngine:
    """Runs engines of classic TensorRT on the first GPU."""

    name = "tensorrt"
    extra = ""
    formats = frozenset({"tensorrt"})

    def __init__(self, *, trusted: bool = False) -> None:
        """Take engines with code of their own inside only where they are ``trusted``."""
        self._trusted = trusted

    def availability(self) -> Availability:
        """Say whether TensorRT's Python package is installed; a GPU shows when one is opened."""
        version = None
        for distribution in _DISTRIBUTIONS:
            with suppress(importlib.metadata.PackageNotFoundError):
                version = version or importlib.metadata.version(distribution)
        try:
            found = importlib.util.find_spec(_MODULE) is not None
        except (ImportError, ValueError):
            found = False
        return Availability(found, version, ("gpu",) if found else (), None if found else _INSTALL)

    def open(self, artifact: Artifact, options: EngineOptions) -> TensorRtRunner:
        """Load an engine.

        Raises:
            EngineError: there is no such device, a precision is asked for, or TensorRT does not
                load the file.
            MissingDependencyError: TensorRT is not installed.
        """
        device = (options.device or "gpu").lower()
        if device != "gpu":
            raise EngineError(
                f"engine tensorrt offers no device '{device}'", remedy="use --engine tensorrt"
            )
        if options.precision:
            raise EngineError(
                f"engine tensorrt offers no precision '{options.precision}': it was decided when "
                "the engine was built",
                remedy="use --engine tensorrt, or build it again with convert-trt --precision",
            )
        _refuse_rtx(artifact)
        trt = require(_MODULE, pip="tensorrt", why="the engine tensorrt")
        try:
            cuda = Cuda()
        except CudaError as error:
            raise EngineError(str(error), remedy="install CUDA's runtime library") from error
        if not cuda.devices():
            raise EngineError(
                "engine tensorrt finds no GPU here",
                remedy="run it where the GPU and its driver are",
            )
        return TensorRtRunner(trt, _loaded(trt, artifact, trusted=self._trusted), cuda)


def _refuse_rtx(artifact: Artifact) -> None:
    """Refuse the engines of the other TensorRT, which bear the same ending."""
    said = read_sidecar(artifact.path, artifact.sha256) or {}
    built = said.get("engine")
    if isinstance(built, dict) and str(built.get("runtime", "")).startswith("TensorRT-RTX"):
        raise EngineError(
            f"'{artifact.path}' was built by TensorRT-RTX, which classic TensorRT does not load",
            remedy="build it for classic TensorRT: edgecv convert-trt MODEL --device gpu",
        )


def _loaded(trt: Any, artifact: Artifact, *, trusted: bool) -> Any:
    # trt.ILogger in Python would be called from TensorRT's threads; its own logger is not.
    logger = trt.Logger(trt.Logger.ERROR)
    trt.init_libnvinfer_plugins(logger, "")
    runtime = trt.Runtime(logger)
    if trusted:
        runtime.engine_host_code_allowed = True
    engine = runtime.deserialize_cuda_engine(artifact.path.read_bytes())
    if engine is None:
        raise EngineError(
            f"TensorRT {trt.__version__} does not load '{artifact.path}': it was built by another "
            "release, for another GPU, with --version-compatible, or is damaged",
            remedy="build it again on this machine: edgecv convert-trt MODEL --device gpu",
        )
    return engine


class TensorRtRunner:
    """A loaded engine with a context, a stream and device buffers of its own."""

    def __init__(self, trt: Any, engine: Any, cuda: Cuda) -> None:
        self._trt, self._engine, self._cuda = trt, engine, cuda
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        fed = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        self.inputs = tuple(_spec(engine, name) for name in fed)
        self.outputs = tuple(_spec(engine, name) for name in names if name not in fed)
        self._lane: Lane | None = self._new_lane()
        self._turn = Lock()
        self._information = self._inspected()
        self.execution = Execution(
            "tensorrt", str(trt.__version__), "TensorRT", "gpu", _words(self._information)
        )

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once; the outputs are the caller's own.

        Raises:
            EngineError: an input is missing or has the wrong shape or type, TensorRT fails, or
                the runner is closed.
        """
        with self._turn:
            if self._lane is None:
                raise EngineError("the model is closed", remedy="open it again before running it")
            self._lane.start({spec.name: _checked(spec, feeds) for spec in self.inputs})
            return self._lane.wait(None)

    def requests(self, n: int) -> Sequence[TensorRtRequest]:
        """Return n requests, each with a context, a stream and pinned buffers of its own.

        Raises:
            EngineError: an input's shape is open, or the runner is closed.
        """
        if not all(spec.shape[1:] and None not in spec.shape[1:] for spec in self.inputs):
            raise EngineError(
                "the model's input size is open", remedy="export it with a fixed input size"
            )
        if self._lane is None:
            raise EngineError("the model is closed", remedy="open it again before running it")
        return [TensorRtRequest(self._new_lane(), self.inputs) for _ in range(n)]

    def floats_instead(self, meant: Sequence[str]) -> str | None:
        """Say which layers compute in float though the file means them for int8; None if fine.

        Args:
            meant: what TensorRT calls these layers.
        """
        if not meant:
            return None
        seen = worked(self._information, meant)
        share = seen.share("int8")
        if share is None:
            return "the engine does not say what its layers work in"
        if share >= _LEAST_SHARE:
            return None
        wrong = [name for kind, names in seen.others.items() if kind != "int8" for name in names]
        return (
            f"{len(wrong)} of {seen.shown} layers meant for int8 run in float, among them "
            f"{', '.join(wrong[:3])}"
        )

    def close(self) -> None:
        """Free the engine and its buffers; once is enough. Requests free theirs when they go."""
        with self._turn:
            lane, self._lane = self._lane, None
            self._engine = None
            if lane is not None:
                lane.close()

    def _new_lane(self) -> Lane:
        dtypes = {spec.name: np.dtype(spec.dtype) for spec in self.outputs}
        return Lane(self._engine, self._cuda, dtypes)

    def _inspected(self) -> str:
        inspector = self._engine.create_engine_inspector()
        assert self._lane is not None
        inspector.execution_context = self._lane.context
        return str(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))


class TensorRtRequest:
    """One inference in flight; the inputs are pinned, and copied to the device by ``start``."""

    def __init__(self, lane: Lane, inputs: Sequence[TensorSpec]) -> None:
        self._lane = lane
        self.inputs: Mapping[str, NDArray[Any]] = {
            spec.name: np.zeros([size or 1 for size in spec.shape], spec.dtype) for spec in inputs
        }
        self.outputs: Mapping[str, NDArray[Any]] = {}
        lane.pin(self.inputs.values())

    def start(self) -> None:
        """Begin on the current inputs.

        Raises:
            EngineError: the request is still running, or TensorRT fails.
        """
        self._lane.start(self.inputs)

    def wait(self, timeout: float | None = None) -> None:
        """Block until the outputs are there.

        Raises:
            EngineError: the run failed, or took longer than ``timeout`` seconds.
        """
        if self._lane.running:
            self.outputs = self._lane.wait(timeout)

    def run(self) -> None:
        """Run on the current inputs.

        Raises:
            EngineError: the run failed, or the request is still running.
        """
        self.start()
        self.wait()


def _spec(engine: Any, name: str) -> TensorSpec:
    shape = tuple(size if size >= 0 else None for size in engine.get_tensor_shape(name))
    kind = str(engine.get_tensor_dtype(name)).rpartition(".")[2]
    if kind not in _DTYPES:
        raise EngineError(
            f"tensor {name} of the engine is of type {kind}, which numpy does not have",
            remedy="build the engine with float32 inputs and outputs",
        )
    return TensorSpec(name, shape, _DTYPES[kind])


def _checked(spec: TensorSpec, feeds: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    fed = feeds.get(spec.name)
    if fed is None or fed.dtype.name != spec.dtype or not _fits(fed.shape, spec.shape):
        was = "nothing" if fed is None else f"{fed.dtype.name} {list(fed.shape)}"
        raise EngineError(
            f"input {spec} was fed {was}",
            remedy="check the input's size and type with `edgecv inspect`",
        )
    return fed


def _fits(shape: Sequence[int], declared: Sequence[int | None]) -> bool:
    return len(shape) == len(declared) and all(
        size in (None, given) for size, given in zip(declared, shape, strict=True)
    )


def _words(information: str) -> str:
    try:
        counts = Counter(weighted(information))
    except ValueError as error:
        raise failed(f"the engine inspector's answer can't be read: {error}") from error
    layers = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    return f"{layers} of {counts.total()} layers" if counts else "unknown"
