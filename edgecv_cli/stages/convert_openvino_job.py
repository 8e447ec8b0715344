"""One form of convert-openvino: inputs read, the IR written, verified and held to the gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import LINEAGE_KEY, SPEC_KEY, Step, dump_lineage
from edgecv_cli.config.convert_openvino import ConvertOpenVinoConfig, Quantizer
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ModelError, UsageError
from edgecv_cli.core.require import require
from edgecv_cli.core.store import digest_key
from edgecv_cli.core.tensors import is_nhwc
from edgecv_cli.core.version import __version__
from edgecv_cli.detector.feeding import image_of
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.measure.fitness import warnings_of
from edgecv_cli.measure.hardware import engine_versions
from edgecv_cli.media.dataset import Dataset, open_dataset
from edgecv_cli.media.images import open_images
from edgecv_cli.runtime.openvino_convert import write_ir
from edgecv_cli.stages.baking import bake
from edgecv_cli.stages.baking_result import BakedInput
from edgecv_cli.stages.convert_openvino_report import build_result
from edgecv_cli.stages.converting.gates import Gates, outcomes
from edgecv_cli.stages.converting.int8_form import require_calibration
from edgecv_cli.stages.converting.result import ConvertOpenVinoResult
from edgecv_cli.stages.converting.verify import Pair, Seen, verify
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
        given: the model that was named, or its form that takes bytes; what is saved is held
            against it.
        artifact: the model that is converted: the same, or its int8 form made here.
        spec: how the given model is fed and read.
        stored_spec: what the result carries; an int8 form may have a threshold of its own.
        precision: of the result's weights: fp32, fp16 or int8.
        quantizer: what made ``artifact``, if it was made here; ``quantized`` is what edgecv's
            says of it.
        history: the steps that made ``artifact``.
        notes, warnings: what a user should know.
        baked: how the model was made to take bytes, if it was.
    """

    given: Artifact
    artifact: Artifact
    spec: DetectorSpec
    stored_spec: DetectorSpec
    precision: str
    images: Sequence[Path]
    data: Dataset | None
    history: tuple[Step, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    quantizer: Quantizer | None = None
    quantized: QuantizeResult | None = None
    baked: BakedInput | None = None

    @classmethod
    def read(cls, config: ConvertOpenVinoConfig, folder: Path, context: Context) -> Source:
        """Read every input, so that a bad one fails before the long work.

        ``folder`` has to last as long as what is returned.

        Raises:
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
        spec, baking = recognised.spec, None
        if config.bake_preprocess:
            paths = images.paths if images else [item.path for item in data.items] if data else ()
            baking = bake(config, given, spec, paths, folder=folder, context=context)
            given, spec = baking.artifact, baking.spec
            notes = (*notes, f"preprocessing {baking.said}")
        return cls(
            given=given,
            artifact=given,
            spec=spec,
            stored_spec=spec,
            baked=None if baking is None else baking.said,
            precision=precision,
            images=() if images is None else images.paths,
            data=data,
            history=tuple(given.lineage),
            notes=notes,
            warnings=warnings,
        )

    @property
    def framed(self) -> Artifact:
        """The ONNX model that has the result's inputs and outputs."""
        return self.artifact if self.artifact.format == "onnx" else self.given


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
    place = folder / f"converted-{source.quantizer or 'given'}"
    place.mkdir()
    xml = place / config.output.name
    shapes = shapes_of(config, source)
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
        source=source.framed,
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
    if asked == "int8":
        require_calibration(
            given, quantized=held == "int8", calibration=config.calibration, target="openvino"
        )
    if held == "fp16" and asked == "fp32":
        raise UsageError(
            f"'{given.path}' holds float16 weights, which fp32 would not make more exact",
            remedy=f"give the float32 model that it was made from, or {_KEEP}",
        )
    return asked


def shapes_of(config: ConvertOpenVinoConfig, source: Source) -> dict[str, tuple[int, ...]]:
    """Return the shape of every input that is fixed further than the model has it; -1: open."""
    inputs = source.framed.facts(config.input_size).inputs
    declared = _declared(source.framed)
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
    return [*source.history, step]


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
