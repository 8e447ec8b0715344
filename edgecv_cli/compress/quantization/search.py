"""Search: which ranges, corrections and placement, and which layers are given back to float.

Candidates are ranked on calibration images, without labels, so that the labelled images that
the result is reported on had no part in the choice. The placements are compared first, with plain
ranges; then layers that cost the most are given back to float where that is worth it; ranges and
corrections are chosen for the best of all these, since what undoes the errors of one form may add
to those of another, and offered to its neighbours. Where the layers that read the picture are
faster in float, that is decided after the placements, and holds for what follows. Time is measured
on whole graphs: what single layers save does not add up, because every border between integers and
float has its price.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from edgecv_cli.compress.quantization.placement import (
    Glue,
    distinct_placements,
    integer_share,
    place,
)
from edgecv_cli.compress.quantization.plan import QuantizePlan
from edgecv_cli.compress.quantization.ranking import Ranking
from edgecv_cli.compress.quantization.recipe import ALIKE, Candidate, Goal, Recipe, accuracy, order
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import UsageError
from edgecv_cli.graph.topology import Topology

_ESTIMATORS = ("mean-minmax", "percentile", "mse", "minmax")
# Estimators that clip favour what is seen well, which is what self-mAP looks at; on labels, the
# mean extremes are the safer choice where the two are close.
_RANGES_EARNED = 0.01
# Self-mAP on a few dozen images is no finer than this: a correction has to earn its place.
_EARNED = 0.003
# Layers are given back in steps that double, so that a deep network takes few tries.
_STEPS = (1, 2, 4, 8, 16, 32)
# Of the fastest's speed: what is worth starting from.
_NEARLY = 0.9
# Forms that are offered the numbers chosen for another.
_MOST_ALIKE = 4
# With less than this in integers there is nothing left to gain from them.
_LEAST_SHARE = 0.2


class Build(Protocol):
    """Makes the model of a recipe."""

    def plan(self, recipe: Recipe) -> QuantizePlan:
        """Return the plan of a recipe."""
        ...

    def model(self, plan: QuantizePlan) -> bytes:
        """Return the model file of a plan."""
        ...

    def share(self, recipe: Recipe) -> float:
        """Return the fraction of the multiply-accumulates that a recipe leaves in integers."""
        ...


Damages = Callable[[QuantizePlan], Sequence[tuple[str, ...]]]
"""Groups of a plan's integer layers, those first whose return to float is worth most."""


@dataclass(frozen=True)
class Space:
    """What the search may choose from; a single value is a decision.

    Attributes:
        corrections: names of :class:`Recipe` fields -> whether on, off, or to be tried (None).
        give_back: whether layers may be given back to float on top of a placement.
    """

    placements: tuple[str, ...]
    estimators: tuple[str, ...]
    corrections: dict[str, bool | None]
    percentile: float
    give_back: bool = True


def space_of(
    topology: Topology,
    *,
    glue: Glue,
    placement: str,
    estimator: str,
    corrections: dict[str, str],
    percentile: float,
) -> Space:
    """Return the search space that the options leave; corrections are ``auto``, on or off.

    Raises:
        UsageError: the placement asked for leaves no layer in integers on this graph.
    """
    distinct = distinct_placements(topology, glue=glue)
    if placement == "auto":
        placements = tuple(distinct)
    else:
        placements = (placement,)
        if integer_share(topology, place(topology, placement, glue=glue).nodes) == 0:
            raise UsageError(
                f"--placement {placement} leaves no layer of this model in 8 bits",
                remedy=f"use --placement auto, or one of: {', '.join(distinct)}",
            )
    return Space(
        placements,
        _ESTIMATORS if estimator == "auto" else (estimator,),
        {
            name: {"auto": None, "on": True, "off": False}[said]
            for name, said in corrections.items()
        },
        percentile,
        give_back=placement == "auto",
    )


