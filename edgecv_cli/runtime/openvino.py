"""OpenVINO: the CPU, and what other devices its plugins find."""

from __future__ import annotations

import importlib.metadata
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import EngineError
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.require import require
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.runtime.base import Availability, EngineOptions, Execution, still_running
from edgecv_cli.runtime.openvino_cache import model_cache
from edgecv_cli.runtime.openvino_file import require_own_weights
from edgecv_cli.runtime.openvino_profile import mean_ns, read_counters
from edgecv_cli.runtime.operators import OperatorTime, not_recording

if TYPE_CHECKING:
    from edgecv_cli.artifact.artifact import Artifact

# What a precision needs among the device's OPTIMIZATION_CAPABILITIES.
_PRECISIONS = {"f32": "FP32", "f16": "FP16", "bf16": "BF16"}
_DEFAULT_PRECISION = "f32"
_WEIGHTED = {"Convolution", "Deconvolution", "FullyConnected", "MatMul"}
_INTEGERS = {"i8", "u8"}
_PLACE = re.compile(r"Exception from \S+:\d+:|Check '.*?' failed at \S+:\d+:|at \S+:\d+:")


class OpenVinoEngine:
    """Runs ONNX files and OpenVINO's own IR; nothing is sent anywhere."""

    name = "openvino"
    extra = "openvino"
    formats = frozenset({"onnx", "openvino"})

    def availability(self) -> Availability:
        """Say whether OpenVINO is installed; its other devices show when one is opened."""
        with suppress(importlib.metadata.PackageNotFoundError):
            return Availability(True, importlib.metadata.version("openvino"), ("cpu",), None)
        return Availability(False, None, (), "pip install openvino")

    def open(self, artifact: Artifact, options: EngineOptions) -> OpenVinoRunner:
        """Compile a model for a device.

        Float layers run in ``options.precision``, float32 if that is None: OpenVINO's own
        default is bfloat16 wherever the processor has it, whatever the file says.

        Raises:
            EngineError: the device is not there or lacks the precision, or OpenVINO refuses the
                model.
        """
        ov = require("openvino", pip="openvino", why="the engine openvino")
        core = ov.Core()
        device = _device(core, options.device or "cpu")
        precision = _precision(core, device, options.precision or _DEFAULT_PRECISION)
        # What is internal to a plugin, or for a look inside, is kept out of the cache.
        caches = options.model_cache and not (options.exact or options.profile)
        settings = _settings(device, precision, options)
        if caches:
            settings["CACHE_DIR"] = str(model_cache())
        try:
            model = core.read_model(artifact.path)
            require_own_weights(model, artifact.path)
            compiled = core.compile_model(model, device, settings)
        except RuntimeError as error:
            raise EngineError(
                f"OpenVINO can't load '{artifact.path}': {told(error)}",
                remedy=_otherwise(artifact),
            ) from error
        execution = _execution(ov, compiled, device)
        if caches:
            hit = bool(compiled.get_property("LOADED_FROM_CACHE"))
            execution = replace(execution, from_cache=hit)
        _require_kept(execution, compiled, precision, exact=options.exact)
        return OpenVinoRunner(compiled, execution, ov.Tensor, profile=options.profile)


