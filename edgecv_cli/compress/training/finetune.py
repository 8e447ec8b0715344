"""Self-distillation: a network learns on unlabelled images what the whole one says of them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from edgecv_cli.compress.training.checkpoint import Checkpoint, load, save
from edgecv_cli.compress.training.lessons import Lesson, RawLesson
from edgecv_cli.compress.training.network import Network, ran_out, torch_module
from edgecv_cli.compress.training.pictures import Feed, Pictures
from edgecv_cli.compress.training.program import Program, program_of
from edgecv_cli.compress.training.schedule import Recipe, rate_at
from edgecv_cli.compress.training.state import State
from edgecv_cli.compress.training.write_back import with_weights_of
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError, EngineError, InterruptedByUser
from edgecv_cli.graph.io import content_digest

_MINUTE = 60e9
_TOGETHER = 8  # images: more bring no more speed
_VALUES_TOGETHER = 1_800_000  # of the input; three pictures of 416 x 416, beyond which memory binds
_WORSE = 1.2  # times the best distance: the rate is too high
_SLOWER = 0.3
_SAID = {
    "diverged": "the loss was no finite number any more: the best weights before that are kept",
    "patience": "the held-out images gained nothing any more",
    "minutes": "the time was up",
}


@dataclass(frozen=True)
class Tuned:
    """What came out.

    Attributes:
        model: the network with the weights that were best on the held-out images, those that it
            began with among them.
        before, after: distance from the teacher on the held-out images.
        steps: updates made.
        best: the update after which it was best; 0 where nothing was gained.
        ended: why it ended: ``steps``, ``minutes``, ``patience`` or ``diverged``.
        retreats: how often it went back to the best weights, to go on at 0.3 of the rate, because
            the distance had grown by a fifth.
        curve: [updates, distance] of each look at the held-out images.
        learned: what was trained besides the model's weights, by name.
    """

    model: onnx.ModelProto = field(repr=False)
    before: float
    after: float
    steps: int
    best: int
    ended: str
    retreats: int
    curve: tuple[tuple[int, float], ...]
    learned: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)

    @property
    def warning(self) -> str | None:
        """What a reader should know of the end; None if all is well."""
        return f"fine-tuning: {_SAID[self.ended]}" if self.ended == "diverged" else None


@dataclass(frozen=True)
class Altered:
    """A student that computes something besides its graph while it is trained.

    Attributes:
        program: its graph's, with what is added; further weights may be among those.
        digest: of what is added, for the checkpoint.
    """

    program: Program = field(repr=False)
    digest: str


@dataclass(frozen=True)
class Kept:
    """Where a training is kept while it runs.

    Attributes:
        path: of the checkpoint.
        resume: go on from it.
        also: arrays of the caller's, kept in it.
        notes: JSON of the caller's, kept in it.
    """

    path: Path
    resume: bool = False
    also: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


def finetune(
    teacher: onnx.ModelProto,
    student: onnx.ModelProto,
    heads: Sequence[str],
    pictures: Pictures,
    recipe: Recipe,
    *,
    context: Context,
    kept: Kept | None = None,
    altered: Altered | None = None,
    features: Sequence[str] = (),
) -> Tuned:
    """Tune ``student`` until it says of images what ``teacher`` does.

    Args:
        teacher: normalised; not changed.
        student: normalised; not changed.
        heads: tensors of both that are compared, in the same shapes: raw predictions.
        pictures: what is fed.
        recipe: how.
        context: progress, and cancellation polled per image.
        kept: the checkpoint, written at each look at the held-out images and at Ctrl-C.
        altered: what the student computes while it is trained; None is its graph alone.
        features: feature maps of both that are compared too, in the same shapes.

    Raises:
        ModelError: an operator of the two is not known to training.
        MissingDependencyError: torch is not installed.
        DataError: the checkpoint is of another model.
        InterruptedByUser: after the checkpoint was written.
    """
    seen = [*heads, *features]
    program = program_of(student, also=seen) if altered is None else altered.program
    return learn(
        student,
        RawLesson(teacher, heads, pictures, recipe.mode, features=features),
        pictures,
        recipe,
        context=context,
        kept=kept,
        altered=Altered(program, altered.digest if altered else ""),
    )


def learn(
    student: onnx.ModelProto,
    lesson: Lesson,
    pictures: Pictures,
    recipe: Recipe,
    *,
    context: Context,
    altered: Altered,
    kept: Kept | None = None,
) -> Tuned:
    """Tune ``student`` by any lesson; the rest is as :func:`finetune` has it."""
    training = _Training(
        student, lesson, pictures, recipe=recipe, context=context, kept=kept, altered=altered
    )
    return training.run()


class _Training:
    """One training, from its first or from a kept step."""

    def __init__(
        self,
        student: onnx.ModelProto,
        lesson: Lesson,
        pictures: Pictures,
        *,
        recipe: Recipe,
        context: Context,
        kept: Kept | None,
        altered: Altered,
    ) -> None:
        torch = self._torch = torch_module()
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        self._network = Network(altered.program, trained=True, mode=recipe.mode)
        self._model, self._lesson = student, lesson
        self._pictures, self._recipe, self._context, self._kept = pictures, recipe, context, kept
        self._state = State(torch, self._network.weights, recipe)
        told = f"{lesson.digest}\n{pictures.digest}"
        self._digest = _digest(told, student, recipe, altered.digest)
        self._step, self._spent, self._retreats = 0, 0.0, 0
        self._curve: list[tuple[int, float]] = []
        self._best = self._network.arrays()

    def run(self) -> Tuned:
        """Train to the end."""
        if self._kept is not None and self._kept.resume:
            self._restore(load(self._kept.path, model=self._digest))
        if not self._curve:
            self._look()
        begun, before = self._context.clock(), self._spent
        ended = self._ended()
        with self._context.progress.task("fine-tune", self._recipe.steps, "step") as task:
            task.advance(self._step)
            while ended is None:
                moved = self._kept_update()
                self._spent = before + (self._context.clock() - begun) / _MINUTE
                ended = "diverged" if not moved else self._ended()
                if moved:
                    task.advance()
                    self._step += 1
                    ended = self._ended()
                    if ended or self._step % self._recipe.check_every == 0:
                        self._look()
                        ended = ended or self._ended()
                        task.describe(f"distance {self._curve[-1][1]:.4f}")
        return self._result(ended)

    def _kept_update(self) -> bool:
        """Make one update; what ends it from outside leaves the checkpoint at its begin."""
        try:
            return self._update()
        except InterruptedByUser:
            self._keep()
            raise
        except (MemoryError, RuntimeError) as error:
            if not ran_out(error):
                raise
            self._keep()
            raise EngineError(
                f"training ran out of memory after {self._step} updates",
                remedy="end other programs and add --resume, or train at a smaller --input-size; "
                "a smaller --batch does little, few of its images are taken at once",
            ) from error

    def _update(self) -> bool:
        """Make one update; False, and nothing changed, where the loss is not finite."""
        recipe = self._recipe
        for feeds in _grouped(self._polled(self._pictures.batch(self._step, recipe.batch))):
            made = self._network.together(feeds)
            loss = self._lesson(made, feeds) * (len(feeds) / recipe.batch)
            if not math.isfinite(float(loss.detach())):
                return False
            loss.backward()
        peak = recipe.learning_rate * _SLOWER**self._retreats
        return self._state.update(rate_at(self._done, peak), self._step)

    @property
    def _done(self) -> float:
        minutes = self._recipe.minutes
        timed = self._spent / minutes if minutes else 0.0
        return max(self._step / self._recipe.steps, timed)

    def _ended(self) -> str | None:
        best = min(range(len(self._curve)), key=lambda i: self._curve[i][1])
        if self._step >= self._recipe.steps:
            return "steps"
        if self._recipe.minutes and self._spent >= self._recipe.minutes:
            return "minutes"
        return "patience" if len(self._curve) - 1 - best >= self._recipe.patience else None

    def _polled(self, feeds: Iterator[Feed]) -> Iterator[Feed]:
        """Yield the feeds; an update that is cancelled is kept at its begin, a look is not cut."""
        for feed in feeds:
            self._context.cancel.check()
            yield feed

    def _judged(self, feeds: list[Feed]) -> float:
        return len(feeds) * float(self._lesson.judged(self._network.together(feeds), feeds))

    def _look(self) -> None:
        """Measure the averaged weights on the held-out images, and keep them if they are best."""
        weights = self._network.weights
        self._network.weights = self._state.average
        try:
            with self._torch.no_grad():
                found = [self._judged(each) for each in _grouped(self._pictures.held_out())]
        finally:
            self._network.weights = weights
        mean = sum(found) / self._pictures.counts[1]
        if math.isfinite(mean) and all(mean < one for _, one in self._curve):
            self._best = {n: one.cpu().numpy().copy() for n, one in self._state.average.items()}
        if self._curve and not mean <= _WORSE * min(one for _, one in self._curve):
            self._state.begin_at(self._best)
            self._retreats += 1
        self._curve.append((self._step, mean if math.isfinite(mean) else math.inf))
        self._keep()

    def _keep(self) -> None:
        if self._kept is None:
            return
        best = {f"best/{i}": one for i, one in enumerate(self._best.values())}
        header = {
            "step": self._step,
            "spent": self._spent,
            "retreats": self._retreats,
            "curve": self._curve,
        }
        arrays = {**self._state.arrays(), **best, **self._kept.also}
        held = Checkpoint(self._digest, {**header, "notes": dict(self._kept.notes)}, arrays)
        save(self._kept.path, held)

    def _restore(self, held: Checkpoint) -> None:
        self._state.restore(held.arrays)
        try:
            names = enumerate(self._network.weights)
            self._best = {name: held.arrays[f"best/{place}"] for place, name in names}
            self._step, self._spent = int(held.header["step"]), float(held.header["spent"])
            self._retreats = int(held.header["retreats"])
            self._curve = [(int(step), float(value)) for step, value in held.header["curve"]]
        except (LookupError, TypeError, ValueError) as error:
            raise DataError(
                f"the checkpoint is not whole: {error}",
                remedy="leave --resume out and add --force to begin anew",
            ) from error

    def _result(self, ended: str) -> Tuned:
        best = min(self._curve, key=lambda one: one[1])
        stored = {tensor.name for tensor in self._model.graph.initializer}
        own = {name: value for name, value in self._best.items() if name in stored}
        return Tuned(
            model=with_weights_of(self._model, own),
            before=self._curve[0][1],
            after=best[1],
            steps=self._step,
            best=best[0],
            ended=ended,
            retreats=self._retreats,
            curve=tuple(self._curve),
            learned={name: value for name, value in self._best.items() if name not in stored},
        )


def _grouped(feeds: Iterator[Feed]) -> Iterator[list[Feed]]:
    """Yield as many feeds at a time as one run takes."""
    group: list[Feed] = []
    for feed in feeds:
        group.append(feed)
        if len(group) >= min(_TOGETHER, _VALUES_TOGETHER // max(1, _values(feed))):
            yield group
            group = []
    if group:
        yield group


def _values(feed: Feed) -> int:
    return sum(one.size for one in feed.values())


def _digest(lesson: str, student: onnx.ModelProto, recipe: Recipe, altered: str) -> str:
    """Return what names a training: lesson, pictures, network, and how it is done but for its
    threads."""
    told = {name: value for name, value in asdict(recipe).items() if name != "threads"}
    parts = [lesson, content_digest(student), repr(sorted(told.items()))]
    parts += [altered] if altered else []
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
