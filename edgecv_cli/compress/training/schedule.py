"""How fast weights move at each step, and which images only judge."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgecv_cli.compress.training.mode import PLAIN, Mode

_WARM_UP = 0.05
_LAST = 0.02
_MOST_HELD_OUT = 64  # images: a look at them must cost less than the updates between two


@dataclass(frozen=True)
class Recipe:
    """How a network is tuned.

    Attributes:
        steps: updates at most.
        minutes: time at most; None is no bound.
        learning_rate: most that one update moves a weight, as a part of the root mean square of
            its tensor. Weights with a BatchNormalization folded in differ in size by orders of
            magnitude from layer to layer, and one absolute rate fits none of them.
        batch: images of one update.
        clip: norm that gradients are cut to.
        average: of the moving average of the weights, how much stays at each update.
        check_every: updates between two looks at the held-out images.
        patience: looks without gain after which it ends.
        seed: of the order of images and their augmentation.
        threads: of torch; None leaves its own choice.
        mode: where, and in which types, networks are run.
    """

    steps: int = 400
    minutes: float | None = None
    learning_rate: float = 0.0005
    batch: int = 4
    clip: float = 1.0
    average: float = 0.98
    check_every: int = 25
    patience: int = 8
    seed: int = 0
    threads: int | None = None
    mode: Mode = PLAIN


def rate_at(done: float, peak: float) -> float:
    """Return the learning rate when a part ``done`` of the training, 0..1, is behind it.

    It grows evenly over the first twentieth, then falls along a cosine to a fiftieth of the peak
    (Loshchilov and Hutter 2017, "SGDR", equation 5, without restarts).
    """
    if done < _WARM_UP:
        return peak * max(done, _WARM_UP / 50) / _WARM_UP
    fall = (min(done, 1.0) - _WARM_UP) / (1 - _WARM_UP)
    return peak * (_LAST + (1 - _LAST) * (1 + math.cos(math.pi * fall)) / 2)


def split(count: int, seed: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return which of ``count`` images are trained on, and which only judge.

    One in eight judges, 64 at most. The same count and seed give the same images; both parts hold
    at least one of two or more.
    """
    order = np.random.default_rng(seed).permutation(count)
    held_out = min(max(1, count // 8), _MOST_HELD_OUT)
    return (
        tuple(sorted(int(i) for i in order[held_out:])),
        tuple(sorted(int(i) for i in order[:held_out])),
    )
