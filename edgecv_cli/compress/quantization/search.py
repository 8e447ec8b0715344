"""Search: which placement, which ranges, with or without bias correction.

Candidates are ranked on calibration images, without labels, so that the labelled images that
the result is reported on had no part in the choice. Ranges and correction are chosen first, on
one placement; then the placements are compared under them, by damage and by time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.evidence import Evidence
from edgecv_cli.compress.quantization.placement import (
    distinct_placements,
    integer_share,
    place,
)
from edgecv_cli.compress.quantization.plan import QuantizePlan
from edgecv_cli.compress.quantization.propose import Recipe, propose
from edgecv_cli.compress.quantization.targets import TargetRules
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import UsageError
from edgecv_cli.graph.io import serialize
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.latency import benchmark
from edgecv_cli.measure.self_map import Found, look, self_map, truth_of
from edgecv_cli.media.dataset import Dataset

RANKING_IMAGES = 64
_ESTIMATORS = ("mean-minmax", "percentile", "minmax")
# `balanced` pays a tenth of self-mAP for a speed-up of 1.35 (e ** 0.3), and no more.
_EXCHANGE = 3.0
Prefer = Literal["accuracy", "balanced", "speed"]


@dataclass(frozen=True)
class Space:
    """What the search may choose from; a single value is a decision."""

    placements: tuple[str, ...]
    estimators: tuple[str, ...]
    corrections: tuple[bool, ...]
    percentile: float


@dataclass(frozen=True)
class Candidate:
    """A plan with what is known of it so far."""

    recipe: Recipe
    plan: QuantizePlan
    share: float
    self_map: float | None = None
    speedup: float | None = None


def space_of(
    evidence: Evidence, *, placement: str, estimator: str, correction: str, percentile: float
) -> Space:
    """Return the search space that the options leave.

    Raises:
        UsageError: the placement asked for leaves no layer in integers on this graph.
    """
    distinct = distinct_placements(evidence.topology)
    if placement == "auto":
        placements = tuple(distinct)
    else:
        placements = (placement,)
        nodes = place(evidence.topology, placement).nodes
        if integer_share(evidence.topology, nodes) == 0:
            raise UsageError(
                f"--placement {placement} leaves no layer of this model in 8 bits",
                remedy=f"use --placement auto, or one of: {', '.join(distinct)}",
            )
    return Space(
        placements,
        _ESTIMATORS if estimator == "auto" else (estimator,),
        {"auto": (False, True), "on": (True,), "off": (False,)}[correction],
        percentile,
    )


class Search:
    """Builds, ranks and orders candidates; every model is a file in ``folder``.

    ``seconds`` of timed inference go into ranking each candidate by time.
    """

    def __init__(
        self,
        evidence: Evidence,
        original: Artifact,
        rules: TargetRules,
        folder: Path,
        *,
        engine: str,
        threads: int | None,
        seconds: float,
        context: Context,
    ) -> None:
        self._evidence = evidence
        self._original = original
        self._rules = rules
        self._folder = folder
        self._engine = engine
        self._threads = threads
        self._seconds = seconds
        self._context = context
        self._truth: Dataset | None = None
        self._known: dict[Recipe, Candidate] = {}

    def run(self, space: Space, prefer: Prefer, *, timed: bool) -> list[Candidate]:
        """Return the candidates, best first; judged by self-mAP and, if ``timed``, by time."""
        total = len(space.estimators) * len(space.corrections) + len(space.placements) - 1
        if total == 1:
            recipe = Recipe(
                space.placements[0], space.estimators[0], space.corrections[0], space.percentile
            )
            return [self._propose(recipe)]
        with self._context.progress.task("search", total, "candidate") as task:

            def try_recipe(recipe: Recipe) -> Candidate:
                fresh = recipe not in self._known
                candidate = self._rank(recipe)
                if fresh:
                    task.advance()
                task.describe(f"{recipe}: self-mAP {candidate.self_map:.3f}")
                return candidate

            candidates = self._explore(space, try_recipe)
        if timed and prefer != "accuracy" and len(candidates) > 1:
            candidates = self._time(candidates)
        return order(candidates, prefer)

    def path_of(self, candidate: Candidate) -> Path:
        """Return the candidate's model file."""
        index = list(self._known).index(candidate.recipe)
        return self._folder / f"candidate-{index}.onnx"

    def _explore(self, space: Space, try_recipe: Callable[[Recipe], Candidate]) -> list[Candidate]:
        base = "last" if "last" in space.placements else space.placements[0]
        ranges = [
            try_recipe(Recipe(base, estimator, correction, space.percentile))
            for estimator in space.estimators
            for correction in space.corrections
        ]
        best = max(ranges, key=_accuracy).recipe
        return [try_recipe(replace(best, placement=name)) for name in space.placements]

    def _propose(self, recipe: Recipe) -> Candidate:
        if recipe in self._known:
            return self._known[recipe]
        evidence = self._evidence
        plan = propose(
            evidence.topology,
            evidence.observed,
            recipe,
            self._rules,
            source=evidence.source,
            input_size=evidence.input_size,
        )
        candidate = Candidate(recipe, plan, integer_share(evidence.topology, plan.nodes))
        self._known[recipe] = candidate
        self.path_of(candidate).write_bytes(serialize(apply_normalised(evidence.topology, plan)))
        return candidate

    def _rank(self, recipe: Recipe) -> Candidate:
        candidate = self._propose(recipe)
        if candidate.self_map is None:
            truth = self._original_truth()
            paths = [item.path for item in truth.items]
            found = self._look(self.path_of(candidate), paths, str(recipe))
            candidate = replace(candidate, self_map=self_map(truth, found.scored))
            self._known[recipe] = candidate
        return candidate

    def _original_truth(self) -> Dataset:
        if self._truth is None:
            paths = spread(self._evidence.used, RANKING_IMAGES)
            found = self._look(self._original.path, paths, "original").plain
            self._truth = truth_of(paths, found, self._evidence.spec.classes)
        return self._truth

    def _look(self, path: Path, images: Sequence[Path], name: str) -> Found:
        return look(
            Artifact.open(path),
            self._evidence.spec,
            images,
            self._context,
            engine=self._engine,
            threads=self._threads,
            name=f"rank {name}",
        )

    def _time(self, candidates: list[Candidate]) -> list[Candidate]:
        paths = [self._original.path, *(self.path_of(candidate) for candidate in candidates)]
        spec = self._evidence.spec
        size = spec.input.size
        rows = [BenchRow(path, self._engine, self._threads, spec, size) for path in paths]
        result = benchmark(rows, duration_s=self._seconds, context=self._context)
        ratios = {ratio.b: ratio.ratio for ratio in result.ratios}
        timed = []
        for candidate in candidates:
            updated = replace(candidate, speedup=ratios.get(str(self.path_of(candidate))))
            self._known[candidate.recipe] = updated
            timed.append(updated)
        return timed