class OpenVinoRunner:
    """A compiled model with a request of its own; one stream, for latency."""

    def __init__(
        self, compiled: Any, execution: Execution, tensor: Any, *, profile: bool = False
    ) -> None:
        self._profile = profile
        self._inferences = 0
        self._first: dict[str, float] = {}
        self._compiled = compiled
        self._request: Any = compiled.create_infer_request()
        self._tensor = tensor
        self.inputs = tuple(_spec(port) for port in compiled.inputs)
        self.outputs = tuple(_spec(port) for port in compiled.outputs)
        self.execution = execution

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once, on the arrays themselves; the outputs are copies.

        Raises:
            EngineError: an input is missing or has the wrong shape or type, or the runner is
                closed.
        """
        request = self._opened(self._request)
        given = {place: self._checked(spec, feeds) for place, spec in enumerate(self.inputs)}
        try:
            found = request.infer(given, share_inputs=True, share_outputs=False)
        except RuntimeError as error:
            raise _failed(error) from error
        if self._profile:
            self._count(request)
        return {spec.name: found[place] for place, spec in enumerate(self.outputs)}

    def requests(self, n: int) -> Sequence[OpenVinoRequest]:
        """Return n asynchronous requests, each with preallocated input buffers.

        Raises:
            EngineError: an input's shape is open, or the runner is closed.
        """
        if not all(spec.shape[1:] and None not in spec.shape[1:] for spec in self.inputs):
            raise EngineError(
                "the model's input size is open", remedy="export it with a fixed input size"
            )
        compiled = self._opened(self._compiled)
        made = [compiled.create_infer_request() for _ in range(n)]
        return [OpenVinoRequest(one, self.inputs, self.outputs, self._tensor) for one in made]

    def operator_times(self) -> tuple[OperatorTime, ...]:
        """Return what each node took on average in the calls of :meth:`infer` but the first.

        Raises:
            EngineError: the model was not opened with ``profile``, or is closed.
        """
        if not self._profile or self._request is None:
            raise not_recording()
        if self._inferences < 2:
            return ()
        return read_counters(
            self._request.profiling_info,
            first=self._first,
            inferences=self._inferences,
            provider=self.execution.provider,
        )

    def _count(self, request: Any) -> None:
        self._inferences += 1
        if self._inferences == 1:
            self._first = mean_ns(request.profiling_info)

    def close(self) -> None:
        """Free the compiled model; once is enough."""
        self._request = self._compiled = None

    @staticmethod
    def _opened(held: Any) -> Any:
        if held is None:
            raise EngineError("the model is closed", remedy="open it again before running it")
        return held

    @staticmethod
    def _checked(spec: TensorSpec, feeds: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the array for an input: OpenVINO itself would convert or keep an older one."""
        fed = feeds.get(spec.name)
        if fed is None or fed.dtype.name != spec.dtype or not _fits(fed.shape, spec.shape):
            was = "nothing" if fed is None else f"{fed.dtype.name} {list(fed.shape)}"
            raise EngineError(
                f"input {spec} was fed {was}",
                remedy="check the input's size and type with `edgecv inspect`",
            )
        return fed


class OpenVinoRequest:
    """One inference in flight; inputs and outputs are the memory that OpenVINO works on."""

    def __init__(
        self,
        request: Any,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        tensor: Any,
    ) -> None:
        self._request = request
        self._names = [spec.name for spec in outputs]
        buffers = {
            spec.name: np.zeros([size or 1 for size in spec.shape], spec.dtype) for spec in inputs
        }
        for place, buffer in enumerate(buffers.values()):
            request.set_input_tensor(place, tensor(buffer, shared_memory=True))
        self.inputs: Mapping[str, NDArray[Any]] = buffers
        self.outputs: Mapping[str, NDArray[Any]] = {}

    def start(self) -> None:
        """Begin on the current inputs.

        Raises:
            EngineError: the request is still running.
        """
        try:
            self._request.start_async()
        except RuntimeError as error:
            if "Request is busy" in str(error):
                raise still_running() from error
            raise _failed(error) from error

    def wait(self, timeout: float | None = None) -> None:
        """Block until the outputs are there.

        Raises:
            EngineError: the run failed, or took longer than ``timeout`` seconds.
        """
        try:
            if timeout is None:
                self._request.wait()
            elif not self._request.wait_for(round(1000 * timeout)):
                raise EngineError(
                    f"OpenVINO gave no answer within {timeout:g} s", remedy="wait longer"
                )
        except RuntimeError as error:
            raise _failed(error) from error
        tensors = self._request.output_tensors
        self.outputs = {name: t.data for name, t in zip(self._names, tensors, strict=True)}

    def run(self) -> None:
        """Run on the current inputs.

        Raises:
            EngineError: the run failed, or the request is still running.
        """
        self.start()
        self.wait()


def _otherwise(artifact: Artifact) -> str:
    if artifact.format == "onnx":
        return "run it with --engine onnxruntime, or quantize with --target openvino"
    return "put the .bin of the same name beside the .xml, or convert it again"


def _device(core: Any, asked: str) -> str:
    """Return the plugin's name of a device; AUTO and the like would choose in silence."""
    there = list(core.available_devices)
    for name in there:
        if name.lower() == asked.lower():
            return str(name)
    raise EngineError(
        f"engine openvino offers no device '{asked.lower()}' here",
        remedy="use --engine with one of: "
        + ", ".join(f"openvino:{name.lower()}" for name in there),
    )


