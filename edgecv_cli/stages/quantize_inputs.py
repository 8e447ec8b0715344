"""What quantize is given, read and checked before the long work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.quantization.evidence import Evidence, gather, read_topology
from edgecv_cli.compress.quantization.plan import QuantizePlan
from edgecv_cli.compress.quantization.requantize import as_float, require_float
from edgecv_cli.compress.quantization.targets import TargetRules, resolve_target
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import UsageError
from edgecv_cli.core.files import Publication
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.topology import Topology
from edgecv_cli.measure.fitness import warnings_of
from edgecv_cli.media.dataset import Dataset, open_dataset
from edgecv_cli.media.images import ImageFolder, open_images
from edgecv_cli.stages.baking import bake
from edgecv_cli.stages.baking_result import BakedInput


@dataclass(frozen=True)
class Inputs:
    """Everything that a run was given.

    Attributes:
        artifact: the float model: as it was given, or brought back to float from integers; where
            that was asked for, with its preprocessing inside.
        parent: content digest of the model that was given, or of its form that takes bytes.
        topology: its normalised float graph.
        rules: what the target asks.
        engine: what measures; ``exact``: without its integer kernels, which are not the target's.
        images: for calibration; None if a plan is replayed on labelled images alone.
        data: labelled images, if any.
        plan: the plan to replay, if any.
        input_size: [height, width] that a dynamic graph is fixed to.
        doubts: what speaks against the detector's spec.
        baked: how ``artifact`` was made to take bytes, if it was.
    """

    artifact: Artifact
    parent: str
    spec: DetectorSpec
    topology: Topology
    rules: TargetRules
    engine: str
    exact: bool
    images: ImageFolder | None
    data: Dataset | None
    plan: QuantizePlan | None
    input_size: tuple[int, int] | None
    doubts: tuple[str, ...]
    baked: BakedInput | None = None

    @classmethod
    def read(cls, config: QuantizeConfig, folder: Path, context: Context) -> Inputs:
        """Read every input, so that a bad one fails before the long work.

        ``folder`` has to last as long as what is returned.

        Raises:
            UsageError: options contradict each other or the inputs.
            ModelError, DataError, ConfigError: an input can't be used.
        """
        given = Artifact.open(config.model)
        artifact = as_float(given, folder) if config.requantize else given
        restored = given is not artifact
        require_float(artifact, config.input_size)
        plan = None if config.plan is None else _read_plan(config, config.plan)
        rules = resolve_target(config.target if plan is None else plan.target)
        engine = config.engine or (rules.engine if rules.here else "onnxruntime")
        _check(config, rules)
        input_size = config.input_size if plan is None else plan.input_size
        recognised = artifact.detector(config.spec, input_size=input_size)
        doubts = tuple(warnings_of(artifact, recognised))
        if plan is not None and not config.bake_preprocess:
            plan.require_source(artifact.content_digest)
        data = None if config.data is None else open_dataset(config.data, limit=config.limit)
        images = None
        if config.calibration is not None:
            images = open_images(config.calibration, config.images)
        spec, parent, baking = recognised.spec, given.content_digest, None
        if config.bake_preprocess:
            paths = images.paths if images else [item.path for item in data.items] if data else ()
            baking = bake(config, artifact, spec, paths, folder=folder, context=context)
            artifact, spec = baking.artifact, baking.spec
            parent = artifact.content_digest
            if plan is not None:
                plan.require_source(parent)
        topology = read_topology(artifact, input_size)
        notes = [note for opened in (data, images) if opened for note in opened.notes]
        if restored:
            notes.append("the model is quantized already: it was brought back to float first")
        if artifact.facts(input_size).precision == "fp16":
            notes.append("the model is float16: what is not made int8 becomes float32")
        for note in (*(f"warning: {doubt}" for doubt in doubts), *notes):
            context.progress.note(note)
        return cls(
            artifact=artifact,
            parent=parent,
            spec=spec,
            baked=None if baking is None else baking.said,
            topology=topology,
            rules=rules,
            engine=engine,
            exact=not rules.here,
            images=images,
            data=data,
            plan=plan,
            input_size=input_size,
            doubts=doubts,
        )

    def observe(
        self, topology: Topology, paths: Sequence[Path], *, threads: int | None, context: Context
    ) -> Evidence:
        """Take the ranges of a form of the float graph: as it is, or equalised.

        Raises:
            DataError: no image can be decoded.
        """
        return gather(
            self.artifact,
            topology,
            self.spec,
            paths,
            input_size=self.input_size,
            engine="onnxruntime",
            threads=threads,
            context=context,
        )


def _check(config: QuantizeConfig, rules: TargetRules) -> None:
    if config.min_speedup and not rules.here:
        raise UsageError(
            f"--min-speedup can't be judged here: this machine is not a {rules.name}",
            remedy="leave --min-speedup out, or quantize on such a machine",
        )
    for extra in (config.save_plan, config.keep_rejected):
        if extra is not None:
            inputs = [config.model, config.saved_as]
            with Publication(extra, force=config.force, inputs=inputs) as place:
                _ = place.main  # refuses a folder


def _read_plan(config: QuantizeConfig, path: Path) -> QuantizePlan:
    plan = QuantizePlan.read(path)
    if config.target not in ("cpu", plan.target):
        raise UsageError(
            f"the plan was made for {plan.target}, not for {config.target}",
            remedy="leave --target out, or quantize anew with --calibration",
        )
    if config.input_size not in (None, plan.input_size):
        raise UsageError(
            "--input-size is not the size that the plan was made for",
            remedy="leave --input-size out, or quantize anew with --calibration",
        )
    return plan
