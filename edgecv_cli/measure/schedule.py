"""How a benchmark spends its time: block sizes, warm-up, order of rounds. Pure, no clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BLOCK_SECONDS = 0.05
MIN_ROUNDS = 5
MAX_WARM_UP = 16
STEADY_BLOCKS = 3
STEADY_CHANGE = 0.02
_MAX_BLOCK = 10_000
_SETTLED_SECONDS = 0.1
_ROUNDS_A_LAUNCH = 4


@dataclass(frozen=True)
class Budget:
    """What a benchmark may spend on each row.

    Attributes:
        seconds: of timed inference.
        samples: how many timed inferences, instead of seconds.
        rounds: how many rounds, instead of both.
        launches: processes that it is timed in, one after the other.
    """

    seconds: float
    samples: int | None = None
    rounds: int | None = None
    launches: int = 1


@dataclass(frozen=True)
class Plan:
    """How a budget is spent.

    Attributes:
        launches: rounds of each launch.
        blocks: timed inferences of each row in a round.
        settling: inferences of each row before them that are not timed.
    """

    launches: tuple[int, ...]
    blocks: tuple[int, ...]
    settling: tuple[int, ...]

    @property
    def rounds(self) -> int:
        """Rounds of all launches."""
        return sum(self.launches)


def block_count(inference_ns: float, *, block_seconds: float = BLOCK_SECONDS) -> int:
    """Return how many inferences fill a block.

    Short, because only what happens to two rows within moments of each other is common to both:
    a machine's neighbours come and go within a tenth of a second.
    """
    return min(_MAX_BLOCK, max(1, round(block_seconds * 1e9 / max(1.0, inference_ns))))


def settling(inference_ns: float) -> int:
    """Return how many inferences a block begins with that are not timed.

    One, which finds the caches as the row before left them; a slow network fills them many times
    over within one inference.
    """
    return int(inference_ns < _SETTLED_SECONDS * 1e9)


def warm_up_block(budget: Budget) -> float:
    """Return how long a block of warm-up is: a short benchmark does not warm up for longer."""
    if budget.samples is not None or budget.rounds is not None:
        return BLOCK_SECONDS
    return min(BLOCK_SECONDS, budget.seconds / MIN_ROUNDS)


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


def plan(inference_ns: Sequence[float], budget: Budget) -> Plan:
    """Share out what may be spent on each row.

    As many rounds as the slowest row's block allows, and at least enough to pair; what a fast
    row has left by then makes its blocks longer.

    Args:
        inference_ns: one warm inference of each row.
        budget: seconds, samples or rounds of each row, and in how many launches; fewer launches
            where a launch would have too few rounds to tell its own spread.
    """
    rounds, blocks = _shared(inference_ns, budget)
    launches = max(1, min(budget.launches, rounds // _ROUNDS_A_LAUNCH))
    each, left = divmod(rounds, launches)
    return Plan(
        tuple(each + (number < left) for number in range(launches)),
        blocks,
        tuple(settling(one) for one in inference_ns),
    )


def _shared(inference_ns: Sequence[float], budget: Budget) -> tuple[int, tuple[int, ...]]:
    if budget.rounds is not None:
        return budget.rounds, tuple(block_count(one) for one in inference_ns)
    slowest = max([BLOCK_SECONDS * 1e9, *inference_ns])
    if budget.samples is not None:
        rounds = max(MIN_ROUNDS, math.ceil(budget.samples / block_count(slowest)))
        return rounds, (math.ceil(budget.samples / rounds),) * len(inference_ns)
    # A hair more than what fits, or 0.3 s / 0.05 s would give 5 rounds for want of a last bit.
    rounds = max(MIN_ROUNDS, math.floor(budget.seconds * 1e9 / slowest + 1e-6))
    share = budget.seconds / rounds
    return rounds, tuple(block_count(one, block_seconds=share) for one in inference_ns)


def interleaved(rows: int, rounds: int, seed: int) -> list[list[int]]:
    """Return, for each round, the rows in a random order: no row profits from its place."""
    rng = np.random.default_rng(seed)
    return [[int(row) for row in rng.permutation(rows)] for _ in range(rounds)]
