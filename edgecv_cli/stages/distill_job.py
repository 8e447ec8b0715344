"""One run of distill: who teaches, what is learned, and the student that comes out."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field

import onnx

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import LINEAGE_KEY, SPEC_KEY, Step, dump_lineage
from edgecv_cli.compress.quantization.requantize import require_float
from edgecv_cli.compress.training.dense import DenseLesson
from edgecv_cli.compress.training.finetune import Altered, Kept, Tuned, finetune, learn
from edgecv_cli.compress.training.hints import hinted
from edgecv_cli.compress.training.lessons import Lesson
from edgecv_cli.compress.training.located import LocatedLesson, decoded_program, has_candidates
from edgecv_cli.compress.training.mode import Mode
from edgecv_cli.compress.training.network import require_device
from edgecv_cli.compress.training.pictures import Pictures
from edgecv_cli.compress.training.program import Program, program_of
from edgecv_cli.compress.training.schedule import Recipe
from edgecv_cli.config.distill import DistillConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import InterruptedByUser, UsageError
from edgecv_cli.core.store import digest_key
from edgecv_cli.core.version import __version__
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.inspect import input_specs
from edgecv_cli.graph.io import with_metadata
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.swap_activations import read_swaps, swapped
from edgecv_cli.media.dataset import Dataset
from edgecv_cli.media.images import ImageFolder
from edgecv_cli.stages.distill_teachers import (
    LabelTeacher,
    ModelTeacher,
    common_classes,
    features_of,
    heads_apart,
    heads_of,
)
from edgecv_cli.stages.distill_width import Thin, thinner
from edgecv_cli.stages.qat_result import IntegersRow
from edgecv_cli.stages.resuming import require_room, resume_line, training_path

_LOOKS = 20  # at the held-out images, at most


@dataclass(frozen=True)
class Known:
    """A detector with how it is fed and read."""

    artifact: Artifact
    spec: DetectorSpec


@dataclass(frozen=True)
class Given:
    """What a run is given, read.

    Attributes:
        student: as it was given.
        teacher: another detector; None where the student as it was teaches, or labels do.
        images: what is learned on.
        labels: of these images, where they teach.
        data: labelled images that judge.
        warnings: about the models.
    """

    student: Known
    teacher: Known | None
    images: ImageFolder
    labels: Dataset | None
    data: Dataset | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Learned:
    """What came out, not judged yet.

    Attributes:
        model: the student, with its spec and lineage.
        tuned: how the training went.
        lesson: ``raw``, ``features``, ``dense`` or ``objects``.
        swapped: activation functions that were replaced, and how many.
        width: multiply-accumulates that stayed, where channels were taken out first.
        images: trained on, and held out.
        seconds: of the training.
        integers: how the training of integers went, where ``model`` is one.
    """

    model: onnx.ModelProto = field(repr=False)
    tuned: Tuned
    lesson: str
    swapped: dict[str, int] | None
    images: tuple[int, int]
    seconds: float
    lineage: tuple[Step, ...]
    integers: IntegersRow | None = None
    width: float | None = None


class DistillJob:
    """Prepares the student and trains it.

    Args:
        given: what was read.
        config: the options.
        context: progress, cancellation, seed.
    """

    def __init__(self, given: Given, config: DistillConfig, context: Context) -> None:
        self._given, self._config, self._context = given, config, context

    def run(self) -> Learned:
        """Return the trained student.

        Raises:
            UsageError: there is nothing to swap, or no class in common.
            ModelError: an operator is not known to training, or the student is quantized.
            MissingDependencyError: torch is not installed.
            DataError: too few images can be read, or the checkpoint is of another training.
            InterruptedByUser: its remedy is the command that goes on.
        """
        config, student = self._config, self._given.student
        require_float(student.artifact, config.input_size)
        original = normalise(student.artifact.model, input_size=config.input_size)
        program_of(original)  # refuses by name what training does not know, before torch is asked
        require_device(config.device)
        require_room(config.output, resume=config.resume, force=config.force)
        thin = None
        if config.width is not None:
            thin = thinner(config, student.artifact, student.spec, self._context)
        begun, counts = thin.model if thin else original, None
        if config.swap is not None:
            begun, counts = swapped(begun, read_swaps(config.swap))
        began = time.monotonic()
        try:
            tuned, lesson, pictures = self._trained(original, begun, self._kept(thin))
        except InterruptedByUser as error:
            error.remedy = f"go on with: {resume_line('distill', config)}"
            raise
        lineage = self._lineage()
        entries = {SPEC_KEY: student.spec.dumps(), LINEAGE_KEY: dump_lineage(lineage)}
        return Learned(
            model=with_metadata(tuned.model, entries),
            tuned=tuned,
            lesson=lesson,
            swapped=counts,
            width=thin.share if thin else None,
            images=pictures.counts,
            seconds=time.monotonic() - began,
            lineage=lineage,
        )

    def _kept(self, thin: Thin | None) -> Kept:
        config = self._config
        path = training_path(config.output)
        if thin is None or config.width is None:
            return Kept(path, resume=config.resume)
        also, notes = thin.kept(config.width, self._given.student.artifact.content_digest)
        return Kept(path, resume=config.resume, also=also, notes=notes)

    def _trained(
        self, original: onnx.ModelProto, begun: onnx.ModelProto, kept: Kept
    ) -> tuple[Tuned, str, Pictures]:
        given, context = self._given, self._context
        near = self._near_teacher(original)
        if near is not None and self._is_raw:
            also = features_of(begun, near) if self._config.lesson == "features" else ()
            if self._config.lesson == "features" and not also:
                raise _no_features()
            pictures = self._pictures(begun, None)
            tuned = finetune(
                near,
                begun,
                heads_of(near),
                pictures,
                self._recipe(),
                context=context,
                kept=kept,
                features=also,
            )
            return tuned, "features" if also else "raw", pictures
        if near is not None:
            return self._candidates(near, begun, kept)
        program = decoded_program(begun, given.student.spec)
        with closing(self._teacher()) as teacher:
            pictures = self._pictures(begun, teacher)
            lesson = LocatedLesson(given.student.spec, teacher.digest)
            tuned = self._learn(begun, lesson, pictures, program, kept)
        return tuned, "objects", pictures

    def _candidates(
        self, near: onnx.ModelProto, begun: onnx.ModelProto, kept: Kept
    ) -> tuple[Tuned, str, Pictures]:
        spec, pictures = self._given.student.spec, self._pictures(begun, None)
        pairs, student, lesson = {}, begun, "dense"
        if self._config.lesson == "features":
            hints = hinted(begun, near, self._config.seed)
            pairs, student, lesson = dict(hints.pairs), hints.student, "features"
            if not pairs:
                raise _no_features()
        # a teacher of the same heads may code its outputs otherwise
        theirs = self._given.teacher.spec if self._given.teacher else spec
        dense = DenseLesson(near, theirs, self._mode, hints=pairs, pictures=pictures)
        program = decoded_program(student, spec, also=tuple(pairs.values()))
        return self._learn(begun, dense, pictures, program, kept), lesson, pictures

    def _learn(
        self,
        begun: onnx.ModelProto,
        lesson: Lesson,
        pictures: Pictures,
        program: Program,
        kept: Kept,
    ) -> Tuned:
        return learn(
            begun,
            lesson,
            pictures,
            self._recipe(),
            context=self._context,
            altered=Altered(program, "decoded"),
            kept=kept,
        )

    @property
    def _is_raw(self) -> bool:
        """Whether raw predictions are learned of a teacher that has the student's heads."""
        config, spec = self._config, self._given.student.spec
        if config.lesson != "auto":
            whole = not has_candidates(spec)
            return config.lesson == "raw" or (config.lesson == "features" and whole)
        if self._given.teacher is not None:
            return False
        # what lost channels is far from what it was, and dense brings it back faster
        return config.width is None or not has_candidates(spec)

    def _near_teacher(self, original: onnx.ModelProto) -> onnx.ModelProto | None:
        """Return a teacher that has the student's heads; None: objects are learned."""
        given, asked = self._given, self._config.lesson
        if given.labels is not None or asked == "objects":
            return None
        if given.teacher is None:
            return original
        specs = given.student.spec, given.teacher.spec
        teacher = normalise(given.teacher.artifact.model, input_size=specs[1].input.size)
        apart = heads_apart(original, teacher, specs=specs)
        if apart is not None and asked != "auto":
            raise UsageError(
                f"--lesson {asked} needs a teacher with the student's heads: {apart}",
                remedy="leave --lesson out: objects are learned by where they lie",
            )
        return teacher if apart is None else None

    def _teacher(self) -> ModelTeacher | LabelTeacher:
        given = self._given
        if given.labels is not None:
            return LabelTeacher(given.labels, given.student.spec)
        teacher = given.teacher or given.student
        classes = common_classes(given.student.spec, teacher.spec)
        return ModelTeacher(teacher.artifact, teacher.spec, classes, self._config.threads)

    def _pictures(
        self, model: onnx.ModelProto, teacher: ModelTeacher | LabelTeacher | None
    ) -> Pictures:
        given = self._given
        return Pictures(
            given.images.paths, input_specs(model), given.student.spec, self._context, teacher
        )

    def _recipe(self) -> Recipe:
        config = self._config
        return Recipe(
            steps=config.steps,
            minutes=config.minutes,
            learning_rate=config.rate,
            batch=config.batch,
            check_every=max(Recipe.check_every, config.steps // _LOOKS),
            patience=config.patience,
            seed=config.seed,
            threads=config.threads,
            mode=self._mode,
        )

    @property
    def _mode(self) -> Mode:
        return Mode(half=self._config.amp, device=self._config.device)

    def _lineage(self) -> tuple[Step, ...]:
        config, given = self._config, self._given
        who = given.teacher.artifact.content_digest if given.teacher else None
        asked = config.model_dump(
            mode="json",
            include={
                "swap",
                "control",
                "width",
                "lesson",
                "steps",
                "patience",
                "minutes",
                "learning_rate",
                "batch",
                "amp",
                "seed",
            },
        )
        parents = [given.student.artifact.content_digest, *([who] if who else [])]
        step = Step(
            stage="distill",
            config=digest_key(images=given.images.digest, **asked),
            parents=tuple(parents),
            versions={"edgecv": __version__},
        )
        return (*given.student.artifact.lineage, step)


def _no_features() -> UsageError:
    return UsageError(
        "--lesson features needs feature maps of the same name and size in both",
        remedy="leave --lesson out: boxes and scores are learned",
    )
