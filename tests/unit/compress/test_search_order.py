"""Which candidate goes to the gates first."""

from __future__ import annotations

from pathlib import Path

from edgecv_cli.compress.quantization.plan import QuantizePlan
from edgecv_cli.compress.quantization.recipe import Candidate, Goal, Recipe, order, spread

EMPTY = QuantizePlan(
    source="0",
    target="cpu-x86",
    placement="all",
    estimator="minmax",
    bias_correction=False,
    nodes=(),
    grids={},
    layers={},
)


def candidate(name, self_map, speedup=None, share=1.0):
    return Candidate(Recipe(name, "minmax", False), EMPTY, share, self_map, speedup)


def names(candidates):
    return [entry.recipe.placement for entry in candidates]


def test_accuracy_looks_at_self_map_and_then_at_integer_share():
    chosen = order(
        [candidate("a", 0.8, 2.0), candidate("b", 0.9, 1.0, 0.2), candidate("c", 0.9, 1.0, 0.5)],
        Goal("accuracy"),
    )
    assert names(chosen) == ["c", "b", "a"]


def test_speed_looks_at_time():
    chosen = order([candidate("slow", 0.9, 1.1), candidate("fast", 0.5, 2.0)], Goal("speed"))
    assert names(chosen) == ["fast", "slow"]


def test_balanced_gives_little_accuracy_for_much_time():
    chosen = order([candidate("exact", 0.77, 1.05), candidate("fast", 0.71, 1.5)], Goal("balanced"))
    assert names(chosen) == ["fast", "exact"]


def test_balanced_does_not_give_much_accuracy_for_little_time():
    chosen = order([candidate("fast", 0.6, 1.5), candidate("exact", 0.8, 1.4)], Goal("balanced"))
    assert names(chosen) == ["exact", "fast"]


def test_what_was_not_timed_is_ordered_by_accuracy():
    chosen = order([candidate("a", 0.6), candidate("b", 0.8)], Goal("balanced"))
    assert names(chosen) == ["b", "a"]


def test_ranking_images_are_spread_over_the_folder():
    paths = [Path(str(index)) for index in range(100)]
    assert spread(paths, 4) == [Path("0"), Path("25"), Path("50"), Path("75")]
    assert spread(paths[:3], 4) == paths[:3]


def test_what_a_faster_one_clearly_beats_goes_to_the_end():
    chosen = order(
        [
            candidate("fast", 0.95, 1.8),
            candidate("worse", 0.93, 1.6),
            candidate("exact", 0.97, 1.2),
        ],
        Goal("balanced", spend=True),
    )
    assert names(chosen) == ["fast", "exact", "worse"]


def test_what_is_as_good_within_the_noise_is_next_if_the_fastest_fails():
    chosen = order(
        [
            candidate("fast", 0.951, 1.8),
            candidate("next", 0.947, 1.6),
            candidate("exact", 0.97, 1.2),
        ],
        Goal("balanced", spend=True),
    )
    assert names(chosen) == ["fast", "next", "exact"]


def test_of_those_about_as_fast_one_is_tried():
    chosen = order(
        [candidate("a", 0.94, 1.60), candidate("b", 0.96, 1.58), candidate("c", 0.97, 1.3)],
        Goal("balanced", spend=True),
    )
    assert names(chosen)[:2] == ["b", "c"]
