"""From ``--engine NAME[:DEVICE[:PRECISION]]`` and a model file to a runner."""

from __future__ import annotations

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.errors import MissingDependencyError, UsageError
from edgecv_cli.runtime.base import Engine, EngineOptions, Runner
from edgecv_cli.runtime.coreml import CoreMlEngine
from edgecv_cli.runtime.litert import LitertEngine
from edgecv_cli.runtime.onnxruntime import OnnxRuntimeEngine
from edgecv_cli.runtime.openvino import OpenVinoEngine
from edgecv_cli.runtime.tensorrt import TensorRtEngine

ENGINES: tuple[Engine, ...] = (
    OnnxRuntimeEngine(),
    OpenVinoEngine(),
    LitertEngine(),
    TensorRtEngine(),
    CoreMlEngine(),
)


def open_runner(
    artifact: Artifact,
    engine: str = "onnxruntime",
    threads: int | None = None,
    *,
    exact: bool = False,
    profile: bool = False,
    streams: int = 1,
    model_cache: bool = False,
) -> Runner:
    """Load a model with an engine.

    Args:
        artifact: the model file.
        engine: engine name, with an optional device after a colon, and after another the
            precision that float layers run in: ``openvino:cpu:bf16``, ``openvino::bf16``.
        threads: threads that the engine may use; None is one per usable core.
        exact: run quantize and dequantize as they are written, without integer kernels.
        profile: keep the time of each node, which slows the model; see ``runtime/operators.py``.
        streams: inferences that are meant to be in flight at once; they share the threads.
        model_cache: keep what the engine compiles for later starts, where the engine can.

    Raises:
        UsageError: no engine of that name, or it does not read this format.
        MissingDependencyError: the engine is not installed.
        EngineError: the engine refuses the model, or offers no such device or precision.
    """
    name, _, rest = engine.partition(":")
    device, _, precision = rest.partition(":")
    chosen = find_engine(name)
    if artifact.format not in chosen.formats:
        able = [each.name for each in ENGINES if artifact.format in each.formats]
        raise UsageError(
            f"engine {name} does not read '{artifact.path.name}'",
            remedy=f"use --engine {' or '.join(able)}"
            if able
            else f"give it a file of format {', '.join(sorted(chosen.formats))}",
        )
    availability = chosen.availability()
    if not availability.available:
        raise MissingDependencyError(
            f"engine {name} is not installed", remedy=availability.remedy or "install it"
        )
    return chosen.open(
        artifact,
        EngineOptions(
            device=device or None,
            precision=precision or None,
            threads=threads,
            exact=exact,
            profile=profile,
            streams=streams,
            model_cache=model_cache,
        ),
    )


def find_engine(name: str) -> Engine:
    """Return the engine of that name.

    Raises:
        UsageError: there is none.
    """
    for engine in ENGINES:
        if engine.name == name:
            return engine
    known = ", ".join(engine.name for engine in ENGINES)
    raise UsageError(f"there is no engine '{name}'", remedy=f"use --engine with one of: {known}")
