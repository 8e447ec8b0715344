"""How a search explores: what it tries, what it times, what it gives back, where it resumes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from edgecv_cli.compress.quantization.plan import QuantizePlan
from edgecv_cli.compress.quantization.recipe import Goal, Recipe
from edgecv_cli.compress.quantization.search import Search, Space
from edgecv_cli.core.context import Context
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.topology import Topology
from tests.models import yolov8

SPACE = Space(
    placements=("all", "last"),
    estimators=("mean-minmax", "minmax"),
    corrections={"equalise": None, "bias_correction": None, "rounding": None},
    percentile=99.9,
)


@dataclass
class Made:
    """Builds nothing: a file holds the recipe, by which the ranking knows its worth."""

    topology: Topology
    shares: dict[int, float] = field(default_factory=dict)

    def plan(self, recipe):
        return QuantizePlan(
            source="0",
            target="cpu-x86",
            placement=str(recipe),
            estimator=recipe.estimator,
            bias_correction=recipe.bias_correction,
            nodes=tuple(self.topology.layers)[recipe.float_stem :],
            grids={},
            layers={},
        )

    def model(self, plan):
        return plan.placement.encode()

    def share(self, recipe):
        return self.shares.get(len(recipe.floats), 1.0)


@dataclass
class Judged:
    """Ranks by rules of the test's own."""

    worth: object
    speed: object
    looked_at: list[str] = field(default_factory=list)

    def self_map(self, path: Path, name: str) -> float:
        self.looked_at.append(name)
        return self.worth(path.read_text())

    def speedups(self, paths, seconds):
        return [self.speed(path.read_text()) for path in paths]


@pytest.fixture(scope="module")
def topology():
    return Topology.of(normalise(yolov8()))


def run(topology, tmp_path, *, worth, speed=lambda name: 1.0, damages=(), goal=None, space=SPACE):
    build, ranking = Made(topology), Judged(worth, speed)
    build.shares = {1: 0.9, 2: 0.7, 3: 0.5}
    search = Search(
        topology,
        build,
        ranking,
        lambda plan: [(f"layer-{index}",) for index in range(damages)] if damages else (),
        tmp_path,
        seconds=1.0,
        context=Context(),
    )
    found = search.run(space, goal or Goal("balanced"), timed=goal is None)
    return found, ranking


def test_a_correction_stays_only_where_it_helps(topology, tmp_path):
    def worth(name):
        return 0.8 + 0.05 * ("equalisation" in name) - 0.05 * ("adaptive" in name)

    found, ranking = run(topology, tmp_path, worth=worth)
    assert {candidate.recipe.corrections for candidate in found} == {(), ("equalisation",)}
    assert found[0].recipe.corrections == ("equalisation",)
    assert any("adaptive rounding" in name for name in ranking.looked_at)


def test_a_gain_within_the_noise_is_no_reason_to_correct(topology, tmp_path):
    found, _ = run(topology, tmp_path, worth=lambda name: 0.8 + 0.001 * ("bias" in name))
    assert {candidate.recipe.corrections for candidate in found} == {()}


def test_the_better_ranges_go_to_every_placement(topology, tmp_path):
    found, _ = run(topology, tmp_path, worth=lambda name: 0.9 if ", minmax" in name else 0.7)
    chosen = [one.recipe for one in found if one.recipe.estimator == "minmax"]
    assert found[0].recipe in chosen
    assert {recipe.placement for recipe in chosen} == {"all", "last"}
    # the others are there for a judge whom the best did not please
    assert {one.recipe.estimator for one in found if one.recipe not in chosen} == {"mean-minmax"}


def test_layers_are_given_back_as_far_as_enough_stays_in_integers(topology, tmp_path):
    def worth(name):
        return 0.9 if "given back" in name else 0.8 if name.startswith("last") else 0.6

    found, _ = run(topology, tmp_path, worth=worth, damages=4, goal=Goal("accuracy", min_share=0.6))
    given = [candidate.recipe.floats for candidate in found if candidate.recipe.floats]
    assert set(map(len, given)) == {1, 2}
    assert found[0].recipe.floats


