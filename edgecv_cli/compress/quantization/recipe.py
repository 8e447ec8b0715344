"""What a search moves between: recipes, the models that they make, and what is known of those."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgecv_cli.compress.quantization.plan import QuantizePlan

Prefer = Literal["accuracy", "balanced", "speed"]
# `balanced` pays a tenth of self-mAP for a speed-up of 1.35 (e ** 0.3), and no more.
_EXCHANGE = 3.0
# Where the loss may be spent, a tenth still weighs as much as a twentieth of the speed: labels of a
# few dozen images let pass by chance what self-mAP sees clearly.
_SPENT_EXCHANGE = 0.5


# Candidates whose self-mAP on a few dozen images is closer than this may be the other way round.
_NOISE = 0.01
# Speeds of short measurements that are nearer than this are one speed.
ALIKE = 0.97


@dataclass(frozen=True)
class Recipe:
    """One point of the search space.

    Attributes:
        placement: which layers are float, by name of a rule.
        estimator: how a range follows from what was seen.
        bias_correction: undo the mean error of each channel.
        percentile: of the estimator ``percentile``.
        equalise: cross-layer equalisation first.
        rounding: choose the direction in which each weight is rounded.
        floats: layers that are given back to float on top of the placement.
        float_stem: the layers that read the picture are float, because that was faster.
    """

    placement: str
    estimator: str
    bias_correction: bool = False
    percentile: float = 99.99
    equalise: bool = False
    rounding: bool = False
    floats: tuple[str, ...] = ()
    float_stem: bool = False

    @property
    def corrections(self) -> tuple[str, ...]:
        """Names of the corrections that are on."""
        named = {
            "equalisation": self.equalise,
            "bias correction": self.bias_correction,
            "adaptive rounding": self.rounding,
        }
        return tuple(name for name, on in named.items() if on)

    def __str__(self) -> str:
        back = f", {len(self.floats)} layers given back" if self.floats else ""
        stem = ", float stem" if self.float_stem else ""
        form = f"{self.placement}{stem}{back}"
        return " + ".join([f"{form}, {self.estimator}", *self.corrections])


@dataclass(frozen=True)
class Candidate:
    """A plan with what is known of it so far.

    Attributes:
        share: fraction of the multiply-accumulates that run in integers.
        self_map: against what the original finds in calibration images; None if not looked at.
        speedup: over the original, from a short measurement; None if not timed.
    """

    recipe: Recipe
    plan: QuantizePlan
    share: float
    self_map: float | None = None
    speedup: float | None = None


@dataclass(frozen=True)
class Goal:
    """What the search is for.

    Attributes:
        prefer: what counts among those that pass.
        spend: whether the loss that the gate allows may be spent on speed: it was asked for.
        min_share: least fraction of the multiply-accumulates in integers.
        min_speedup: what is slower than this, by the short measurement, is left to the end.
    """

    prefer: Prefer
    spend: bool = False
    min_share: float = 0.0
    min_speedup: float = 0.0


def order(candidates: Sequence[Candidate], goal: Goal) -> list[Candidate]:
    """Return candidates best first; the gates decide on them later.

    ``accuracy``: by self-mAP, more integer work first where equal. ``speed``: by time.
    ``balanced``: by ln(speed-up) + 3 x self-mAP, so that a little accuracy is given for much time
    and not the other way round; + 0.5 x self-mAP where the loss may be spent.
    What is not on the ``front``, and what is too slow, goes to the end, by ``balanced``.
    """
    by_accuracy = sorted(candidates, key=lambda item: (-accuracy(item), -item.share))
    enough = [item for item in by_accuracy if item.share >= goal.min_share]
    rest = [item for item in by_accuracy if item.share < goal.min_share]
    if goal.prefer == "accuracy" or any(item.speedup is None for item in candidates):
        return enough + rest
    worth = _SPENT_EXCHANGE if goal.spend else _EXCHANGE
    if goal.prefer == "speed":
        worth = 0.0
    first = [item for item in front(enough) if (item.speedup or 0.0) >= goal.min_speedup]
    behind = [item for item in [*enough, *rest] if item not in first]
    return sorted(first, key=lambda item: -_utility(item, worth)) + sorted(
        behind, key=lambda item: -_utility(item, _EXCHANGE)
    )


def front(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return those worth taking to a judge, fastest first.

    Of those that are about as fast the most accurate; none that a faster one clearly beats in
    self-mAP. Within the noise of self-mAP a slower one stays: it is what to try next where the
    judge, who has labels, does not like the faster one.
    """
    found: list[Candidate] = []
    best = -math.inf
    for group in _about_as_fast(candidates):
        item = max(group, key=lambda item: (accuracy(item), item.speedup or 0.0))
        if accuracy(item) > best - _NOISE:
            found.append(item)
        best = max(best, accuracy(item))
    return found


def _about_as_fast(candidates: Iterable[Candidate]) -> list[list[Candidate]]:
    groups: list[list[Candidate]] = []
    for item in sorted(candidates, key=lambda item: -(item.speedup or 0.0)):
        if groups and (item.speedup or 0.0) >= ALIKE * (groups[-1][0].speedup or 0.0):
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups


def _utility(candidate: Candidate, worth: float) -> float:
    return math.log(max(candidate.speedup or 0.0, 1e-3)) + worth * accuracy(candidate)


def accuracy(candidate: Candidate) -> float:
    """Return self-mAP; what was not looked at comes last."""
    return -1.0 if candidate.self_map is None else candidate.self_map


def spread(paths: Sequence[Path], count: int) -> list[Path]:
    """Return ``count`` paths evenly spread over a sequence (all, if there are fewer)."""
    if len(paths) <= count:
        return list(paths)
    return [paths[index * len(paths) // count] for index in range(count)]
