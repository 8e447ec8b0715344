"""Core ML: packages of ``convert-coreml`` and others, on macOS alone."""

from __future__ import annotations

import importlib.metadata
import math
import platform
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import EngineError
from edgecv_cli.core.require import require
from edgecv_cli.core.tensors import is_nhwc
from edgecv_cli.graph.coreml_facts import Interface, Picture, Port, read_presented
from edgecv_cli.runtime.base import Availability, EngineOptions, Execution
from edgecv_cli.runtime.threaded_request import ThreadedRequest

if TYPE_CHECKING:
    from edgecv_cli.artifact.artifact import Artifact

PACKAGE = "coremltools"
_UNITS = {"all": "ALL", "cpu": "CPU_ONLY", "gpu": "CPU_AND_GPU", "ane": "CPU_AND_NE"}
_WHY = "the engine coreml"
Array = NDArray[Any]


class CoreMlEngine:
    """Runs packages through coremltools; inputs and outputs are those of the original."""

    name = "coreml"
    extra = "coreml"
    formats = frozenset({"coreml"})

    def availability(self) -> Availability:
        """Say whether coremltools is installed; only on macOS is there anything to run on."""
        devices = tuple(_UNITS) if platform.system() == "Darwin" else ()
        with suppress(importlib.metadata.PackageNotFoundError):
            return Availability(True, importlib.metadata.version(PACKAGE), devices, None)
        return Availability(False, None, (), f"pip install {PACKAGE} pillow")

    def open(self, artifact: Artifact, options: EngineOptions) -> CoreMlRunner:
        """Load a package.

        Raises:
            EngineError: this is not macOS, the units are unknown or a precision is asked for, or
                Core ML refuses the package.
        """
        if platform.system() != "Darwin":
            raise EngineError(
                "Core ML runs on macOS alone",
                remedy="run the package there, or the .onnx here with --engine onnxruntime",
            )
        units = (options.device or "all").lower()
        if units not in _UNITS or options.precision:
            what = f"no device '{units}'" if units not in _UNITS else "no choice of a precision"
            raise EngineError(
                f"engine coreml has {what}",
                remedy=f"use --engine coreml or coreml: and one of {', '.join(_UNITS)}",
            )
        return CoreMlRunner(artifact, units)


class CoreMlRunner:
    """A loaded package; one prediction at a time."""

    def __init__(self, artifact: Artifact, units: str) -> None:
        """Load it.

        Raises:
            MissingDependencyError: coremltools is not installed.
            EngineError: Core ML refuses the package.
        """
        tools = require(PACKAGE, pip=PACKAGE, why=_WHY)
        self._interface: Interface = read_presented(artifact.path).interface
        try:
            chosen = getattr(tools.ComputeUnit, _UNITS[units])
            self._model: Any = tools.models.MLModel(str(artifact.path), compute_units=chosen)
        except (RuntimeError, ValueError, OSError) as error:
            raise EngineError(
                f"Core ML can't load '{artifact.path}': {_told(error)}",
                remedy="convert it again with an earlier --minimum-deployment-target",
            ) from error
        self._lock = threading.Lock()
        self.inputs = tuple(port.spec for port in self._interface.inputs)
        self.outputs = tuple(port.spec for port in self._interface.outputs)
        version = importlib.metadata.version(PACKAGE)
        self.execution = Execution("coreml", version, "Core ML", units, "unknown")

    def infer(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run once; the outputs are copies, with the original's names and types.

        Raises:
            EngineError: an input is missing or has the wrong shape or type, the run failed, or
                the runner is closed.
        """
        fed = {port.feature: _fed(port, feeds) for port in self._interface.inputs}
        with self._lock:
            if self._model is None:
                raise EngineError("the model is closed", remedy="open it again before running it")
            try:
                given = self._model.predict(fed)
            except (RuntimeError, ValueError, TypeError) as error:
                raise EngineError(
                    f"Core ML failed to run the model: {_told(error)}",
                    remedy="try --engine coreml:cpu",
                ) from error
        return {port.name: _read(port, given) for port in self._interface.outputs}

    def requests(self, n: int) -> Sequence[ThreadedRequest]:
        """Return n requests with buffers of their own; Core ML runs them one after another."""
        if self._model is None:
            raise EngineError("the model is closed", remedy="open it again before running it")
        return [ThreadedRequest(self.infer, self.inputs, "Core ML") for _ in range(n)]

    def close(self) -> None:
        """Free the model; once is enough."""
        self._model = None


def pixels_of(value: Array, picture: Picture) -> Array:
    """Return the picture that a network's input was made of.

    Args:
        value: [1, 3, H, W] or [1, H, W, 3], in the network's colour order and scale.
        picture: the scale and offset that the package applies to pixels.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    planes = value[0] if is_nhwc(value.shape) else value[0].transpose(1, 2, 0)
    scale, offset = np.asarray(picture.scale, np.float32), np.asarray(picture.offset, np.float32)
    pixels = np.clip(np.rint((planes.astype(np.float32) - offset) / scale), 0, 255)
    found = pixels.astype(np.uint8)
    return np.ascontiguousarray(found[..., ::-1] if picture.color == "bgr" else found)


def _fed(port: Port, feeds: Mapping[str, Array]) -> Any:
    """Return an input as ``predict`` takes it: pictures as PIL images, in RGB."""
    value = feeds.get(port.name)
    if value is None or value.shape != port.shape or value.dtype.name != port.dtype:
        was = "nothing" if value is None else f"{value.dtype.name} {list(value.shape)}"
        raise EngineError(
            f"input {port.spec} was fed {was}",
            remedy="check the input's size and type with `edgecv inspect`",
        )
    if port.picture is None:
        return value.astype(np.float32 if value.dtype.kind == "f" else np.int32)
    image = require("PIL.Image", pip="pillow", why=_WHY)
    return image.fromarray(pixels_of(value, port.picture))


def _read(port: Port, given: Mapping[str, Any]) -> Array:
    value = np.asarray(given[port.feature])
    known = [size for size in port.shape if size is not None]
    rows = value.size // max(1, math.prod(known))
    shape = [rows if size is None else size for size in port.shape]
    if value.size != math.prod(shape):
        raise EngineError(
            f"Core ML gave {list(value.shape)} for {port.spec}", remedy="convert the .onnx again"
        )
    return np.array(value.reshape(shape), port.dtype)


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
