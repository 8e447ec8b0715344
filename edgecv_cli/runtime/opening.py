"""From ``--engine NAME[:DEVICE]`` and a model file to a runner."""

from __future__ import annotations

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.errors import MissingDependencyError, UsageError
from edgecv_cli.runtime.base import Engine, EngineOptions, Runner
from edgecv_cli.runtime.onnxruntime import OnnxRuntimeEngine

ENGINES: tuple[Engine, ...] = (OnnxRuntimeEngine(),)


def open_runner(
    artifact: Artifact, engine: str = "onnxruntime", threads: int | None = None
) -> Runner:
    """Load a model with an engine.

    Args:
        artifact: the model file.
        engine: engine name, with an optional device after a colon.
        threads: threads that the engine may use; None is one per usable core.

    Raises:
        UsageError: no engine of that name, or it does not read this format.
        MissingDependencyError: the engine is not installed.
        EngineError: the engine refuses the model or offers no such device.
    """
    name, _, device = engine.partition(":")
    chosen = find_engine(name)
    if artifact.format not in chosen.formats:
        raise UsageError(
            f"engine {name} does not read '{artifact.path.name}'",
            remedy=f"give it a file of format {', '.join(sorted(chosen.formats))}",
        )
    availability = chosen.availability()
    if not availability.available:
        raise MissingDependencyError(
            f"engine {name} is not installed", remedy=availability.remedy or "install it"
        )
    return chosen.open(artifact, EngineOptions(device=device or None, threads=threads))


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
