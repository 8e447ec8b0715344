"""Try the usual preprocessings on images, and see which the model answers to best.

One thing after the other: values first, then colour order, then resize. With wrong values a
model finds next to nothing under either colour order, while colours and resizes move the score
by per cents and do not turn the order of the values; so some ten settings tell what the whole
grid of forty would. What was assumed stays unless something beats it beyond the noise of the
images; if anything does, the round is gone once more from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgecv_cli.core.context import Context, Task
from edgecv_cli.detector.spec import DetectorSpec, InputSpec
from edgecv_cli.inference.predictor import Predictor
from edgecv_cli.measure.preprocessing_choices import (
    KEYS,
    Choice,
    Key,
    choices,
    scale_words,
)
from edgecv_cli.measure.preprocessing_criteria import Labelled, Mirrored, Score
from edgecv_cli.measure.preprocessing_result import ProbedSetting, ProbeResult
from edgecv_cli.runtime.base import Runner

_ROUNDS = 2
_EVEN = 2  # values as good as the best that are tried in the other colour order too
_LEAST = 1e-4  # a lead that float32 rounding can make on every image alike is none
_MOST_UNSURE = 5  # images below which an interval says little


def probe_preprocessing(
    runner: Runner, spec: DetectorSpec, criterion: Labelled | Mirrored, context: Context
) -> ProbeResult:
    """Find the preprocessing that a model answers to best.

    Args:
        runner: the model, loaded.
        spec: the detector as it is read so far; only its input is varied.
        criterion: what scores a setting, on which images.
        context: progress, cancellation, and the seed of the bootstrap.

    Raises:
        EdgeCVError: the model can't be run, or an image can't be read.
    """

    def measure(setting: InputSpec, task: Task) -> Score:
        predictor = Predictor(runner, spec.replace(input=setting), criterion.profile)
        return criterion.score(predictor, task, context)

    search = _Search(measure, spec.input, spec.input)
    for _ in range(_ROUNDS):
        if not search.round(criterion.images, context):
            break
    return search.result(criterion)


@dataclass
class _Search:
    measure: Callable[[InputSpec, Task], Score]
    assumed: InputSpec
    current: InputSpec
    scores: dict[InputSpec, Score] = field(default_factory=dict)

    def round(self, images: int, context: Context) -> bool:
        """Try every key once; returns whether anything was changed for the better."""
        before = self.current
        self._measure("assumed", [self.current], images, context)
        for key in KEYS:
            # values come with a colour order: where the assumed ones are wrong, so is its authority
            free = key == "color" and "scale" in _differences(self.current, self.assumed)
            rivals = [choice.input for choice in choices(self.current, key)]
            if free:
                even = [choice.input for choice in self._even("scale")[:_EVEN]]
                rivals += [choice.input for values in even for choice in choices(values, key)]
            self._measure(key, rivals, images, context)
            self._choose(rivals, free=free)
        return self.current != before

    def _measure(
        self, name: str, settings: Sequence[InputSpec], images: int, context: Context
    ) -> None:
        new = [setting for setting in dict.fromkeys(settings) if setting not in self.scores]
        if not new:
            return
        with context.progress.task(f"probe {name}", len(new) * images, "image") as task:
            for setting in new:
                task.describe(f"{scale_words(setting)} {setting.color} {setting.resize}")
                self.scores[setting] = self.measure(setting, task)

    def _choose(self, rivals: Sequence[InputSpec], *, free: bool) -> None:
        """Move to the best rival if it leads beyond noise, or at all where nothing is assumed."""
        if not rivals:
            return
        best = max(rivals, key=lambda rival: self.scores[rival].value)
        lead = self.scores[best].lead(self.scores[self.current])
        ahead = self.scores[best].value > self.scores[self.current].value
        if lead.low > _LEAST or (free and ahead):
            self.current = best

    def _even(self, key: Key) -> list[Choice]:
        """Return what differs in one key alone and is not beaten beyond noise, best first."""
        best = self.scores[self.current]
        even = [
            choice
            for choice in choices(self.current, key)
            if choice.input in self.scores and best.lead(self.scores[choice.input]).low <= _LEAST
        ]
        return sorted(even, key=lambda choice: -self.scores[choice.input].value)

    def result(self, criterion: Labelled | Mirrored) -> ProbeResult:
        best = self.scores[self.current]
        shown = best.value > 0
        others = [setting for setting in self.scores if setting != self.current]
        others.sort(key=lambda setting: -self.scores[setting].value)
        return ProbeResult(
            criterion=criterion.name,
            images=criterion.images,
            settings=tuple(self._setting(setting) for setting in (self.current, *others)),
            best=self._setting(self.current),
            margin=best.value - self.scores[others[0]].value if others and shown else None,
            undecided={
                key: tuple(choice.name for choice in even)
                for key in KEYS
                if (even := self._even(key))
            },
            assumed_agrees=(self.current == self.assumed) if shown else None,
            spec_lines=_lines(self.current),
            notes=tuple(_notes(criterion.images, self.assumed, shown=shown)),
        )

    def _setting(self, setting: InputSpec) -> ProbedSetting:
        score = self.scores[setting]
        return ProbedSetting(
            **setting.model_dump(include={"color", "scale", "mean", "std", "resize"}),
            values=scale_words(setting),
            score=score.value,
            behind=None if setting == self.current else self.scores[self.current].lead(score),
            differs=_differences(setting, self.current),
        )


def _differences(a: InputSpec, b: InputSpec) -> tuple[Key, ...]:
    # means and deviations are those of colours, and turn with their order
    turned = a.color != b.color
    mean, std = (part[::-1] if turned else part for part in (a.mean, a.std))
    differing: dict[Key, bool] = {
        "scale": (a.scale, mean, std) != (b.scale, b.mean, b.std),
        "color": turned,
        "resize": a.resize != b.resize,
    }
    return tuple(key for key, differs in differing.items() if differs)


def _notes(images: int, assumed: InputSpec, *, shown: bool) -> list[str]:
    notes = []
    if not shown:
        notes.append("the model finds nothing under any setting: these images can't tell")
    if assumed.dtype == "uint8":
        notes.append("the scaling of a uint8 input is inside the graph: only the rest was tried")
    if images < _MOST_UNSURE:
        notes.append(f"{images} images are few: give 16 or more")
    return notes


def _lines(best: InputSpec) -> str:
    mean, std = (", ".join(f"{value:g}" for value in part) for part in (best.mean, best.std))
    return (
        f"input: {{color: {best.color}, scale: {best.scale:g}, mean: [{mean}], std: [{std}], "
        f"resize: {best.resize}, pad: {best.pad}}}\n"
    )