def test_nothing_is_given_back_where_the_fastest_is_as_accurate(topology, tmp_path):
    found, _ = run(topology, tmp_path, worth=lambda name: 0.8, damages=4)
    assert not any(candidate.recipe.floats for candidate in found)


def test_ranges_are_chosen_again_for_what_is_left_in_integers(topology, tmp_path):
    def worth(name):
        if "given back" not in name:
            return 0.6 if ", mean-minmax" in name else 0.5
        return 0.8 if ", mean-minmax" in name else 0.9

    found, _ = run(topology, tmp_path, worth=worth, damages=4, goal=Goal("accuracy", min_share=0.6))
    assert (found[0].recipe.estimator, bool(found[0].recipe.floats)) == ("minmax", True)


def test_what_is_decided_is_not_ranked(topology, tmp_path):
    decided = Space(("all",), ("minmax",), dict.fromkeys(SPACE.corrections, False), 99.9)
    found, ranking = run(
        topology, tmp_path, worth=lambda name: 0.0, space=replace(decided, give_back=False)
    )
    assert [candidate.recipe for candidate in found] == [Recipe("all", "minmax", percentile=99.9)]
    assert ranking.looked_at == []


def test_numbers_are_chosen_for_the_best_form_and_not_for_one_that_they_suit(topology, tmp_path):
    """Corrections that heal what is broken anyway must not be put on what is not."""

    def worth(name):
        corrected = "+" in name
        return (0.5 if corrected else 0.4) if name.startswith("all") else 0.8 - 0.1 * corrected

    found, _ = run(topology, tmp_path, worth=worth)
    assert (found[0].recipe.placement, found[0].recipe.corrections) == ("last", ())


def test_a_form_is_timed_once_whatever_its_numbers(topology, tmp_path):
    times = []

    def speed(name):
        times.append(name)
        return 1.5 if name.startswith("last") else 1.2

    found, _ = run(
        topology, tmp_path, worth=lambda name: 0.9 if ", minmax" in name else 0.7, speed=speed
    )
    # the fastest once more, beside the same with a float stem
    assert times == [
        "all, mean-minmax",
        "last, mean-minmax",
        "last, mean-minmax",
        "last, float stem, mean-minmax",
    ]
    assert {one.speedup for one in found if one.recipe.placement == "last"} == {1.5}
    assert {one.speedup for one in found if one.recipe.placement == "all"} == {1.2}


def test_a_stem_is_float_where_that_is_faster(topology, tmp_path):
    def speed(name):
        return 1.5 if "float stem" in name else 1.2

    found, _ = run(topology, tmp_path, worth=lambda name: 0.9, speed=speed)
    assert found[0].recipe.float_stem
    # the form with an integer stem stays in reserve, and other placements are tried so too
    assert {(one.recipe.placement, one.recipe.float_stem) for one in found} == {
        (placement, stem) for placement in SPACE.placements for stem in (False, True)
    }


@pytest.mark.parametrize("gain", [0.9, 1.0, 1.02], ids=["slower", "equal", "within the noise"])
def test_a_stem_stays_in_integers_where_float_is_not_faster(gain, topology, tmp_path):
    def speed(name):
        return 1.2 * gain if "float stem" in name else 1.2

    found, ranking = run(topology, tmp_path, worth=lambda name: 0.9, speed=speed)
    assert not any(one.recipe.float_stem for one in found)
    assert not any("float stem" in name for name in ranking.looked_at)


def test_layers_are_given_back_from_the_form_with_a_float_stem(topology, tmp_path):
    def worth(name):
        return 0.9 if "given back" in name else 0.8 if name.startswith("last") else 0.6

    found, _ = run(
        topology,
        tmp_path,
        worth=worth,
        speed=lambda name: 1.5 if "float stem" in name else 1.2,
        damages=4,
    )
    given = [one.recipe for one in found if one.recipe.floats]
    assert given
    assert all(recipe.float_stem for recipe in given)


def test_without_timings_no_stem_is_tried(topology, tmp_path):
    found, _ = run(
        topology, tmp_path, worth=lambda name: 1.0 if "float stem" in name else 0.5,
        goal=Goal("accuracy"),
    )  # fmt: skip
    assert not any(one.recipe.float_stem for one in found)
