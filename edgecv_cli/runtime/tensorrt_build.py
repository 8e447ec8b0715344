"""Build engines with classic TensorRT, in a process of its own, where it and a GPU are here."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgecv_cli.core.child import Child, Limits
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError, EdgeCVError
from edgecv_cli.graph.tensorrt.target import Generation, TrtTarget
from edgecv_cli.graph.tensorrt.trtexec import BuildSettings
from edgecv_cli.runtime.tensorrt_rtx_build import Refusal

MODULE, PACKAGE = "tensorrt", "tensorrt"
WHY = "building TensorRT engines"
_SECONDS = 3600.0  # a Jetson looks for kernels for a long time
_LOOK_SECONDS = 120.0
_MAX_CACHE = 256 * 1024**2
_BOARD = Path("/proc/device-tree/model")
_MAJORS: dict[str, Generation] = {"8": "8.6", "10": "10", "11": "11"}


@dataclass(frozen=True)
class Recipe:
    """What an engine is built for.

    Attributes:
        generation: the release whose rules the model was held against.
        quantized: whether the graph holds Q/DQ.
        half: whether the graph holds float16.
        precision: the precision that was asked for; None: the graph's own.
        settings: how it is built.
    """

    generation: Generation
    quantized: bool
    half: bool
    precision: str | None
    settings: BuildSettings


@dataclass(frozen=True)
class ClassicBuilt:
    """An attempt to build; as :class:`edgecv_cli.runtime.tensorrt_rtx_build.Built`.

    Attributes:
        version: TensorRT's.
        refusals: what speaks against it; empty: the engine was written.
        size: bytes of the engine; 0 where it was refused.
        layers: layers of the network as it was parsed, by kind.
    """

    version: str
    refusals: tuple[Refusal, ...]
    size: int
    layers: Mapping[str, int]


def why_not_here(target: TrtTarget) -> str | None:
    """Say why an engine for a device can't be built on this machine; None where it can."""
    if target.dla:
        return "for a DLA core the bundle builds it, with a calibration cache"
    if target.device.startswith("jetson") and not _is_jetson():
        return f"this machine is no {target.device}, and an engine fits the GPU it was built on"
    if not _installed():
        return "TensorRT's Python package is not installed (pip install tensorrt)"
    try:
        with Child("tensorrt", name="looking at TensorRT", limits=Limits(_LOOK_SECONDS)) as child:
            return _unfit(child.call("version", {}), target)
    except EdgeCVError as error:
        return error.problem


def _installed() -> bool:
    try:
        return importlib.util.find_spec(MODULE) is not None
    except (ImportError, ValueError):
        return False


def _unfit(about: Mapping[str, Any], target: TrtTarget) -> str | None:
    """Say why the TensorRT that is here does not serve."""
    version = str(about["version"])
    if not about["devices"]:
        return f"TensorRT {version} is here, and no GPU that it could use"
    if _MAJORS.get(version.partition(".")[0]) != target.generation:
        return (
            f"TensorRT {version} is here, and the model was checked for {target.label} "
            f"(--trt-version {'.'.join(version.split('.')[:2])})"
        )
    return None


def _is_jetson() -> bool:
    try:
        with _BOARD.open("rb") as file:
            return b"jetson" in file.read(256).lower()
    except OSError:
        return False


def read_timing_cache(path: Path) -> bytes:
    """Return a timing cache.

    Raises:
        DataError: it can't be read, or is larger than any.
    """
    try:
        if path.stat().st_size <= _MAX_CACHE:
            return path.read_bytes()
        why = "it is larger than a timing cache gets"
    except OSError as error:
        why = error.strerror or str(error)
    raise DataError(
        f"timing cache '{path}' can't be read: {why}", remedy="leave --timing-cache out"
    )


def build_classic(
    model: Path,
    engine: Path,
    recipe: Recipe,
    context: Context,
    *,
    read: Path | None = None,
    saved: Path | None = None,
) -> ClassicBuilt:
    """Parse an ONNX file and build an engine for the GPU of this machine.

    Args:
        model: the ONNX file.
        engine: where the engine is written.
        recipe: what it is built for.
        context: cancels the build.
        read: the timing cache of an earlier build.
        saved: where the timing cache goes that this build leaves.

    Raises:
        MissingDependencyError: TensorRT is not installed.
        DataError: the timing cache can't be read.
        ChildFailureError: the library crashed or took too long.
    """
    if read is not None:
        read_timing_cache(read)  # refused before the work
    with Child(
        "tensorrt",
        name=f"building an engine of {model.name}",
        limits=Limits(_SECONDS),
        cancel=context.cancel,
    ) as child:
        answer = child.call(
            "build",
            {
                "model": str(model),
                "engine": str(engine),
                "recipe": asdict(recipe),
                "timing_cache": None if read is None else str(read),
                "save_timing_cache": None if saved is None else str(saved),
            },
        )
    return ClassicBuilt(
        version=answer["version"],
        refusals=tuple(Refusal(one["node"], one["problem"]) for one in answer["refused"]),
        size=answer.get("size", 0),
        layers=answer.get("layers", {}),
    )
