"""One run of convert-tflite: inputs read, the file made, verified and held to the gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import LINEAGE_KEY, SPEC_KEY, Step, dump_lineage
from edgecv_cli.config.convert_tflite import ConvertTfliteConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ModelError, UsageError
from edgecv_cli.core.files import writing
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.require import require
from edgecv_cli.core.store import digest_key
from edgecv_cli.core.version import __version__
from edgecv_cli.detector.feeding import InputFeed
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.expose import exposed
from edgecv_cli.graph.facts import GraphFacts
from edgecv_cli.graph.headsplit import HeadSplit, split_at_heads
from edgecv_cli.graph.io import serialize
from edgecv_cli.graph.litert_bundle import Bundle, Port, Result, write_bundle
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.inference.calibration import CalibrationFeed
from edgecv_cli.measure.fitness import warnings_of
from edgecv_cli.measure.parity import pictures_for
from edgecv_cli.media.dataset import Dataset, open_dataset
from edgecv_cli.media.images import open_images
from edgecv_cli.runtime import tflite_convert
from edgecv_cli.runtime.litert import PACKAGE
from edgecv_cli.runtime.litert_layout import input_ports, output_ports
from edgecv_cli.runtime.opening import open_runner
from edgecv_cli.stages.convert_tflite_int8 import Readier, Ready, quantized
from edgecv_cli.stages.converting.gates import Gates
from edgecv_cli.stages.converting.verify import Pair

_INTEGER = ("int8", "mixed")
_AGREEMENT = {"float": 0.99, "int8": 0.80}
_SNR_DB = {"float": 30.0, "int8": 3.0}
_FIGURES = ("min_snr", "min_agreement", "max_drop", "min_speedup")
Array = NDArray[Any]


@dataclass(frozen=True)
class Source:
    """What is converted, and what it is judged on.

    Attributes:
        given: the model that was named.
        spec: how it is fed and read; the converted file is fed and read in the same way.
        facts: of the model, with open sizes fixed.
        split: the network that is converted, and the decoding that is left outside.
        calibration: images to calibrate on.
    """

    given: Artifact
    spec: DetectorSpec
    facts: GraphFacts
    split: HeadSplit
    images: Sequence[Path]
    calibration: Sequence[Path]
    data: Dataset | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @classmethod
    def read(cls, config: ConvertTfliteConfig, context: Context) -> Source:
        """Read every input, so that a bad one fails before the long work.

        Raises:
            MissingDependencyError: the side environment or the interpreter is not installed.
            UsageError, ModelError, DataError: an input can't be used.
        """
        tflite_convert.require_converter()
        require("ai_edge_litert", pip=PACKAGE, why="running the converted file")
        given = Artifact.open(config.model)
        _require_float(given, config)
        recognised = given.detector(config.spec, input_size=config.input_size)
        size = recognised.spec.input.size
        facts = given.facts(size)
        if len(facts.inputs) != 1:
            names = ", ".join(str(spec) for spec in facts.inputs)
            raise ModelError(
                f"the network takes {len(facts.inputs)} inputs ({names}), and a LiteRT file of "
                "edgecv takes one picture",
                remedy="export it with the other inputs fixed",
            )
        data = None if config.data is None else open_dataset(config.data, limit=config.limit)
        images = None if config.images is None else open_images(config.images, config.limit)
        calibration = (
            None
            if config.calibration is None
            else open_images(config.calibration, config.calibration_images)
        )
        warnings = warnings_of(given, recognised)
        notes = tuple(
            note for opened in (data, images, calibration) if opened for note in opened.notes
        )
        for note in (*(f"warning: {text}" for text in warnings), *notes):
            context.progress.note(note)
        model = normalise(given.model, input_size=size)
        whole = HeadSplit(model, None, tuple(value.name for value in model.graph.output))
        return cls(
            given=given,
            spec=recognised.spec,
            facts=facts,
            split=split_at_heads(model) if config.cut else whole,
            images=images.paths if images else (),
            calibration=calibration.paths if calibration else (),
            data=data,
            notes=notes,
            warnings=warnings,
        )


@dataclass(frozen=True)
class Made:
    """The converted file.

    Attributes:
        path: with edgecv's bundle appended.
        plain: without it, as other tools take it.
    """

    path: Path
    plain: Path
    bundle: Bundle
    lineage: tuple[Step, ...]
    notes: tuple[str, ...]


def make(config: ConvertTfliteConfig, source: Source, folder: Path, context: Context) -> Made:
    """Convert into a folder: the network, then its layout, then its precision.

    Raises:
        ChildFailureError: the converter failed.
        ModelError: what it wrote is not the original.
        EngineError: LiteRT can't run what it wrote.
        OutputError: the disk is full.
    """
    threads = config.threads or usable_cores()
    network, plain = folder / "network.onnx", folder / "float.tflite"
    ready = _ready(config, source, folder, context)
    part = source.split.network if ready is None else ready.network
    with writing(folder):
        network.write_bytes(serialize(part))
    steps = 1 if config.precision == "fp32" else 2
    with context.progress.task("convert", steps, "step") as task:
        tflite_convert.convert(network, plain, context)
        task.advance()
        feeds = _picture(source, context)
        wanted = _reference(network, feeds, source.split.heads, config.threads)
        inputs = input_ports(plain, source.facts.inputs, threads)
        heads = output_ports(plain, inputs, feeds, wanted, threads)
        notes = source.notes
        if config.precision != "fp32":
            plain, more = _narrowed(
                config, source, ready, plain, inputs=inputs, feeds=feeds, context=context
            )
            heads = output_ports(plain, inputs, feeds, wanted, threads)
            notes += more
            task.advance()
    lineage = (*source.given.lineage, _step(config, source))
    bundle = _bundle(source, inputs, heads, lineage)
    path = folder / f"made-{config.output.name}"  # a step's own file may have the plain name
    decode = None if source.split.decode is None else serialize(source.split.decode)
    with writing(folder):
        write_bundle(plain, path, bundle, decode, source.spec.classes)
    return Made(path, plain, bundle, lineage, notes)


def pair_of(config: ConvertTfliteConfig, source: Source, made: Made) -> Pair:
    """Return what is compared, and on what."""
    return Pair(
        original=source.given,
        source=source.given,
        converted=Artifact.open(made.path),
        spec=source.spec,
        stored=source.spec,
        engine="litert",
        exact=False,
        images=source.images or (() if source.data else source.calibration),
        data=source.data,
        threads=config.threads,
        speed_seconds=config.speed_seconds,
    )


def gates_of(config: ConvertTfliteConfig, pair: Pair) -> Gates:
    """Return the gates in force: raw outputs judge where there are no images to detect on."""
    agreed, snr = config.min_agreement, config.min_snr
    if agreed is None and pair.images:
        agreed = _AGREEMENT[config.kind]
    if snr is None and not pair.looked_at:
        snr = _SNR_DB[config.kind]
    return Gates(
        config.require,
        agreed,
        snr,
        config.drop_gate,
        config.min_speedup,
        asked=tuple(name for name in _FIGURES if getattr(config, name) is not None),
    )


def _require_float(given: Artifact, config: ConvertTfliteConfig) -> None:
    if given.format != "onnx":
        raise ModelError(
            f"'{given.path}' is no ONNX model", remedy="give the .onnx file that it was made from"
        )
    held = given.facts(config.input_size).precision
    if held in _INTEGER:
        raise UsageError(
            f"'{given.path}' is quantized, and LiteRT's integers are made from a float model",
            remedy="give the float model that it was made from; --precision int8 --calibration DIR "
            "makes it int8",
        )


def _picture(source: Source, context: Context) -> dict[str, Array]:
    """Return one picture as the network takes it."""
    looked_at = [*source.images, *source.calibration]
    pictures, _ = pictures_for(looked_at[:1], source.spec, context.seed)
    feed = InputFeed(source.facts.inputs, source.spec)
    feed.fill(pictures[0])
    return {name: value.copy() for name, value in feed.feeds.items()}


def _reference(
    network: Path, feeds: Mapping[str, Array], heads: Sequence[str], threads: int | None
) -> dict[str, Array]:
    runner = open_runner(Artifact.open(network), "onnxruntime", threads)
    try:
        wide = {
            spec.name: feeds[spec.name].astype(spec.dtype, copy=False) for spec in runner.inputs
        }
        found = runner.infer(wide)
        return {name: found[name] for name in heads}
    finally:
        runner.close()


def _ready(
    config: ConvertTfliteConfig, source: Source, folder: Path, context: Context
) -> Ready | None:
    """Return the network made fit for integers, None where it stays float."""
    if config.precision != "int8":
        return None
    readier = Readier(
        source.given,
        source.spec,
        source.calibration,
        folder=folder,
        threads=config.threads,
        context=context,
    )
    return readier.ready(source.split.network, apart=config.gates == "apart")


def _narrowed(
    config: ConvertTfliteConfig,
    source: Source,
    ready: Ready | None,
    plain: Path,
    *,
    inputs: Sequence[Port],
    feeds: Mapping[str, Array],
    context: Context,
) -> tuple[Path, tuple[str, ...]]:
    """Return the file in the precision that was asked for, and what to say of it."""
    if ready is None:
        narrow = plain.with_name("fp16.tflite")
        tflite_convert.halve(plain, narrow, context)
        return narrow, ()
    inner = plain.with_name("inner.onnx")
    names = [name for name in ready.ranges if name not in feeds]
    with writing(inner.parent):
        inner.write_bytes(serialize(exposed(ready.network, names)))
    known = {**_reference(inner, feeds, names, config.threads), **feeds}
    return quantized(
        ready,
        plain,
        inputs,
        CalibrationFeed(source.calibration, source.facts.inputs, source.spec, context),
        known={name: known[name] for name in ready.ranges},
        feeds=feeds,
        threads=config.threads or usable_cores(),
        context=context,
    )


def _bundle(
    source: Source, inputs: Sequence[Port], heads: Sequence[Port], lineage: Sequence[Step]
) -> Bundle:
    metadata = {
        **source.facts.metadata,
        SPEC_KEY: source.spec.dumps(),
        LINEAGE_KEY: dump_lineage(lineage),
    }
    outputs = tuple(
        Result(name=spec.name, shape=tuple(size or 1 for size in spec.shape), dtype=spec.dtype)
        for spec in source.facts.outputs
    )
    return Bundle(
        metadata=dict(sorted(metadata.items())), inputs=tuple(inputs), heads=tuple(heads),
        outputs=outputs,
    )  # fmt: skip


def _step(config: ConvertTfliteConfig, source: Source) -> Step:
    return Step(
        stage="convert-tflite",
        config=digest_key(
            precision=config.precision,
            decode="outside" if config.cut else "inside",
            gates=config.gates if config.precision == "int8" else "together",
            size=list(source.spec.input.size),
            images=len(source.calibration),
        ),
        parents=(source.given.content_digest,),
        versions={"edgecv": __version__, **tflite_convert.converter_versions()},
    )
