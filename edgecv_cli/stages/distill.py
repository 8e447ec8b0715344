"""distill: a detector learns from another, and is saved only if it is good enough."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.sidecar import sidecar_path, sidecar_text
from edgecv_cli.compress.quantization.targets import resolve_target
from edgecv_cli.config.distill import DistillConfig
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError
from edgecv_cli.core.files import Publication, sha256_file
from edgecv_cli.core.scratch import scratch
from edgecv_cli.graph.io import serialize
from edgecv_cli.measure.agreement import agreement
from edgecv_cli.measure.fitness import warnings_of
from edgecv_cli.measure.self_map import look
from edgecv_cli.media.dataset import open_dataset
from edgecv_cli.media.images import open_images
from edgecv_cli.stages.compose.distill import distill_document
from edgecv_cli.stages.compose.publishing import reporting
from edgecv_cli.stages.converting.gates import Gates, Outcome, outcomes
from edgecv_cli.stages.converting.verify import Pair, Seen, verify
from edgecv_cli.stages.distill_job import DistillJob, Given, Known, Learned
from edgecv_cli.stages.distill_qat import learned_integers, qat_path
from edgecv_cli.stages.distill_report import ENGINE, judged_result
from edgecv_cli.stages.distill_result import DistillResult, TaughtBy
from edgecv_cli.stages.distill_teachers import as_classes, common_classes
from edgecv_cli.stages.rejected import keep, require_place
from edgecv_cli.stages.resuming import training_path

_COMPARED = 100


def distill(config: DistillConfig, context: Context) -> DistillResult:
    """Train a detector on what another says of unlabelled images, and save it if it is better.

    Raises:
        GateNotMetError: a gate was not met; it carries the whole result, and nothing is saved.
        UsageError: teacher and student have no class in common, or the output stands already.
        ModelError: an operator is not known to training, or a model is quantized.
        MissingDependencyError: torch is not installed.
        DataError: images or labels can't be read, or a checkpoint is of another training.
    """
    inputs = [config.model, *([config.teacher] if config.teacher else [])]
    with (
        reporting(config.report, force=config.force, inputs=[*inputs, config.output]) as draft,
        Publication(config.output, force=config.force, inputs=inputs) as output,
        scratch() as folder,
    ):
        place, sidecar = output.main, output.part(sidecar_path(config.output).name)
        require_place(
            config.keep_rejected, force=config.force, inputs=[config.model, config.output]
        )
        given = read_given(config, context)
        learned = (
            learned_integers(given, config, folder, context)
            if config.qat
            else DistillJob(given, config, context).run()
        )
        path = folder / "distilled.onnx"
        path.write_bytes(serialize(learned.model))
        result, refused = _judged(config, given, learned, path, context)
        if refused:
            kept = _rejected(config, result, path)
            draft.write(distill_document(kept))
            raise _refusal(kept, refused)
        shutil.copyfile(path, place)
        update = {"saved": str(config.output), "sha256": sha256_file(place)}
        saved = result.model_copy(update=update)
        sidecar.write_text(sidecar_text(update["sha256"], saved.to_json()), encoding="utf-8")
        draft.write(distill_document(saved))
        output.commit()
        for done in (training_path(config.output), qat_path(config)):
            done.unlink(missing_ok=True)
        return saved


def read_given(config: DistillConfig, context: Context) -> Given:
    """Return what a run is given, read.

    Raises:
        EdgeCVError: a model, the images or the labels can't be read.
    """
    student, warnings = _known(config, config.model)
    teacher = None
    if config.teacher is not None:
        artifact = Artifact.open(config.teacher)
        recognised = artifact.detector(None)
        warnings += warnings_of(artifact, recognised)
        teacher = Known(artifact, recognised.spec)
    for text in warnings:
        context.progress.note(f"warning: {text}")
    return Given(
        student=student,
        teacher=teacher,
        images=open_images(config.images),
        labels=open_dataset(config.images) if config.control else None,
        data=None if config.data is None else open_dataset(config.data, limit=config.limit),
        warnings=tuple(warnings),
    )


def _known(config: DistillConfig, path: Path) -> tuple[Known, list[str]]:
    artifact = Artifact.open(path)
    recognised = artifact.detector(config.spec, input_size=config.input_size)
    return Known(artifact, recognised.spec), list(warnings_of(artifact, recognised))


def _judged(
    config: DistillConfig, given: Given, learned: Learned, path: Path, context: Context
) -> tuple[DistillResult, tuple[str, ...]]:
    """Return what was measured, and the names of the gates that were not met."""
    converted = Artifact.open(path)
    own = given.teacher is None and given.labels is None
    spec = given.student.spec
    here = not config.qat or resolve_target(config.target).here
    pair = Pair(
        original=given.student.artifact,
        source=given.student.artifact,
        converted=converted,
        spec=spec,
        stored=spec,
        engine=ENGINE,
        exact=not here,
        images=given.images.paths[:_COMPARED] if own else (),
        data=given.data,
        threads=config.threads,
        speed_seconds=config.speed_seconds if here else 0.0,
    )
    seen = verify(pair, context)
    asked = Gates(
        "ran", config.agreement_gate if own else None, None, config.drop_gate, config.min_speedup
    )
    made = outcomes(asked, seen)
    made.append(_learned(learned))
    taught = _own_agreement(seen) if own else _beside(config, given, converted, context)
    if taught is not None and not own:
        made.append(_nearer(config, taught))
    result = judged_result(config, given, learned, converted, seen, taught=taught, made=made)
    return result, tuple(one.name for one in made if not one.met)


def _learned(learned: Learned) -> Outcome:
    tuned = learned.tuned
    text = f"nearer to what is taught: {tuned.before:.4f} -> {tuned.after:.4f} on held-out images"
    return Outcome("learned", tuned.after < tuned.before, text)


def _own_agreement(seen: Seen) -> TaughtBy | None:
    found = seen.agreement
    return None if found is None else TaughtBy(after=found.agreement, images=found.images)


def _nearer(config: DistillConfig, taught: TaughtBy) -> Outcome:
    before, after = taught.before or 0.0, taught.after or 0.0
    least = config.min_agreement
    if least is not None:
        return Outcome("min_agreement", after >= least, f"at least {least:g}: {after:.4f}")
    text = f"with the teacher, no less than before: {before:.4f} -> {after:.4f}"
    return Outcome("agreement", after >= before, text)


def _beside(
    config: DistillConfig, given: Given, after: Artifact, context: Context
) -> TaughtBy | None:
    """Return how much of what the teacher finds the student finds, before and after."""
    if given.teacher is None:
        return None
    paths = given.images.paths[:_COMPARED]
    spec = given.student.spec
    classes = common_classes(spec, given.teacher.spec)

    def found(one: Known, name: str) -> Sequence[Detections]:
        return look(
            one.artifact,
            one.spec,
            paths,
            context,
            engine=ENGINE,
            threads=config.threads,
            name=name,
        ).plain

    wanted = [as_classes(one, classes) for one in found(given.teacher, "teacher")]
    same = {index: index for index in classes.values()}
    sides = [
        agreement(
            wanted, [as_classes(one, same) for one in found(side, name)], spec.score_threshold
        ).agreement
        for side, name in ((given.student, "before"), (Known(after, spec), "after"))
    ]
    return TaughtBy(before=sides[0], after=sides[1], images=len(paths))


def _refusal(result: DistillResult, refused: Sequence[str]) -> GateNotMetError:
    said = "; ".join(f"{name} {result.gates[name]}" for name in refused)
    return GateNotMetError(
        f"the trained model is not saved: {said}",
        remedy="train longer (--steps), on more --images, at a lower --learning-rate, or widen the "
        "gate; --keep-rejected PATH.onnx keeps it; its training is kept beside the output, and "
        "--resume judges it anew by other gates",
        result=result,
    )


def _rejected(config: DistillConfig, result: DistillResult, path: Path) -> DistillResult:
    if config.keep_rejected is None:
        return result
    keep(path, config.keep_rejected, force=config.force)
    return result.model_copy(update={"rejected": str(config.keep_rejected)})
