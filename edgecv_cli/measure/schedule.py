"""How a benchmark spends its time: block sizes, warm-up, order of rounds. Pure, no clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BLOCK_SECONDS = 0.15
MIN_ROUNDS = 5
MAX_WARM_UP = 16
STEADY_BLOCKS = 3
STEADY_CHANGE = 0.02
_MAX_BLOCK = 10_000


@dataclass(frozen=True)
class Plan:
    """How many rounds, and how many inferences each row's block has in a round."""

    rounds: int
    blocks: tuple[int, ...]


def block_count(inference_ns: float, *, block_seconds: float = BLOCK_SECONDS) -> int:
    """Return how many inferences fill a block.

    Long enough to outlast a scheduler slice, short enough that what disturbs the machine hits
    one round and not the whole run.
    """
    return min(_MAX_BLOCK, max(1, round(block_seconds * 1e9 / max(1.0, inference_ns))))


def warm_up_block(seconds: float) -> float:
    """Return how long a block of warm-up is: a short benchmark does not warm up for longer."""
    return min(BLOCK_SECONDS, seconds / MIN_ROUNDS)


def is_steady(block_medians: Sequence[float]) -> bool:
    """Return whether warm-up is over.

    The running median (of all blocks so far) moved by at most 2 % over the last 3 blocks; the
    median of all, because a single slow block on a busy machine must not start it again.
    """
    if len(block_medians) < STEADY_BLOCKS:
        return False
    ends = range(len(block_medians) - STEADY_BLOCKS + 1, len(block_medians) + 1)
    running = [float(np.median(block_medians[:end])) for end in ends]
    return max(running) <= min(running) * (1 + STEADY_CHANGE)


def plan(inference_ns: Sequence[float], *, seconds: float, rounds: int | None = None) -> Plan:
    """Share out the timed seconds of each row.

    As many rounds as the slowest row's block allows, and at least enough to pair; what a fast
    row has left by then makes its blocks longer.

    Args:
        inference_ns: one warm inference of each row.
        seconds: timed inference of each row.
        rounds: how many rounds, instead of what fills ``seconds``.
    """
    if rounds is not None:
        return Plan(rounds, tuple(block_count(one) for one in inference_ns))
    slowest = max([BLOCK_SECONDS, *(one / 1e9 for one in inference_ns)])
    many = max(MIN_ROUNDS, math.floor(seconds / slowest))
    share = seconds / many
    return Plan(many, tuple(block_count(one, block_seconds=share) for one in inference_ns))


def interleaved(rows: int, rounds: int, seed: int) -> list[list[int]]:
    """Return, for each round, the rows in a random order: no row profits from its place."""
    rng = np.random.default_rng(seed)
    return [[int(row) for row in rng.permutation(rows)] for _ in range(rounds)]
