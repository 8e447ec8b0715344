"""The --qat of distill: after the float training, if any, the detector's integers are trained."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import onnx

from edgecv_cli.artifact.lineage import LINEAGE_KEY, SPEC_KEY, TARGET_KEY, Step, dump_lineage
from edgecv_cli.compress.quantization.requantize import require_float
from edgecv_cli.compress.training.finetune import Kept
from edgecv_cli.compress.training.located import has_candidates
from edgecv_cli.compress.training.mode import Mode
from edgecv_cli.compress.training.network import require_device
from edgecv_cli.compress.training.pictures import Pictures
from edgecv_cli.compress.training.program import program_of
from edgecv_cli.compress.training.schedule import Recipe
from edgecv_cli.config.distill import DistillConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import InterruptedByUser
from edgecv_cli.core.store import digest_key
from edgecv_cli.core.version import __version__
from edgecv_cli.detector.feeding import fed_as
from edgecv_cli.graph.inspect import input_specs
from edgecv_cli.graph.io import content_digest, serialize, with_metadata
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.topology import Topology
from edgecv_cli.stages.distill_job import DistillJob, Given, Learned
from edgecv_cli.stages.qat import Trained, parity, parity_warning, trained_integers
from edgecv_cli.stages.qat_result import IntegersRow
from edgecv_cli.stages.resuming import require_room, resume_line, training_path

_RATE = 0.001


def qat_path(config: DistillConfig) -> Path:
    """Return where the training of integers is kept while it runs."""
    own = training_path(config.output)
    return own if only_integers(config) else own.with_suffix(".qat.npz")


def only_integers(config: DistillConfig) -> bool:
    """Whether nothing is learned in float before."""
    asked = (config.teacher, config.swap, config.width, config.control)
    return all(one is None for one in asked)


def learned_integers(
    given: Given, config: DistillConfig, folder: Path, context: Context
) -> Learned:
    """Train the student in float as asked, then its integers towards the float form.

    The integers of a student with another activation function learn from the student as it was.

    Args:
        given: what was read.
        config: the options.
        folder: for a file in passing.
        context: progress, cancellation, seed.

    Raises:
        EdgeCVError: as :meth:`DistillJob.run`, and as quantize where nothing can be integers.
    """
    student = given.student
    require_float(student.artifact, config.input_size)
    original = normalise(student.artifact.model, input_size=config.input_size)
    learned = None
    if only_integers(config):
        program_of(original)
        require_device(config.device)
        require_room(config.output, resume=config.resume, force=config.force)
    else:
        learned = DistillJob(given, config, context).run()
    floats = original if learned is None else learned.model
    # grids were measured in the light that the camera sees
    pictures = Pictures(
        given.images.paths, input_specs(floats), student.spec, context, tinted=False
    )
    own = given.teacher is None and given.labels is None
    began = time.monotonic()
    made = _trained(given, config, original if own else floats, floats, pictures, context=context)
    seconds = time.monotonic() - began
    before = learned.lineage if learned else student.artifact.lineage
    parent = content_digest(floats) if learned else student.artifact.content_digest
    lineage = (*before, _step(given, config, parent))
    model = _stored(given, made, lineage)
    path = folder / "integers.onnx"
    path.write_bytes(serialize(model))
    row = _row(made, parity(made.quantized, path, pictures, config.threads), seconds)
    if learned is not None:
        return replace(learned, model=model, lineage=lineage, integers=row)
    return Learned(
        model=model,
        tuned=made.quantized.tuned,
        lesson="dense" if has_candidates(student.spec) else "raw",
        swapped=None,
        images=pictures.counts,
        seconds=seconds,
        lineage=lineage,
        integers=row,
    )


def _trained(
    given: Given,
    config: DistillConfig,
    teacher: onnx.ModelProto,
    floats: onnx.ModelProto,
    pictures: Pictures,
    *,
    context: Context,
) -> Trained:
    topology = Topology.of(floats)
    try:
        return trained_integers(
            given.student.artifact,
            teacher,
            topology,
            pictures,
            _recipe(config),
            spec=given.student.spec,
            paths=given.images.paths,
            heads=topology.heads or tuple(value.name for value in floats.graph.output),
            target=config.target,
            context=context,
            kept=_kept(config),
        )
    except InterruptedByUser as error:
        error.remedy = f"go on with: {resume_line('distill', config)}"
        raise


def _kept(config: DistillConfig) -> Kept:
    path = qat_path(config)
    # an interruption in float leaves no integers to go on with
    return Kept(path, resume=config.resume and (path.exists() or only_integers(config)))


def _recipe(config: DistillConfig) -> Recipe:
    given = config.learning_rate if only_integers(config) else None
    return Recipe(
        steps=config.steps,
        minutes=config.minutes,
        learning_rate=_RATE if given is None else given,
        batch=config.batch,
        patience=config.patience,
        seed=config.seed,
        threads=config.threads,
        mode=Mode(device=config.device),
    )


def _step(given: Given, config: DistillConfig, parent: str) -> Step:
    asked = config.model_dump(
        mode="json", include={"target", "steps", "minutes", "learning_rate", "batch", "seed"}
    )
    return Step(
        stage="qat",
        config=digest_key(**asked),
        data=given.images.digest,
        parents=(parent,),
        versions={"edgecv": __version__},
    )


def _stored(given: Given, made: Trained, lineage: tuple[Step, ...]) -> onnx.ModelProto:
    model = made.quantized.model
    entries = {
        SPEC_KEY: fed_as(input_specs(model), given.student.spec).dumps(),
        LINEAGE_KEY: dump_lineage(list(lineage)),
        TARGET_KEY: made.quantized.plan.target,
    }
    return with_metadata(model, entries)


def _row(made: Trained, differs: float, seconds: float) -> IntegersRow:
    tuned = made.quantized.tuned
    return IntegersRow(
        target=made.quantized.plan.target,
        estimator=made.estimator,
        untrained=made.untrained,
        before=tuned.before,
        after=tuned.after,
        steps=tuned.steps,
        best=tuned.best,
        ended=tuned.ended,
        parity=differs,
        seconds=seconds,
    )


def integers_warnings(row: IntegersRow | None) -> tuple[str, ...]:
    """Return what to say of the integers."""
    said = None if row is None else parity_warning(row.parity)
    return () if said is None else (said,)
