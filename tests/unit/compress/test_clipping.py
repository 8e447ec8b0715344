"""What a grid before an activation function leaves out must not be missed after it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgecv_cli.compress.quantization.clipping import heard
from edgecv_cli.graph.grid import UNSIGNED, GridKind, grid_of
from edgecv_cli.graph.topology import Topology

SHAPE = (1, 4, 8, 8)


def graph(*nodes, outputs=("y",)):
    made = {name: SHAPE for node in nodes for name in node.output}
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in ("x", *outputs)
    ]
    model = helper.make_model(helper.make_graph(list(nodes), "g", values[:1], values[1:]))
    return Topology(model, {"x": SHAPE, **made})


def silu(*, swapped=False, outputs=("y",)):
    first = helper.make_node("Relu", ["x"], ["t"])  # stands for whatever makes it
    gate = helper.make_node("Sigmoid", ["t"], ["g"])
    operands = ["g", "t"] if swapped else ["t", "g"]
    return graph(first, gate, helper.make_node("Mul", operands, ["y"]), outputs=outputs)


def rounded(values, grid):
    steps = np.rint(values / grid.scale) + grid.zero_point
    return np.clip(steps, 0, 255)


@given(high=st.floats(0.1, 200), swapped=st.booleans())
def test_what_silu_makes_of_it_comes_to_the_same_integer(high, swapped):
    held = {"t": (-300.0, high), "y": (-0.278, high)}
    low, top = heard(silu(swapped=swapped), "t", held, UNSIGNED)
    grid = grid_of(*held["y"], UNSIGNED)
    outside = np.linspace(-300, low, 5000)

    made = rounded(outside / (1 + np.exp(-outside)), grid)

    assert top == np.inf
    assert low <= -1.278
    assert np.abs(made - grid.zero_point).max() <= (0 if low < -1.2785 else 1)


def test_a_finer_result_needs_more_of_what_is_read():
    lows = [heard(silu(), "t", {"t": (-50, high), "y": (-0.278, high)}, UNSIGNED)[0]
            for high in (1.0, 10.0, 60.0)]  # fmt: skip
    assert lows == sorted(lows)
    assert lows[0] == pytest.approx(-7.9, abs=0.3)


def test_a_sigmoid_alone_is_heard_as_far_as_it_moves():
    topology = graph(
        helper.make_node("Relu", ["x"], ["t"]), helper.make_node("Sigmoid", ["t"], ["y"])
    )
    low, high = heard(topology, "t", {"t": (-50, 50), "y": (0.0, 1.0)}, UNSIGNED)
    assert (low, high) == (-high, high)
    assert 1 / (1 + np.exp(high)) == pytest.approx(0.495 / 255)


def test_sixteen_bits_hear_further():
    held = {"t": (-50, 10), "y": (-0.278, 10)}
    wide = heard(silu(), "t", held, GridKind(16, False, False))
    assert wide[0] < heard(silu(), "t", held, UNSIGNED)[0] - 4


@pytest.mark.parametrize(
    "topology",
    [
        pytest.param(silu(outputs=("t", "y")), id="the model gives it out"),
        pytest.param(
            graph(
                helper.make_node("Relu", ["x"], ["t"]),
                helper.make_node("Sigmoid", ["t"], ["g"]),
                helper.make_node("Mul", ["t", "g"], ["s"]),
                helper.make_node("Add", ["t", "s"], ["y"]),
            ),
            id="something else reads it too",
        ),
        pytest.param(
            graph(
                helper.make_node("Relu", ["x"], ["t"]),
                helper.make_node("Sigmoid", ["t"], ["g"]),
                helper.make_node("Mul", ["t", "g"], ["s"]),
                helper.make_node("Add", ["g", "s"], ["y"]),
            ),
            id="something else reads its gate",
        ),
        pytest.param(
            graph(helper.make_node("Relu", ["x"], ["t"]), helper.make_node("Neg", ["t"], ["y"])),
            id="no function that forgets",
        ),
    ],
)
def test_all_of_it_is_kept_where_it_may_be_missed(topology):
    held = dict.fromkeys(("t", "g", "s", "y"), (-50.0, 10.0))
    assert heard(topology, "t", held, UNSIGNED) is None


def test_all_of_it_is_kept_where_the_result_is_on_no_grid():
    assert heard(silu(), "t", {"t": (-50, 10)}, UNSIGNED) is None