def _precision(core: Any, device: str, asked: str) -> str:
    """Refuse what the device can't do natively: OpenVINO would fall back, or emulate, unasked."""
    able = set(core.get_property(device, "OPTIMIZATION_CAPABILITIES"))
    offered = [name for name, needed in _PRECISIONS.items() if needed in able]
    if asked.lower() in offered:
        return asked.lower()
    raise EngineError(
        f"engine openvino offers no precision '{asked.lower()}' on this {device}: it has "
        f"{', '.join(offered)}",
        remedy="use --engine with one of: "
        + ", ".join(f"openvino:{device.lower()}:{name}" for name in offered),
    )


def _settings(device: str, precision: str, options: EngineOptions) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY" if options.streams == 1 else "THROUGHPUT",
        "NUM_STREAMS": options.streams,
        "PERF_COUNT": options.profile,
    }
    if device == "CPU":
        settings["INFERENCE_NUM_THREADS"] = options.threads or usable_cores()
        # A pinned thread waits for whatever else runs on its core.
        settings["ENABLE_CPU_PINNING"] = False
        if options.exact:
            # Internal to the CPU plugin; _require_kept looks whether it was followed.
            settings["LP_TRANSFORMS_MODE"] = False
    return settings


def _execution(ov: Any, compiled: Any, device: str) -> Execution:
    provider = ", ".join(compiled.get_property("EXECUTION_DEVICES"))
    version = ov.get_version().partition("-")[0]
    counts = _layer_precisions(compiled)
    layers = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    precision = f"{layers} of {counts.total()} layers" if counts else "unknown"
    return Execution("openvino", version, provider, device.lower(), precision)


def _layer_precisions(compiled: Any) -> Counter[str]:
    """Count the convolutions and matrix products that run, by the type that they work in."""
    try:
        nodes = compiled.get_runtime_model().get_ops()
    except RuntimeError:  # a plugin need not show what it runs
        return Counter()
    found: Counter[str] = Counter()
    for node in nodes:
        info = node.get_rt_info()
        if info["layerType"].astype(str) in _WEIGHTED:
            kernel = info["primitiveType"].astype(str).rpartition("_")[2].lower()
            found["int8" if kernel in _INTEGERS else kernel] += 1
    return found


def _require_kept(execution: Execution, compiled: Any, precision: str, *, exact: bool) -> None:
    """Hold what was compiled against what was asked for."""
    used = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if used != precision:
        raise EngineError(
            f"OpenVINO runs the model in {used}, not in {precision} as asked",
            remedy=f"use --engine openvino:{execution.device}:{used}",
        )
    if exact and (execution.device != "cpu" or "int8" in execution.precision):
        raise EngineError(
            "OpenVINO does not run this model's QDQ in float",
            remedy="run it with --engine onnxruntime",
        )


def _spec(port: Any) -> TensorSpec:
    shape = tuple(
        axis.get_length() if axis.is_static else None for axis in port.get_partial_shape()
    )
    return TensorSpec(_port_name(port), shape, _dtype(port.get_element_type()))


def _port_name(port: Any) -> str:
    """Return the name that the file gives an input or output; a port can have several."""
    names = port.get_names()
    given = str(port.get_node().get_friendly_name()).removesuffix("/sink_port_0")
    return given if given in names or not names else min(names)


def _dtype(kind: Any) -> str:
    try:
        return str(np.dtype(kind.to_dtype()).name)
    except (RuntimeError, TypeError):  # bfloat16 and what is narrower than a byte
        return str(kind.get_type_name())


def _fits(shape: Sequence[int], declared: Sequence[int | None]) -> bool:
    return len(shape) == len(declared) and all(
        size in (None, given) for size, given in zip(declared, shape, strict=True)
    )


def _failed(error: Exception) -> EngineError:
    return EngineError(
        f"OpenVINO failed to run the model: {told(error)}",
        remedy="check the input's size and type with `edgecv inspect`",
    )


def told(error: Exception) -> str:
    """Return an exception's words in one line, without OpenVINO's own source places."""
    words = " ".join(_PLACE.sub(" ", str(error)).split())
    return words[:300] or type(error).__name__
