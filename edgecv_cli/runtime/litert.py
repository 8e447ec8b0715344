"""LiteRT (TensorFlow Lite): the interpreter on the CPU."""

from __future__ import annotations

import importlib.metadata
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import EngineError
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.require import require
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.graph.litert_bundle import Bundle, Port, Result, read_bundle, read_decode
from edgecv_cli.graph.litert_facts import interface
from edgecv_cli.graph.tflite import LiteModel, read_tflite
from edgecv_cli.runtime.base import Availability, EngineOptions, Execution
from edgecv_cli.runtime.litert_decode import Decode, open_decode
from edgecv_cli.runtime.threaded_request import ThreadedRequest

if TYPE_CHECKING:
    from edgecv_cli.artifact.artifact import Artifact

PACKAGE = "ai-edge-litert"
_WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"})
_TYPES = {"float32": "f32", "float16": "f16"}
Array = NDArray[Any]


class LitertEngine:
    """Runs .tflite files; those of ``convert-tflite`` with the original's inputs and outputs."""

    name = "litert"
    extra = "litert"
    formats = frozenset({"litert"})

    def availability(self) -> Availability:
        """Say whether the interpreter is installed."""
        with suppress(importlib.metadata.PackageNotFoundError):
            return Availability(True, importlib.metadata.version(PACKAGE), ("cpu",), None)
        return Availability(False, None, (), f"pip install {PACKAGE}")

    def open(self, artifact: Artifact, options: EngineOptions) -> LitertRunner:
        """Load a model.

        Raises:
            EngineError: another device than the CPU or a precision is asked for, or LiteRT refuses
                the model.
        """
        if (options.device or "cpu").lower() != "cpu":
            raise EngineError(
                f"engine litert offers no device '{options.device}' here",
                remedy="use --engine litert",
            )
        if options.precision:
            raise EngineError(
                f"engine litert offers no precision '{options.precision}': the file's own types "
                "decide",
                remedy="use --engine litert, and choose with `edgecv convert-tflite --precision`",
            )
        model = read_tflite(artifact.path)
        if options.exact and model.precision == "int8":
            raise EngineError(
                f"LiteRT does not run the integers of '{artifact.path}' in float",
                remedy="run the .onnx with --engine onnxruntime",
            )
        return LitertRunner(artifact, model, options)


