"""Which category a model's class stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.class_map import map_classes
from edgecv_cli.media.dataset import Dataset


def with_categories(categories: dict[int, str], *, numbered: bool = True) -> Dataset:
    return Dataset(Path("d"), (), categories, Path("d/instances.json"), numbered=numbered)


@pytest.mark.parametrize("spelling", ["hex-nut", "HEX NUT", "hexnut", " Hex_Nut "])
def test_classes_by_name_in_any_spelling(spelling: str) -> None:
    dataset = with_categories({10: "gear", 20: "Hex_Nut"})
    assert map_classes([spelling, "GEAR"], dataset) == {0: 20, 1: 10}


def test_a_model_with_more_classes_maps_those_the_dataset_has() -> None:
    assert map_classes(["dog", "gear", "cat"], with_categories({4: "gear"})) == {1: 4}


def test_a_dataset_with_more_categories() -> None:
    assert map_classes(["gear"], with_categories({4: "gear", 5: "dog"})) == {0: 4}


def test_ninety_one_classes_are_category_ids() -> None:
    names = [f"class {index}" for index in range(91)]
    assert map_classes(names, with_categories({1: "person", 90: "brush"})) == {1: 1, 90: 90}


@pytest.mark.parametrize(
    ("categories", "numbered"),
    [({1: "gear", 2: "nut"}, False), ({1: "car", 2: "nut"}, True)],
    ids=["ids that are none of the data's", "a name that stands at another index"],
)
def test_ninety_one_classes_are_not_forced_on_names(
    categories: dict[int, str], numbered: bool
) -> None:
    names = ["background", "person", "bicycle", "car", *(f"class {n}" for n in range(4, 91))]
    with pytest.raises(DataError, match="nut"):
        map_classes(names, with_categories(categories, numbered=numbered))


def test_repeated_placeholder_names_pair_nothing() -> None:
    names = ["-"] * 40 + ["gear"]
    assert map_classes(names, with_categories({3: "gear"})) == {40: 3}


def test_names_of_punctuation_stay_apart() -> None:
    assert map_classes(["+", "-"], with_categories({7: "-", 8: "+"})) == {0: 8, 1: 7}


def test_equal_counts_go_by_id_order() -> None:
    assert map_classes(["a", "b"], with_categories({9: "y", 2: "x"})) == {0: 2, 1: 9}


def test_the_background_is_not_counted() -> None:
    dataset = with_categories({9: "y", 2: "x"})
    assert map_classes(["none", "a", "b"], dataset, background=0) == {1: 2, 2: 9}


def test_names_that_contradict_the_order_refuse_the_count() -> None:
    with pytest.raises(DataError, match="no class is called 'x'"):
        map_classes(["y", "a"], with_categories({2: "x", 9: "y"}))


def test_names_without_numbers_are_not_counted() -> None:
    with pytest.raises(DataError, match="no class is called 'x', 'y'"):
        map_classes(["a", "b"], with_categories({1: "x", 2: "y"}, numbered=False))


def test_neither_is_refused_with_both_lists() -> None:
    with pytest.raises(DataError) as caught:
        map_classes(["a", "b", "dog"], with_categories({1: "dog", 2: "cat"}))
    assert "3 classes (a, b, dog)" in caught.value.problem
    assert "2 categories of d/instances.json (dog, cat)" in caught.value.problem
    assert "no class is called 'cat'" in caught.value.problem
    assert "--spec" in caught.value.remedy


def test_long_lists_are_cut() -> None:
    names = [f"n{index}" for index in range(80)]
    with pytest.raises(DataError, match=r"80 classes \(n0, n1, .*n7, …\)"):
        map_classes(names, with_categories({1: "dog"}))