class Search:
    """Builds, ranks and orders candidates; every model is a file in ``folder``.

    ``seconds`` of timed inference go into ranking each candidate by time.
    """

    def __init__(
        self,
        topology: Topology,
        build: Build,
        ranking: Ranking,
        damages: Damages,
        folder: Path,
        *,
        seconds: float,
        context: Context,
    ) -> None:
        self._topology = topology
        self._build = build
        self._ranking = ranking
        self._damages = damages
        self._folder = folder
        self._seconds = seconds
        self._context = context
        self._known: dict[Recipe, Candidate] = {}

    def run(self, space: Space, goal: Goal, *, timed: bool) -> list[Candidate]:
        """Return the candidates, best first; judged by self-mAP and, if ``timed``, by time."""
        first = _first(space)
        if _decided(space):
            return [self._propose(first)]
        timed = timed and goal.prefer != "accuracy"
        with self._context.progress.task("search", None, "candidate") as task:

            def rank(recipe: Recipe) -> Candidate:
                candidate = self._rank(recipe)
                task.advance()
                best = max(self._known.values(), key=accuracy)
                task.describe(f"best so far: self-mAP {best.self_map:.3f} ({best.recipe})")
                return candidate

            found = [rank(replace(first, placement=name)) for name in space.placements]
            start = found
            if timed:
                found = start = self._time(found)
            if timed and space.give_back and self._faster_with_float_stem(found):
                forms = [replace(one.recipe, float_stem=True) for one in found]
                start = self._time([rank(form) for form in forms if self._leaves_enough(form)])
                found = found + start
            if space.give_back:
                given = self._give_back(start, goal, rank)
                found += self._time(given) if timed else given
            chosen = self._numbers(space, _worth_tuning(found, goal), rank)
            found += chosen
            found += [rank(recipe) for recipe in _alike(found, chosen[0].recipe, goal)]
            return order(self._as_known(found, timed=timed), goal)

    def path_of(self, candidate: Candidate) -> Path:
        """Return the candidate's model file."""
        index = list(self._known).index(candidate.recipe)
        return self._folder / f"candidate-{index}.onnx"

    def _faster_with_float_stem(self, placed: Sequence[Candidate]) -> bool:
        """Return whether the fastest is clearly faster yet where it reads the picture in float."""
        fastest = max(placed, key=lambda one: one.speedup or 0.0)
        changed = replace(fastest.recipe, float_stem=True)
        if not self._leaves_enough(changed) or not self._differs(changed, fastest):
            return False
        before, after = self._time([self._known[fastest.recipe], self._propose(changed)])
        return (before.speedup or 0.0) < ALIKE * (after.speedup or 0.0)

    def _differs(self, recipe: Recipe, other: Candidate) -> bool:
        return self._propose(recipe).plan.nodes != other.plan.nodes

    def _leaves_enough(self, recipe: Recipe) -> bool:
        return self._build.share(recipe) >= _LEAST_SHARE

    def _numbers(
        self, space: Space, start: Candidate, rank: Callable[[Recipe], Candidate]
    ) -> list[Candidate]:
        """Choose estimator and corrections of one candidate; the best first.

        Other ranges stay in reserve, for a judge whom the best did not please.
        """
        tried = [rank(replace(start.recipe, estimator=name)) for name in space.estimators]
        best = max(tried, key=accuracy)
        if accuracy(best) <= accuracy(tried[0]) + _RANGES_EARNED:
            best = tried[0]
        for name, said in space.corrections.items():
            if said is None:
                corrected = rank(_corrected(best.recipe, {name: True}))
                if accuracy(corrected) > accuracy(best) + _EARNED:
                    best = corrected
        return [best, *tried]

    def _give_back(
        self, placed: Sequence[Candidate], goal: Goal, rank: Callable[[Recipe], Candidate]
    ) -> list[Candidate]:
        """Give the most damaging groups of the candidate with most integers back to float."""
        start = _most_integers(placed)
        best = max(placed, key=accuracy)
        if accuracy(best) <= accuracy(start) + _EARNED and goal.prefer != "accuracy":
            return []
        steps = self._steps(start.recipe, self._damages(start.plan), goal)
        return [rank(replace(start.recipe, floats=floats)) for floats in steps]

    def _steps(
        self, recipe: Recipe, groups: Sequence[tuple[str, ...]], goal: Goal
    ) -> list[tuple[str, ...]]:
        """Return ever more layers to give back, as far as enough stays in integers."""
        least = max(goal.min_share, _LEAST_SHARE)
        counts = []
        for count in range(1, len(groups)):
            share = self._build.share(replace(recipe, floats=_joined(groups[:count])))
            if share < least:
                break
            counts.append(count)
        wanted = [count for count in counts if count in _STEPS or count == counts[-1]]
        return [_joined(groups[:count]) for count in wanted]

    def _propose(self, recipe: Recipe) -> Candidate:
        if recipe in self._known:
            return self._known[recipe]
        plan = self._build.plan(recipe)
        candidate = Candidate(recipe, plan, integer_share(self._topology, plan.nodes))
        self._known[recipe] = candidate
        self.path_of(candidate).write_bytes(self._build.model(plan))
        return candidate

    def _rank(self, recipe: Recipe) -> Candidate:
        candidate = self._propose(recipe)
        if candidate.self_map is None:
            value = self._ranking.self_map(self.path_of(candidate), str(recipe))
            candidate = replace(candidate, self_map=value)
            self._known[recipe] = candidate
        return candidate

    def _time(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        if not candidates:
            return []
        paths = [self.path_of(candidate) for candidate in candidates]
        speedups = self._ranking.speedups(paths, self._seconds)
        timed = []
        for candidate, speedup in zip(candidates, speedups, strict=True):
            self._known[candidate.recipe] = replace(candidate, speedup=speedup)
            timed.append(self._known[candidate.recipe])
        return timed

    def _as_known(self, candidates: Sequence[Candidate], *, timed: bool) -> list[Candidate]:
        """Return each candidate once, those that were not timed with the time of their like.

        Ranges and corrections are numbers in a file; which operators run, the placement decides.
        """
        once = list({candidate.recipe: candidate for candidate in candidates}.values())
        if not timed:
            return once
        speeds = {_form_of(one.recipe): one.speedup for one in once if one.speedup is not None}
        return [replace(one, speedup=speeds.get(_form_of(one.recipe))) for one in once]


def _most_integers(placed: Sequence[Candidate]) -> Candidate:
    """Return the candidate with most integers among the fast ones.

    What it gives back leads to all others; the fastest of all may owe that to noise.
    """
    fastest = max(item.speedup or 0.0 for item in placed)
    fast = [item for item in placed if (item.speedup or 0.0) >= _NEARLY * fastest]
    return max(fast, key=lambda item: item.share)


def _worth_tuning(candidates: Sequence[Candidate], goal: Goal) -> Candidate:
    """Return the candidate whose ranges and corrections are chosen: fast, and not far off."""
    return order(candidates, replace(goal, spend=False))[0]


def _alike(candidates: Sequence[Candidate], chosen: Recipe, goal: Goal) -> list[Recipe]:
    """Return the recipes of the forms that are worth it, with the chosen one's numbers."""
    forms = dict.fromkeys(_form_of(one.recipe) for one in order(candidates, goal))
    others = [form for form in forms if form != _form_of(chosen)]
    return [
        replace(chosen, placement=placement, floats=floats, float_stem=float_stem)
        for placement, floats, float_stem in others[:_MOST_ALIKE]
    ]


def _form_of(recipe: Recipe) -> tuple[str, tuple[str, ...], bool]:
    """Return what decides which operators run."""
    return recipe.placement, recipe.floats, recipe.float_stem


def _joined(groups: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted({name for group in groups for name in group}))


def _first(space: Space) -> Recipe:
    told = {name: bool(said) for name, said in space.corrections.items()}
    return _corrected(
        Recipe(space.placements[0], space.estimators[0], percentile=space.percentile), told
    )


def _corrected(recipe: Recipe, switches: Mapping[str, bool]) -> Recipe:
    fields: dict[str, Any] = dict(switches)
    return replace(recipe, **fields)


def _decided(space: Space) -> bool:
    one = len(space.placements) == 1 and len(space.estimators) == 1
    return one and None not in space.corrections.values() and not space.give_back
