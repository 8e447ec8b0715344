"""Classic TensorRT: an engine where this machine is the device, and a bundle where it is not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.conversion import Verified
from edgecv_cli.config.convert_trt import ConvertTrtConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import EngineError, GateNotMetError
from edgecv_cli.core.files import sha256_file
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.quantized import is_quantized
from edgecv_cli.graph.shapes import graph_inputs
from edgecv_cli.graph.tensorrt.target import TrtTarget
from edgecv_cli.graph.tensorrt.trtexec import BuildSettings, trtexec_line
from edgecv_cli.measure.parity import Parity, parity, pictures_for
from edgecv_cli.media.images import open_images
from edgecv_cli.runtime.base import EngineOptions
from edgecv_cli.runtime.opening import open_runner
from edgecv_cli.runtime.tensorrt import TensorRtEngine
from edgecv_cli.runtime.tensorrt_build import (
    Recipe,
    build_classic,
    read_timing_cache,
    why_not_here,
)
from edgecv_cli.stages.convert_trt_result import (
    Bundled,
    ConvertTrtResult,
    EngineBuilt,
    RuleFinding,
)
from edgecv_cli.stages.trt_bundle.bundle import Wanted, layers_meant, write_bundle

_ENGINE, _BUNDLE, _CACHE = "model.engine", "bundle", "timing.cache"
_GOLDEN = 8
_HALF = 10  # TensorProto.FLOAT16
_WORKSPACE_MB = 2048
_LEAST_DB = {True: 10.0, False: 25.0}  # of int8, and of float: far below it something is wrong
_REMEDY = "run it with --engine onnxruntime, or report the model: the rules let it pass"


@dataclass(frozen=True)
class Classic:
    """A checked model for classic TensorRT.

    Attributes:
        config: what was asked for.
        target: device and release.
        model: the checked model, written already.
        spec: how it is fed and read.
        folder: where the engine or the bundle goes.
    """

    config: ConvertTrtConfig
    target: TrtTarget
    model: Path
    spec: DetectorSpec
    folder: Path


def finish_classic(
    job: Classic, result: ConvertTrtResult, scratch: Path, context: Context
) -> tuple[ConvertTrtResult, Verified]:
    """Build and run the engine, or write the bundle that builds it on the device.

    Returns:
        The result with what came of it, and how far it was verified.

    Raises:
        GateNotMetError: TensorRT refuses the model, or its engine is wrong.
        EngineError: the model leaves its size open, or can't be run.
        UsageError, DataError: options or images can't be used.
        ChildFailureError: TensorRT crashed.
    """
    artifact = Artifact.open(job.model)
    settings = _settings(job.config, artifact)
    command = trtexec_line(job.target, quantized=is_quantized(artifact.model), settings=settings)
    result = result.model_copy(update={"command": command})
    reason = why_not_here(job.target)
    if reason is None:
        return _engine(job, artifact, settings, result, context), "ran"
    note = f"no engine was built here: {reason}"
    made = _bundle(job, artifact, settings, scratch, context)
    return result.model_copy(update={**made, "notes": (*result.notes, note)}), "structure"


def _settings(config: ConvertTrtConfig, artifact: Artifact) -> BuildSettings:
    return BuildSettings(
        workspace_mb=config.workspace or _WORKSPACE_MB,
        level=config.builder_level,
        version_compatible=config.version_compatible,
        hardware=config.hardware_compatible,
        shapes=_shapes(artifact, config.max_batch or 1),
    )


def _shapes(artifact: Artifact, most: int) -> tuple[tuple[str, tuple[tuple[int, ...], ...]], ...]:
    """Return the fewest, the usual and the most pictures of each input with an open batch.

    Raises:
        EngineError: more than the batch is open, or nothing is and many pictures are asked for.
    """
    found = []
    for value in graph_inputs(artifact.model):
        sizes = [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]
        rest = [size for size in sizes[1:] if size is not None]
        if len(rest) != len(sizes[1:]):
            raise EngineError(
                f"input {value.name} leaves its size open, and an engine needs one",
                remedy="add --fix --input-size HxW",
            )
        if sizes and sizes[0] is None:
            found.append((value.name, tuple((count, *rest) for count in (1, most, most))))
    if most > 1 and not found:
        raise EngineError(
            "--max-batch needs a model that leaves its batch open, and this one does not",
            remedy="leave --max-batch out, or export with a dynamic batch",
        )
    return tuple(found)


def _bundle(
    job: Classic, artifact: Artifact, settings: BuildSettings, scratch: Path, context: Context
) -> dict[str, Any]:
    """Write the bundle; returns what the result says of it."""
    folder = job.folder / _BUNDLE
    folder.mkdir()
    wanted = Wanted(
        artifact, job.spec, job.target, settings, _images(job.config), job.config.threads
    )
    written = write_bundle(wanted, folder, scratch, context)
    if job.config.timing_cache is not None:
        folder.joinpath(_CACHE).write_bytes(read_timing_cache(job.config.timing_cache))
    assert job.config.output is not None
    told = Bundled(
        files=dict(written.files), pictures=written.pictures, refused=dict(written.refused)
    )
    return {"bundle": str(job.config.output / _BUNDLE), "bundled": told}


def _images(config: ConvertTrtConfig) -> list[Path]:
    return [] if config.images is None else list(open_images(config.images, _GOLDEN).paths)


def _engine(
    job: Classic,
    artifact: Artifact,
    settings: BuildSettings,
    result: ConvertTrtResult,
    context: Context,
) -> ConvertTrtResult:
    engine, cache = job.folder / _ENGINE, job.folder / _CACHE
    model = artifact.model
    half = any(tensor.data_type == _HALF for tensor in model.graph.initializer)
    recipe = Recipe(
        job.target.generation, is_quantized(model), half, job.target.precision, settings
    )
    with context.progress.task("build engine", None, "engine"):
        built = build_classic(
            job.model, engine, recipe, context, read=job.config.timing_cache, saved=cache
        )
    if built.refusals:
        refused = tuple(
            RuleFinding(
                rule="parser", level="error", node=one.node, message=one.problem, remedy=_REMEDY
            )
            for one in built.refusals
        )
        said = f"TensorRT {built.version} refuses the model: {refused[0].message}"
        result = result.model_copy(update={"preflight": (*refused, *result.preflight)})
        raise GateNotMetError(said, remedy=_REMEDY, result=result)
    found, wrong, words = _run(job, artifact, engine, context)
    assert job.config.output is not None
    made = EngineBuilt(
        path=str(job.config.output / _ENGINE),
        runtime=f"TensorRT {built.version}",
        capabilities=(),
        size_bytes=built.size,
        sha256=sha256_file(engine),
        layers=dict(built.layers),
        precision=words,
        parity=found,
    )
    result = result.model_copy(update={"engine": made})
    if wrong is not None:
        raise GateNotMetError(wrong, remedy=_REMEDY, result=result)
    return result


def _run(
    job: Classic, artifact: Artifact, engine: Path, context: Context
) -> tuple[Parity, str | None, str]:
    """Run the engine beside ONNX Runtime; returns the parity, what is wrong, and its precision."""
    pictures, source = pictures_for(_images(job.config), job.spec, context.seed)
    reference = open_runner(artifact, threads=job.config.threads, exact=True)
    try:
        runner = TensorRtEngine(trusted=True).open(Artifact(engine, "tensorrt"), EngineOptions())
        try:
            found = parity(reference, runner, job.spec, pictures, context, source=source)
            meant = layers_meant(artifact.model) if is_quantized(artifact.model) else []
            wrong = _apart(found, _LEAST_DB[bool(meant)]) or runner.floats_instead(meant)
            return found, wrong, runner.execution.precision
        finally:
            runner.close()
    finally:
        reference.close()


def _apart(found: Parity, least: float) -> str | None:
    if found.problem is not None:
        return f"the engine is wrong: {found.problem}"
    if found.snr_db is not None and found.snr_db < least:
        return (
            f"the engine gives other outputs than ONNX Runtime: {found.snr_db:.1f} dB, at least "
            f"{least:g} dB are asked for"
        )
    return None
