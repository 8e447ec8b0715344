"""ONNX Runtime, CPU execution provider."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from edgecv_cli.core.errors import EngineError
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.require import require
from edgecv_cli.core.scratch import scratch
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.runtime.base import Availability, EngineOptions, Execution
from edgecv_cli.runtime.onnxruntime_trace import read_trace
from edgecv_cli.runtime.operators import OperatorTime, not_recording
from edgecv_cli.runtime.threaded_request import ThreadedRequest

if TYPE_CHECKING:
    from edgecv_cli.artifact.artifact import Artifact

_DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino")
_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


class OnnxRuntimeEngine:
    """The engine that is always there."""

    name = "onnxruntime"
    extra = ""
    formats = frozenset({"onnx"})

    def availability(self) -> Availability:
        """Say whether ONNX Runtime is installed, and which devices it offers here."""
        for distribution in _DISTRIBUTIONS:
            with suppress(importlib.metadata.PackageNotFoundError):
                version = importlib.metadata.version(distribution)
                return Availability(True, version, _compiled_in(), None)
        return Availability(False, None, (), "pip install onnxruntime")

    def open(self, artifact: Artifact, options: EngineOptions) -> OnnxRuntimeRunner:
        """Load a model on the CPU, or on a GPU where ONNX Runtime was built for one.

        Raises:
            EngineError: the device is not offered, a precision is asked for, or ONNX Runtime
                refuses the model.
        """
        device = (options.device or "cpu").lower()
        if device not in _compiled_in():
            raise EngineError(
                f"engine onnxruntime offers no device '{device}' here",
                remedy="use --engine onnxruntime:cpu; pip install onnxruntime-gpu brings others",
            )
        if options.precision and (device, options.precision) != ("tensorrt", "fp16"):
            raise EngineError(
                f"engine onnxruntime offers no precision '{options.precision}': the file's own "
                "types decide",
                remedy=f"use --engine onnxruntime:{device}",
            )
        return OnnxRuntimeRunner(artifact, device, options)


class OnnxRuntimeRunner:
    """A session with fixed thread counts."""

    def __init__(self, artifact: Artifact, device: str, options: EngineOptions) -> None:
        ort = require("onnxruntime", pip="onnxruntime", why="running ONNX models")
        ort.disable_telemetry_events()
        settings = ort.SessionOptions()
        threads = options.threads or usable_cores()
        # A run takes the thread that calls it, and all runs share the one pool, which has a
        # thread less than it is set to: so these add up to the threads that were asked for.
        settings.intra_op_num_threads = max(1, threads - options.streams + 1)
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 4
        settings.add_session_config_entry(
            "session.intra_op.allow_spinning", "1" if options.spinning else "0"
        )
        if options.exact:
            settings.add_session_config_entry("session.disable_quant_qdq", "1")
        self._recording: ExitStack | None = None
        if options.profile:
            self._recording = ExitStack()
            settings.enable_profiling = True
            folder = self._recording.enter_context(scratch())
            settings.profile_file_prefix = str(folder / "trace")
        source: str | bytes = str(artifact.path)
        try:
            self._session: Any = ort.InferenceSession(
                source, settings, providers=_providers(artifact, device, options)
            )
        except Exception as error:
            self._forget()
            raise EngineError(
                f"ONNX Runtime can't load '{artifact.path}': {_first_line(error)}",
                remedy="run `edgecv inspect` on the model, or export it again",
            ) from error
        self.inputs = tuple(_spec(value) for value in self._session.get_inputs())
        self.outputs = tuple(_spec(value) for value in self._session.get_outputs())
        self._output_names = [value.name for value in self.outputs]
        provider = self._session.get_providers()[0]
        if provider != _PROVIDERS[device]:
            self.close()
            raise EngineError(
                f"ONNX Runtime runs '{artifact.path}' on {provider}, not on {device} as asked: the "
                "GPU, its driver or a library is missing",
                remedy="use --engine onnxruntime:cpu; edgecv doctor says what is here",
            )
        self.execution = Execution(
            "onnxruntime",
            ort.__version__,
            provider,
            device,
            "unknown",
            debug="build type=Debug" in ort.get_build_info(),
        )

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once.

        Raises:
            EngineError: an input is missing or has the wrong shape or type, or the runner is
                closed.
        """
        if self._session is None:
            raise EngineError("the model is closed", remedy="open it again before running it")
        try:
            values = self._session.run(self._output_names, dict(feeds))
        except Exception as error:
            raise EngineError(
                f"ONNX Runtime failed to run the model: {_first_line(error)}",
                remedy="check the input's size and type with `edgecv inspect`",
            ) from error
        return dict(zip(self._output_names, values, strict=True))

    def requests(self, n: int) -> Sequence[ThreadedRequest]:
        """Return n requests, each with preallocated input buffers.

        Raises:
            EngineError: an input's shape is open.
        """
        if not all(spec.shape[1:] and None not in spec.shape[1:] for spec in self.inputs):
            raise EngineError(
                "the model's input size is open", remedy="export it with a fixed input size"
            )
        return [ThreadedRequest(self.infer, self.inputs, "ONNX Runtime") for _ in range(n)]

    def operator_times(self) -> tuple[OperatorTime, ...]:
        """Return what each node took so far; the recording ends with that.

        Raises:
            EngineError: the model was not opened with ``profile``, was asked before, or what
                ONNX Runtime wrote can't be read.
        """
        if self._recording is None or self._session is None:
            raise not_recording()
        try:
            return read_trace(Path(self._session.end_profiling()))
        finally:
            self._forget()

    def close(self) -> None:
        """Free the session; once is enough."""
        self._session = None
        self._forget()

    def _forget(self) -> None:
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.close()


def _compiled_in() -> tuple[str, ...]:
    """Return the devices whose providers the installed package has; their libraries are its own."""
    found = importlib.util.find_spec("onnxruntime")
    if found is None or found.origin is None:
        return ("cpu",)
    folder = Path(found.origin).parent / "capi"
    return tuple(
        name
        for name in _PROVIDERS
        if name == "cpu" or (folder / f"libonnxruntime_providers_{name}.so").exists()
    )


def _providers(artifact: Artifact, device: str, options: EngineOptions) -> list[Any]:
    """Return what a session takes; TensorRT runs Q/DQ in int8 only where it is told to."""
    name = _PROVIDERS[device]
    if device != "tensorrt":
        return [name]
    from edgecv_cli.graph.quantized import is_quantized

    settings = {
        "trt_int8_enable": is_quantized(artifact.model),
        "trt_fp16_enable": options.precision == "fp16",
    }
    return [(name, settings)]


def _spec(value: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in value.shape)
    return TensorSpec(value.name, shape, _DTYPES.get(value.type, value.type))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
