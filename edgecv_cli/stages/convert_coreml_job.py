"""One run of convert-coreml: inputs read, the package made and read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import LINEAGE_KEY, SPEC_KEY, Step, dump_lineage
from edgecv_cli.config.convert_coreml import ConvertCoremlConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ModelError, UsageError
from edgecv_cli.core.files import writing
from edgecv_cli.core.store import digest_key
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.core.version import __version__
from edgecv_cli.detector.feeding import image_of
from edgecv_cli.detector.ingraph import decoded, foreground, suppressed_spec
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.coreml_facts import INTERFACE_KEY, Picture, Port, dump_interface
from edgecv_cli.graph.coreml_pipeline import BOXES, IMAGE, RAW_BOXES, RAW_SCORES, SCORES, Nms
from edgecv_cli.graph.coreml_prepare import Prepared, prepared
from edgecv_cli.graph.facts import GraphFacts
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.measure.fitness import warnings_of
from edgecv_cli.media.dataset import Dataset, open_dataset
from edgecv_cli.media.images import open_images
from edgecv_cli.runtime.coreml_convert import (
    Order,
    Stop,
    convert,
    converter_versions,
    require_converter,
)
from edgecv_cli.stages.converting.gates import Gates
from edgecv_cli.stages.converting.verify import Pair

if TYPE_CHECKING:
    import onnx

_INTEGER = ("int8", "mixed")
_AGREEMENT = {"float": 0.99, "compressed": 0.90}
_SNR_DB = {"float": 20.0, "compressed": 10.0}
_FIGURES = ("min_snr", "min_agreement", "max_drop", "min_speedup")


@dataclass(frozen=True)
class Source:
    """What is converted, and what it is judged on.

    Attributes:
        given: the model that was named.
        spec: how it is fed and read.
        stored: how the package is: in the same way, or what its NMS leaves.
        facts: of the model, with open sizes fixed.
        prepared: the graph as the converter takes it.
        nms: what stands behind it in the package.
    """

    given: Artifact
    spec: DetectorSpec
    stored: DetectorSpec
    facts: GraphFacts
    prepared: Prepared
    nms: Nms | None
    images: Sequence[Path]
    data: Dataset | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @classmethod
    def read(cls, config: ConvertCoremlConfig, context: Context) -> Source:
        """Read every input, so that a bad one fails before the long work.

        Raises:
            MissingDependencyError: a converter is not installed.
            UsageError, ModelError, DataError: an input can't be used.
        """
        require_converter(palettes=config.compression == "palettize")
        given = Artifact.open(config.model)
        _require_float(given, config)
        recognised = given.detector(config.spec, input_size=config.input_size)
        size = recognised.spec.input.size
        facts = given.facts(size)
        data = None if config.data is None else open_dataset(config.data, limit=config.limit)
        images = None if config.images is None else open_images(config.images, config.limit)
        warnings = warnings_of(given, recognised)
        notes = tuple(note for opened in (data, images) if opened for note in opened.notes)
        for note in (*(f"warning: {text}" for text in warnings), *notes):
            context.progress.note(note)
        model = normalise(given.model, input_size=size)
        spec = recognised.spec
        return cls(
            given=given,
            spec=spec,
            stored=suppressed_spec(spec, BOXES, SCORES) if config.nms else spec,
            facts=facts,
            prepared=_prepared(config, model, facts, spec),
            nms=Nms(spec.nms_iou, spec.score_threshold, foreground(spec)) if config.nms else None,
            images=images.paths if images else (),
            data=data,
            notes=notes,
            warnings=warnings,
        )


def _prepared(
    config: ConvertCoremlConfig, model: onnx.ModelProto, facts: GraphFacts, spec: DetectorSpec
) -> Prepared:
    """Return the graph as the converter takes it, decoded where an NMS is to stand behind it."""
    image = image_of(facts.inputs, spec.input).name
    pictures = {image: picture(spec)} if config.feed == "image" else {}
    if not config.nms:
        return prepared(model, facts.inputs, facts.outputs, pictures)
    raw = decoded(model, spec, facts.outputs, boxes=RAW_BOXES, scores=RAW_SCORES)
    made = prepared(raw.model, facts.inputs, raw.outputs, pictures, called={image: IMAGE})
    left = tuple(
        Port(name=name, shape=(None, *port.shape[1:]), dtype=port.dtype, feature=name)
        for name, port in zip((BOXES, SCORES), made.interface.outputs, strict=True)
    )
    return Prepared(made.model, made.interface.model_copy(update={"outputs": left}))


@dataclass(frozen=True)
class Made:
    """What came of the conversion: a package, or what stops it."""

    path: Path
    stops: tuple[Stop, ...]
    lineage: tuple[Step, ...]


def picture(spec: DetectorSpec) -> Picture:
    """Return how a pixel of 0..255 becomes what the network takes: (pixel / scale - mean) / std."""
    fed = spec.input
    scale, offset = (
        tuple(1 / (fed.scale * std) for std in fed.std),
        tuple(-mean / std + 0.0 for mean, std in zip(fed.mean, fed.std, strict=True)),
    )
    return Picture.model_validate({"color": fed.color, "scale": scale, "offset": offset})


def make(config: ConvertCoremlConfig, source: Source, folder: Path, context: Context) -> Made:
    """Convert into a folder.

    Raises:
        ModelError: coremltools refuses the model.
        ChildFailureError: a converter failed.
        OutputError: the disk is full.
    """
    from edgecv_cli.graph.io import serialize

    network, package = folder / "network.onnx", folder / config.output.name
    work = folder / "work"
    interface = source.prepared.interface
    lineage = (*source.given.lineage, _step(config, source))
    metadata = {
        **source.facts.metadata,
        SPEC_KEY: source.stored.dumps(),
        LINEAGE_KEY: dump_lineage(lineage),
        INTERFACE_KEY: dump_interface(interface),
    }
    order = Order(
        target=config.minimum_deployment_target,
        compute="fp32" if config.precision == "fp32" else "fp16",
        weights=config.compression,
        bits=config.palette_bits,
        pictures={one.feature: one.picture.color for one in interface.inputs if one.picture},
        metadata=metadata,
        nms=source.nms,
        boxes=candidates_of(source),
    )
    with writing(folder):
        work.mkdir()
        network.write_bytes(serialize(source.prepared.model))
    with context.progress.task("convert", 1, "model") as task:
        stops = convert(network, package, order, context, folder=work)
        task.advance()
    return Made(package, stops, lineage)


def candidates_of(source: Source) -> int:
    """Return how many boxes go into the NMS; 0 where there is none."""
    if source.nms is None:
        return 0
    axes = source.prepared.model.graph.output[0].type.tensor_type.shape.dim
    return int(axes[0].dim_value)


def pair_of(config: ConvertCoremlConfig, source: Source, made: Made) -> Pair:
    """Return what is compared, and on what."""
    return Pair(
        original=source.given,
        source=source.given,
        converted=Artifact.open(made.path),
        spec=source.spec,
        stored=source.stored,
        engine=config.engine,
        exact=False,
        images=source.images,
        data=source.data,
        threads=config.threads,
        speed_seconds=config.speed_seconds,
        presents=_presented(source),
    )


def _presented(source: Source) -> tuple[TensorSpec, ...] | None:
    if source.nms is None:
        return None
    return tuple(port.spec for port in source.prepared.interface.outputs)


def gates_of(config: ConvertCoremlConfig, pair: Pair) -> Gates:
    """Return the gates in force: raw outputs judge where there are no images to detect on."""
    kind = "compressed" if config.compression else "float"
    agreed, snr = config.min_agreement, config.min_snr
    if agreed is None and pair.images:
        agreed = _AGREEMENT[kind]
    if snr is None and not pair.looked_at and pair.presents is None:
        snr = _SNR_DB[kind]
    return Gates(
        config.required,
        agreed,
        snr,
        config.drop_gate,
        config.min_speedup,
        asked=tuple(name for name in _FIGURES if getattr(config, name) is not None),
    )


def _require_float(given: Artifact, config: ConvertCoremlConfig) -> None:
    if given.format != "onnx":
        raise ModelError(
            f"'{given.path}' is no ONNX model", remedy="give the .onnx file that it was made from"
        )
    if given.facts(config.input_size).precision in _INTEGER:
        raise UsageError(
            f"'{given.path}' is quantized, and Core ML's integers are made from a float model",
            remedy="give the float model that it was made from; --precision int8-weights stores "
            "its weights as integers",
        )


def _step(config: ConvertCoremlConfig, source: Source) -> Step:
    return Step(
        stage="convert-coreml",
        config=digest_key(
            precision=config.precision,
            bits=config.palette_bits if config.compression == "palettize" else None,
            feed=config.feed,
            target=config.minimum_deployment_target,
            size=list(source.spec.input.size),
            **({} if source.nms is None else {"nms": [source.nms.iou, source.nms.confidence]}),
        ),
        parents=(source.given.content_digest,),
        versions={"edgecv": __version__, **converter_versions()},
    )