class LitertRunner:
    """An interpreter, and the decoding of what it gives where that stands outside of the file."""

    def __init__(self, artifact: Artifact, model: LiteModel, options: EngineOptions) -> None:
        self._path = str(artifact.path)
        self._bundle = read_bundle(artifact.path) or _as_it_is(model)
        threads = options.threads or usable_cores()
        self._threads = max(1, threads // options.streams)
        decode = read_decode(artifact.path)
        heads = [port.spec for port in self._bundle.heads]
        self._decode = (
            None if decode is None else open_decode(decode, heads, self._path, self._threads)
        )
        self._lock = threading.Lock()
        self._session: _Session | None = self._opened()
        self.inputs = tuple(port.spec for port in self._bundle.inputs)
        self.outputs = tuple(
            TensorSpec(one.name, one.shape, one.dtype) for one in self._bundle.outputs
        )
        self.execution = Execution(
            "litert", importlib.metadata.version(PACKAGE), "LiteRT", "cpu", _precisions(model)
        )

    def infer(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run once; the outputs are copies, in the original's layout.

        Raises:
            EngineError: an input is missing or has the wrong shape or type, or the runner is
                closed.
        """
        session = self._session
        if session is None:
            raise EngineError("the model is closed", remedy="open it again before running it")
        with self._lock:
            return session.run(feeds)

    def requests(self, n: int) -> Sequence[ThreadedRequest]:
        """Return n requests, each with an interpreter and buffers of its own.

        Raises:
            EngineError: an input's size is open, or the runner is closed.
        """
        if not all(spec.is_static for spec in self.inputs):
            raise EngineError(
                "the model's input size is open", remedy="export it with a fixed input size"
            )
        if self._session is None:
            raise EngineError("the model is closed", remedy="open it again before running it")
        return [ThreadedRequest(self._opened().run, self.inputs, "LiteRT") for _ in range(n)]

    def close(self) -> None:
        """Free the interpreter; once is enough."""
        self._session = None

    def _opened(self) -> _Session:
        return _Session(self._path, self._bundle, self._decode, self._threads)


class _Session:
    """One interpreter; one thread at a time."""

    def __init__(self, path: str, bundle: Bundle, decode: Decode | None, threads: int) -> None:
        self._bundle = bundle
        self._decode = decode
        try:
            self._interpreter = open_interpreter(path, threads)
            self._inputs = _matched(self._interpreter.get_input_details(), bundle.inputs, path)
            self._outputs = _matched(self._interpreter.get_output_details(), bundle.heads, path)
        except ValueError as error:
            raise _unloadable(path, error) from error

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Feed, invoke, read, undo the layout, decode."""
        for port, detail in zip(self._bundle.inputs, self._inputs, strict=True):
            value = _checked(port.spec, feeds).transpose(np.argsort(port.order))
            self._interpreter.set_tensor(detail["index"], stored_as(value, detail))
        try:
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise EngineError(
                f"LiteRT failed to run the model: {_told(error)}",
                remedy="check the input's size and type with `edgecv inspect`",
            ) from error
        found = {
            port.name: real_of(self._interpreter.get_tensor(detail["index"]), detail).transpose(
                port.order
            )
            for port, detail in zip(self._bundle.heads, self._outputs, strict=True)
        }
        if self._decode is not None:
            found |= self._decode(found)
        return {
            one.name: np.ascontiguousarray(found[one.name], one.dtype)
            for one in self._bundle.outputs
        }


def open_interpreter(path: str, threads: int) -> Any:
    """Load a file, with its tensors allocated.

    Raises:
        MissingDependencyError: LiteRT is not installed.
        EngineError: it refuses the file.
    """
    litert = require("ai_edge_litert.interpreter", pip=PACKAGE, why="the engine litert")
    try:
        interpreter = litert.Interpreter(model_path=path, num_threads=threads)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError, TypeError) as error:
        raise _unloadable(path, error) from error
    return interpreter


def _as_it_is(model: LiteModel) -> Bundle:
    """Return the interface of a file that edgecv did not make."""
    inputs, heads = (
        tuple(
            Port(
                name=spec.name,
                shape=tuple(size or 1 for size in spec.shape),
                dtype=spec.dtype,
                position=place,
                order=tuple(range(len(spec.shape))),
            )
            for place, spec in enumerate(specs)
        )
        for specs in interface(model)
    )
    outputs = tuple(Result(name=one.name, shape=one.shape, dtype=one.dtype) for one in heads)
    return Bundle(inputs=inputs, heads=heads, outputs=outputs)


def _matched(
    details: Sequence[Mapping[str, Any]], ports: Sequence[Port], path: str
) -> list[Mapping[str, Any]]:
    """Return the interpreter's tensors in the order of the ports.

    Raises:
        ValueError: the file's interface is not what is stored in it.
    """
    found = []
    for port in ports:
        if port.position >= len(details):
            raise ValueError(f"{port.name}: it has {len(details)} tensors there")
        detail = details[port.position]
        shape = tuple(int(size) for size in detail["shape"])
        fits = sorted(port.order) == list(range(len(shape))) and len(port.shape) == len(shape)
        if not fits or tuple(shape[axis] for axis in port.order) != port.shape:
            raise ValueError(f"{port.name}: {list(shape)} is not {list(port.shape)} in {path}")
        found.append(detail)
    return found


def _checked(spec: TensorSpec, feeds: Mapping[str, Array]) -> Array:
    fed = feeds.get(spec.name)
    if fed is None or fed.dtype.name != spec.dtype or fed.shape != spec.shape:
        was = "nothing" if fed is None else f"{fed.dtype.name} {list(fed.shape)}"
        raise EngineError(
            f"input {spec} was fed {was}",
            remedy="check the input's size and type with `edgecv inspect`",
        )
    return fed


def stored_as(value: Array, detail: Mapping[str, Any]) -> Array:
    """Return what the interpreter takes: rounded to its integers where it works on them."""
    dtype = np.dtype(detail["dtype"])
    scale, zero = detail["quantization"]
    if dtype.kind in "iu" and scale and value.dtype.kind == "f":
        limits = np.iinfo(dtype)
        value = np.clip(np.rint(value / np.float32(scale)) + zero, limits.min, limits.max)
    return np.ascontiguousarray(value, dtype)


def real_of(value: Array, detail: Mapping[str, Any]) -> Array:
    """Return what the interpreter's integers stand for."""
    scale, zero = detail["quantization"]
    if value.dtype.kind not in "iu" or not scale:
        return value
    real: Array = (value.astype(np.float32) - np.float32(zero)) * np.float32(scale)
    return real


def _precisions(model: LiteModel) -> str:
    """Count convolutions and matrix products by the type of what they read: it decides."""
    found: Counter[str] = Counter()
    for operator in model.operators:
        if operator.name in _WEIGHTED and 0 <= operator.inputs[0] < len(model.tensors):
            dtype = model.tensors[operator.inputs[0]].spec.dtype
            found[_TYPES.get(dtype, dtype)] += 1
    if not found:
        return "unknown"
    layers = ", ".join(f"{name} {count}" for name, count in found.most_common())
    return f"{layers} of {found.total()} layers"


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _unloadable(path: str, error: Exception) -> EngineError:
    return EngineError(
        f"LiteRT can't load '{path}': {_told(error)}",
        remedy="convert it again with `edgecv convert-tflite`",
    )
