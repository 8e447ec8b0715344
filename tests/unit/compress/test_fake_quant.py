"""Rounding in a program: at the plan's places, and nothing else changes; without torch."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from qat_nets import planned, small

from edgecv_cli.compress.training.fake_quant import rounded
from edgecv_cli.core.errors import ConfigError
from edgecv_cli.graph.topology import Topology

TOPOLOGY = Topology.of(small())
PLAN = planned(TOPOLOGY)
MADE = rounded(TOPOLOGY, PLAN, ["h"])


def steps(kind, made=MADE):
    return {one.name: one for one in made.program.instructions if one.op == kind}


def test_every_layer_is_rounded_and_every_grid_of_the_plan_is_laid():
    assert set(steps("FakeWeights")) == {f"{name}/weight" for name in PLAN.layers}
    assert set(steps("FakeQuantize")) == {f"{name}/rounded" for name in PLAN.grids}


def test_readers_of_a_tensor_that_integers_make_read_it_rounded_and_others_do_not():
    quantize = steps("FakeQuantize")
    assert quantize["a/rounded"].inputs[0] == "a/raw"
    assert quantize["a/rounded"].outputs == ("a",)
    assert quantize["x/rounded"].inputs[0] == "x"
    conv = next(one for one in MADE.program.instructions if one.outputs[0] == "c/raw")
    assert conv.inputs[0] == "x/rounded"
    float_reader = next(one for one in MADE.program.instructions if one.outputs[0] == "z")
    assert float_reader.inputs == ("x",)


def test_tensors_are_let_go_after_their_last_reader():
    gone = [name for step in MADE.program.instructions for name in step.done_with]
    assert len(gone) == len(set(gone))
    assert {"x", "x/rounded", "c/weight", "a"} <= set(gone)
    assert not {"h", *MADE.program.outputs, *MADE.program.weights} & set(gone)


def test_equal_grids_have_one_factor_and_a_sigmoid_keeps_its_grid():
    assert MADE.factors["m"] == MADE.factors["a"]
    assert MADE.factors["x"] != MADE.factors["a"]
    assert "g" not in MADE.factors
    assert set(MADE.program.weights) >= set(MADE.factors.values())


def test_learned_scales_come_into_the_plan_within_their_bounds():
    values = dict.fromkeys(MADE.factors.values(), np.float32(1.5))
    values[MADE.factors["r"]] = np.float32(99)
    plan = MADE.tuned_plan(MADE.topology, values)
    assert plan.grids["x"].scale == pytest.approx(1.5 * PLAN.grids["x"].scale)
    assert plan.grids["g"] == PLAN.grids["g"]
    assert PLAN.dropped == ("r",)
    clamp = plan.grids["r"]
    assert clamp.scale * (255 - clamp.zero_point) < 6.0


def test_a_factor_never_bears_the_name_of_a_weight():
    model = small()
    name = next(iter(MADE.factors.values()))
    for node in model.graph.node:
        for place, one in enumerate(node.input):
            node.input[place] = name if one == "w1" else one
    for tensor in model.graph.initializer:
        tensor.name = name if tensor.name == "w1" else tensor.name
    made = rounded(Topology.of(model), PLAN, ["h"])
    assert made.program.weights[name].shape == (8, 3, 3, 3)
    assert name not in made.factors.values()


def test_shifted_biases_are_written_into_the_graph_and_leave_the_plan():
    layers = dict(PLAN.layers)
    layers["c"] = layers["c"].model_copy(update={"bias_shift": (1.0,) * 8})
    layers["d"] = layers["d"].model_copy(update={"bias_shift": (2.0,) * 8})
    made = rounded(TOPOLOGY, PLAN.model_copy(update={"layers": layers}), ["h"])
    onnx.checker.check_model(made.topology.model, full_check=True)
    constants = made.topology.constants
    before = TOPOLOGY.constants.value(TOPOLOGY.layers["c"].bias)
    np.testing.assert_allclose(constants.value(made.topology.layers["c"].bias), before + 1)
    np.testing.assert_array_equal(constants.value(made.topology.layers["d"].bias), np.full(8, 2.0))
    assert all(one.bias_shift is None for one in made.plan.layers.values())


def test_a_plan_that_is_not_of_integers_is_refused():
    with pytest.raises(ConfigError, match="precision fp16"):
        rounded(TOPOLOGY, PLAN.model_copy(update={"precision": "fp16"}), ["h"])


def test_scales_can_stay_as_they_are():
    made = rounded(TOPOLOGY, PLAN, ["h"], scales=False)
    assert made.factors == {}
    assert made.digest != MADE.digest
    assert made.tuned_plan(made.topology, {}).grids == PLAN.grids
