"""Which layers fell back to float, told from those that were meant to be float."""

from __future__ import annotations

import pytest

from edgecv_cli.graph.quantized import Layer
from edgecv_cli.measure.precision_fallback import (
    find_fallback,
    precision_text,
    weighted_operators,
)
from edgecv_cli.runtime.operators import OperatorTime


def operator(name, precision="int8", ms=1.0, kind="Conv", *, weighted=True):
    return OperatorTime(name, kind, None, "CPU", precision, weighted, (ms * 1e6,))


def layer(name, *more, quantized=True):
    return Layer(name, quantized, frozenset({name, *more}))


def test_what_runs_in_integers_is_no_fallback():
    layers = [layer("a"), layer("b")]

    assert find_fallback([operator("a_token_7"), operator("b/WithoutBiases")], layers) is None


def test_a_layer_that_the_file_leaves_float_is_meant_to_be():
    layers = [layer("a"), layer("b", quantized=False)]

    assert find_fallback([operator("a"), operator("b", "float32")], layers) is None


@pytest.mark.parametrize(
    "name", ["b", "b_token_12", "b_nchwc", "b/WithoutBiases", "out_nchwc", "out", "b_token_3_nchwc"]
)
def test_a_quantized_layer_in_float_is_found_by_any_of_its_names(name):
    layers = [layer("a"), layer("b", "out")]
    operators = [operator("a", ms=3), operator(name, "float32", 1), operator("c", ms=4)]

    found = find_fallback(operators, layers)

    assert found is not None
    assert found.names == ("b",)
    assert found.quantized == 2
    assert found.share == pytest.approx(1 / 8)
    assert str(found) == (
        "1 of 2 layers that the file quantizes run in float32, 12% of the time: b"
    )


def test_a_name_that_ends_like_an_engines_is_taken_as_it_is():
    layers = [layer("a_nchwc"), layer("a", quantized=False)]

    assert find_fallback([operator("a", "float32"), operator("a_nchwc")], layers) is None
    found = find_fallback([operator("a", "float32"), operator("a_nchwc", "float32")], layers)
    assert found is not None
    assert found.names == ("a_nchwc",)


def test_the_slowest_come_first_and_the_rest_is_counted():
    layers = [layer(name) for name in "abcde"]
    times = dict(zip("abcde", (1, 5, 2, 4, 3), strict=True))

    found = find_fallback([operator(name, "float32", ms) for name, ms in times.items()], layers)

    assert found is not None
    assert found.names == ("b", "d", "e", "c", "a")
    assert str(found).endswith("5 of 5 layers that the file quantizes run in float32, "
                               "100% of the time: b, d, e and 2 more")  # fmt: skip


def test_nameless_nodes_fall_back_as_often_as_integers_are_missing():
    layers = [layer("a"), layer("b"), layer("c", quantized=False)]
    floats = [operator("Conv_1", "float32", 3), operator("Conv_2", "float32", 2)]

    found = find_fallback([operator("a", ms=5), *floats], layers)
    assert found is not None
    assert (found.names, found.count) == ((), 1)
    assert str(found) == (
        "1 of 2 layers that the file quantizes run in float32, at least 20% of the time"
    )
    assert find_fallback([operator("a"), operator("b"), *floats], layers) is None
    assert find_fallback([operator("a"), operator("Conv_1", "float32")], layers) is None
    # two quantized layers that an engine made one of are none that is missing
    assert find_fallback([operator("a and b"), operator("c", "float32")], layers) is None


def test_what_does_not_show_its_type_is_not_called_float():
    assert find_fallback([operator("a", "unknown")], [layer("a")]) is None


def test_a_product_is_a_layer_where_a_name_of_the_file_says_so():
    attention = operator("q x k", "float32", kind="MatMul", weighted=False)
    product = operator("a", "float32", kind="MatMul", weighted=False)
    other = operator("a", "float32", kind="Relu", weighted=False)

    assert weighted_operators([attention, product, other], [layer("a")]) == (product,)
    found = find_fallback([attention, product, other], [layer("a")])
    assert found is not None
    assert (found.names, found.count) == (("a",), 1)


def test_types_are_counted_over_layers():
    many = [operator(str(place), "float32" if place < 2 else "int8") for place in range(5)]

    assert precision_text(many) == "int8 3, float32 2 of 5 weighted layers"
    assert precision_text([]) is None
