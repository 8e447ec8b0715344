"""One run of convert-openvino: inputs read, the IR written, verified and held to the gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import LINEAGE_KEY, SPEC_KEY, Step, dump_lineage
from edgecv_cli.config.convert_openvino import ConvertOpenVinoConfig
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError, ModelError, UsageError
from edgecv_cli.core.require import require
from edgecv_cli.core.store import digest_key
from edgecv_cli.core.tensors import is_nhwc
from edgecv_cli.core.version import __version__
from edgecv_cli.detector.feeding import image_of
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.measure.fitness import warnings_of
from edgecv_cli.measure.hardware import engine_versions
from edgecv_cli.media.dataset import Dataset, open_dataset
from edgecv_cli.media.images import ImageFolder, open_images
from edgecv_cli.runtime.openvino_convert import write_ir
from edgecv_cli.stages.convert_openvino_report import build_result, unmade_result
from edgecv_cli.stages.converting.gates import Gates, outcomes
from edgecv_cli.stages.converting.result import ConvertOpenVinoResult
from edgecv_cli.stages.converting.verify import Pair, Seen, verify
from edgecv_cli.stages.quantize import quantize
from edgecv_cli.stages.quantize_result import QuantizeResult

_INTEGER = ("int8", "mixed")
_AGREEMENT = {"float": 0.99, "coarse": 0.90}
_SNR_DB = {"float": 30.0, "coarse": 10.0}
_FIGURES = ("min_snr", "min_agreement", "max_drop", "min_speedup")
_KEEP = "leave --precision out to convert it as it is"


@dataclass(frozen=True)
class Source:
    """What is converted, and what it is judged on.

    Attributes:
        given: the model that was named; what is saved is held against it.
        artifact: the model that is converted: the same, or its int8 form made here.
        spec: how the given model is fed and read.
        precision: of the result's weights: fp32, fp16 or int8.
        quantized: how ``artifact`` was made, if it was made here.
        notes, warnings: what a user should know.
    """

    given: Artifact
    artifact: Artifact
    spec: DetectorSpec
    precision: str
    images: Sequence[Path]
    data: Dataset | None
    quantized: QuantizeResult | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @classmethod
    def read(cls, config: ConvertOpenVinoConfig, folder: Path, context: Context) -> Source:
        """Read every input, so that a bad one fails before the long work; quantize if asked.

        Raises:
            GateNotMetError: the int8 form was refused; with a result that says why.
            UsageError, ModelError, DataError: an input can't be used.
        """
        require("openvino", pip="openvino", why="convert-openvino")
        given = Artifact.open(config.model)
        precision = _precision(config, given)
        recognised = given.detector(config.spec, input_size=config.input_size)
        data = None if config.data is None else open_dataset(config.data, limit=config.limit)
        images = None if config.images is None else open_images(config.images, config.limit)
        warnings = warnings_of(given, recognised)
        notes = tuple(note for opened in (data, images) if opened for note in opened.notes)
        for note in (*(f"warning: {text}" for text in warnings), *notes):
            context.progress.note(note)
        artifact, quantized = given, None
        if config.calibration is not None:
            artifact, quantized = _quantized(config, recognised.spec, folder, context)
        return cls(
            given=given,
            artifact=artifact,
            spec=recognised.spec,
            precision=precision,
            images=_compared_on(config, images, quantized),
            data=data,
            quantized=quantized,
            notes=notes,
            warnings=warnings,
        )

    @property
    def stored_spec(self) -> DetectorSpec:
        """The spec that the result carries; an int8 form may have a threshold of its own."""
        if self.quantized is None:
            return self.spec
        return self.artifact.detector().spec


@dataclass(frozen=True)
class Judged:
    """The converted file, and how it stood up."""

    path: Path
    seen: Seen
    result: ConvertOpenVinoResult
    refused: tuple[str, ...]
    looked_at: Sequence[Path]


def judged(config: ConvertOpenVinoConfig, source: Source, folder: Path, context: Context) -> Judged:
    """Write the IR into a folder, run it beside the original, and hold it to the gates."""
    place = folder / "converted"
    place.mkdir()
    xml = place / config.output.name
    shapes = _shapes(config, source)
    notes = [*source.notes]
    if shapes:
        fixed = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        notes.append(f"what the model leaves open was fixed: {fixed}")
    lineage = _lineage(config, source, shapes)
    stored = source.stored_spec
    entries = {SPEC_KEY: stored.dumps(), LINEAGE_KEY: dump_lineage(lineage)}
    with context.progress.task("convert", 1, "model") as task:
        write_ir(
            source.artifact.path,
            xml,
            half=source.precision == "fp16",
            fold=source.precision != "int8",
            shapes=shapes,
            entries=entries,
        )
        task.advance()
    pair = Pair(
        original=source.given,
        source=source.artifact,
        converted=Artifact.open(xml),
        spec=source.spec,
        stored=stored,
        engine=config.run_as,
        exact=source.given.facts(config.input_size).precision in _INTEGER,
        images=source.images,
        data=source.data,
        threads=config.threads,
        speed_seconds=config.speed_seconds,
    )
    seen = verify(pair, context)
    made = outcomes(_gates(config, source), seen)
    result = build_result(config, source, pair, seen, made, notes=notes, lineage=lineage)
    refused = tuple(one.name for one in made if not one.met)
    return Judged(xml, seen, result, refused, pair.looked_at)


def _compared_on(
    config: ConvertOpenVinoConfig, given: ImageFolder | None, quantized: QuantizeResult | None
) -> Sequence[Path]:
    """Return the images to compare on: those given, else those that were calibrated on."""
    if given is not None:
        return given.paths
    if quantized is None or quantized.calibration is None or config.calibration is None:
        return ()
    skipped = set(quantized.calibration.skipped)
    paths = open_images(config.calibration, config.calibration_images).paths
    return [path for path in paths if skipped.isdisjoint((path.name, str(path)))]


def _precision(config: ConvertOpenVinoConfig, given: Artifact) -> str:
    """Return what the result's weights are stored in.

    Raises:
        ModelError: float is asked for, and the model is quantized.
        UsageError: int8 is asked for, and nothing says how.
    """
    held = given.facts(config.input_size).precision
    held = "int8" if held in _INTEGER else held
    asked = {"auto": held, "bf16": "fp32" if held == "fp16" else held}.get(
        config.precision, config.precision
    )
    if held == "int8" and (config.precision not in ("auto", "int8")):
        raise ModelError(
            f"'{given.path}' is quantized already, and --precision {config.precision} needs a "
            "float model",
            remedy=f"give the float model that it was made from, or {_KEEP}",
        )
    if held == "int8" and config.calibration is not None:
        raise UsageError(
            f"'{given.path}' is quantized already: there is nothing to calibrate",
            remedy="leave --calibration out, or give the float model that it was made from",
        )
    if asked == "int8" and held != "int8" and config.calibration is None:
        raise UsageError(
            f"'{given.path}' is a float model: int8 needs images to calibrate on",
            remedy="add --calibration DIR, or give what `edgecv quantize --target openvino` made",
        )
    if held == "fp16" and asked == "fp32":
        raise UsageError(
            f"'{given.path}' holds float16 weights, which fp32 would not make more exact",
            remedy=f"give the float32 model that it was made from, or {_KEEP}",
        )
    return asked


def _quantized(
    config: ConvertOpenVinoConfig,
    spec: DetectorSpec,
    folder: Path,
    context: Context,
) -> tuple[Artifact, QuantizeResult]:
    path = folder / "int8.onnx"
    settings: dict[str, Any] = {
        "model": config.model,
        "output": path,
        "calibration": config.calibration,
        "images": config.calibration_images,
        "data": config.data,
        "limit": config.limit,
        "input_size": config.input_size,
        "target": "openvino",
        "prefer": config.prefer,
        "max_drop": config.drop_gate,
        "min_agreement": config.min_agreement,
        "speed_seconds": config.speed_seconds
        or QuantizeConfig.model_fields["speed_seconds"].default,
        "spec": config.spec,
        "threads": config.threads,
        "seed": config.seed,
    }
    try:
        result = quantize(QuantizeConfig(**settings), context)
    except GateNotMetError as error:
        if isinstance(error.result, QuantizeResult):
            error.result = unmade_result(config, spec, error.result)
        raise
    kept = result.model_copy(update={"saved": None, "model": str(config.model)})
    return Artifact.open(path), kept


def _shapes(config: ConvertOpenVinoConfig, source: Source) -> dict[str, tuple[int, ...]]:
    """Return the shape of every input that is fixed further than the model has it; -1: open."""
    inputs = source.artifact.facts(config.input_size).inputs
    declared = _declared(source.artifact)
    image = image_of(inputs, source.spec.input)
    found = {}
    for tensor in inputs:
        open_ = declared.get(tensor.name, tensor.shape)
        shape = list(open_)
        if tensor.name == image.name:
            first = 1 if is_nhwc(image.shape) else 2
            for axis, side in zip((first, first + 1), source.spec.input.size, strict=True):
                shape[axis] = shape[axis] or side
        if shape and shape[0] is None and not config.dynamic_batch:
            shape[0] = 1
        if shape != list(open_):
            found[tensor.name] = tuple(-1 if size is None else size for size in shape)
    return found


def _declared(artifact: Artifact) -> dict[str, tuple[int | None, ...]]:
    """Return the inputs' shapes as the file has them, open where it leaves them open."""
    from edgecv_cli.graph.inspect import input_specs

    return {tensor.name: tensor.shape for tensor in input_specs(artifact.model)}


def _lineage(
    config: ConvertOpenVinoConfig, source: Source, shapes: dict[str, tuple[int, ...]]
) -> list[Step]:
    versions = {"edgecv": __version__}
    versions |= {name: v for name, v in engine_versions().items() if name == "openvino"}
    step = Step(
        stage="convert-openvino",
        config=digest_key(
            precision=source.precision,
            hint=config.precision if config.precision == "bf16" else "f32",
            shapes={name: list(shape) for name, shape in shapes.items()},
        ),
        parents=(source.artifact.content_digest,),
        versions=versions,
    )
    return [*source.artifact.lineage, step]


def _gates(config: ConvertOpenVinoConfig, source: Source) -> Gates:
    """Return the gates in force: raw outputs judge where there are no images to detect on."""
    kind = "coarse" if source.precision == "int8" or config.precision == "bf16" else "float"
    agreed, snr = config.min_agreement, config.min_snr
    if agreed is None and source.images:
        agreed = _AGREEMENT[kind]
    if snr is None and not source.images and config.data is None:
        snr = _SNR_DB[kind]
    return Gates(
        config.require,
        agreed,
        snr,
        config.drop_gate,
        config.min_speedup,
        asked=tuple(name for name in _FIGURES if getattr(config, name) is not None),
    )