def order(candidates: Sequence[Candidate], prefer: Prefer) -> list[Candidate]:
    """Return candidates best first, by what the user prefers; the gates decide on them later.

    ``accuracy``: by self-mAP, more integer work first where equal. ``speed``: by time.
    ``balanced``: by ln(speed-up) + 3 x self-mAP, so that a little accuracy, which the gate
    limits, is given for much time and not the other way round.
    """
    by_accuracy = sorted(candidates, key=lambda item: (-_accuracy(item), -item.share))
    if prefer == "accuracy" or any(item.speedup is None for item in candidates):
        return by_accuracy
    worth = 0.0 if prefer == "speed" else _EXCHANGE
    return sorted(by_accuracy, key=lambda item: -_utility(item, worth))


def _utility(candidate: Candidate, worth: float) -> float:
    return math.log(max(candidate.speedup or 0.0, 1e-3)) + worth * _accuracy(candidate)


def spread(paths: Sequence[Path], count: int) -> list[Path]:
    """Return ``count`` paths evenly spread over a sequence (all, if there are fewer)."""
    if len(paths) <= count:
        return list(paths)
    return [paths[index * len(paths) // count] for index in range(count)]


def _accuracy(candidate: Candidate) -> float:
    return -1.0 if candidate.self_map is None else candidate.self_map
