"""Say what a model is, and how that was worked out; nothing is written.

Nothing is run either, unless a probe of the preprocessing is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import Step
from edgecv_cli.core.errors import UnrecognisedError
from edgecv_cli.core.result import Part, Result
from edgecv_cli.detector.feeding import image_of
from edgecv_cli.detector.recognise import Recognised, load_spec_overrides, recognise
from edgecv_cli.measure.hardware import machine
from edgecv_cli.measure.preprocessing_result import ProbeResult

if TYPE_CHECKING:
    from pathlib import Path

    from edgecv_cli.config.inspect import InspectConfig
    from edgecv_cli.core.context import Context
    from edgecv_cli.core.tensors import TensorSpec
    from edgecv_cli.detector.spec import DetectorSpec
    from edgecv_cli.graph.facts import GraphFacts


class Tensor(Part):
    """An input or output of the graph."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] = Field(description="null where the graph leaves an axis open.")


class DetectorReading(Part):
    """How a detector is fed and read, and why that is believed."""

    family: str
    confidence: float = Field(description="0..1: how sure the recognition is of the family.")
    evidence: tuple[str, ...] = Field(description="What was seen in the graph or its metadata.")
    assumed: tuple[str, ...] = Field(
        description="What can't be seen and was taken from the family's reference."
    )
    input_size: tuple[int, int] = Field(description="[height, width] in pixels.")
    dtype: str = Field(default="float32", description="Element type of the image input.")
    layout: str = Field(
        default="nchw", description="nchw or nhwc: where the image input has its channels."
    )
    batch: int = Field(
        default=1,
        description="Images of one run. Of a fixed batch above 1 every place is fed the same "
        "image, and the first answer is read.",
    )
    color: str
    resize: str
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pad: int
    boxes: str = Field(description="Order of the box coordinates that the network gives.")
    strides: tuple[int, ...]
    score_threshold: float
    nms_iou: float
    classes: tuple[str, ...]


class InspectResult(Result):
    """What ``edgecv inspect`` prints; everything is read from the file, nothing is timed."""

    schema_: str = Field(
        default="edgecv.inspect/1", serialization_alias="schema", validation_alias="schema"
    )
    model: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    opset: int
    parameters: int = Field(description="Weight elements.")
    macs: int | None = Field(
        None, description="Multiply-accumulates of one image; absent where shapes are open."
    )
    operators: dict[str, int] = Field(description="Operator to how often it occurs.")
    size_bytes: int
    sha256: str
    content_digest: str = Field(description="sha256 without edgecv's own metadata.")
    precision: str
    detector: DetectorReading | None = None
    provenance: tuple[Step, ...] = Field(description="The steps that made it, oldest first.")
    probe: ProbeResult | None = Field(
        default=None, description="Which preprocessing the model answers to best; with --probe."
    )
    notes: tuple[str, ...] = ()


def inspect(config: InspectConfig, context: Context) -> InspectResult:
    """Look at a model; one that is no detector is no error, and a note says why it is none.

    Raises:
        UnrecognisedError: it is no detector that edgecv reads, and a probe is asked for.
        DataError: the probe's images can't be used.
        ModelError: the file is missing, broken or hostile.
        ConfigError: the spec file can't be read.
    """
    artifact = Artifact.open(config.model)
    context.cancel.check()
    facts = artifact.facts(config.input_size)
    context.cancel.check()
    detector: DetectorReading | None = None
    probe: ProbeResult | None = None
    notes: tuple[str, ...] = ()
    try:
        found = _recognised(facts, config.spec)
        detector = _reading(found, _batch(facts, found.spec))
        notes = _batch_note(detector.batch)
        if config.probe is not None:
            probe = _probed(artifact, found.spec, config.probe, config, context)
    except UnrecognisedError as error:
        if config.probe is not None:
            raise
        notes = (f"not read as a detector: {error.problem}", error.remedy)
    return InspectResult(
        machine=machine(config.threads) if probe else None,
        model=str(config.model),
        inputs=_tensors(facts.inputs),
        outputs=_tensors(facts.outputs),
        opset=facts.opset,
        parameters=facts.parameters,
        macs=facts.macs,
        operators=dict(sorted(facts.op_counts.items())),
        size_bytes=artifact.size_bytes,
        sha256=artifact.sha256,
        content_digest=artifact.content_digest,
        precision=facts.precision,
        detector=detector,
        provenance=artifact.lineage,
        probe=probe,
        notes=notes,
    )


def _recognised(facts: GraphFacts, spec_file: Path | None) -> Recognised:
    override = None if spec_file is None else load_spec_overrides(spec_file)
    return recognise(facts, override=override)


def _tensors(specs: tuple[TensorSpec, ...]) -> tuple[Tensor, ...]:
    return tuple(Tensor(name=spec.name, dtype=spec.dtype, shape=spec.shape) for spec in specs)


def _probed(
    artifact: Artifact, spec: DetectorSpec, images: Path, config: InspectConfig, context: Context
) -> ProbeResult:
    from edgecv_cli.measure.preprocessing_criteria import open_criterion
    from edgecv_cli.measure.preprocessing_probe import probe_preprocessing
    from edgecv_cli.runtime.opening import open_runner

    criterion = open_criterion(images, config.probe_images, spec, context)
    runner = open_runner(artifact, threads=config.threads)
    try:
        return probe_preprocessing(runner, spec, criterion, context)
    finally:
        runner.close()


def _batch(facts: GraphFacts, spec: DetectorSpec) -> int:
    return image_of(facts.inputs, spec.input).shape[0] or 1


def _batch_note(batch: int) -> tuple[str, ...]:
    if batch == 1:
        return ()
    return (
        f"the graph takes {batch} images a run: each is fed in all {batch} places and the first "
        "answer is read; an export with batch 1 does the same work faster",
    )


def _reading(found: Recognised, batch: int) -> DetectorReading:
    spec, image = found.spec, found.spec.input
    return DetectorReading(
        family=spec.family,
        confidence=found.confidence,
        evidence=found.evidence,
        assumed=found.assumed,
        input_size=image.size,
        dtype=image.dtype,
        layout=image.layout,
        batch=batch,
        color=image.color,
        resize=image.resize,
        scale=image.scale,
        mean=image.mean,
        std=image.std,
        pad=image.pad,
        boxes=spec.boxes,
        strides=spec.strides,
        score_threshold=spec.score_threshold,
        nms_iou=spec.nms_iou,
        classes=spec.classes,
    )
