"""Quantization-aware fine-tuning: what is trained is what ONNX Runtime runs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from models import yolov8
from qat_nets import opened, pictures, planned, small

from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.targets import TargetRules
from edgecv_cli.compress.training.fake_quant import rounded
from edgecv_cli.compress.training.finetune import Kept
from edgecv_cli.compress.training.network import Network
from edgecv_cli.compress.training.pictures import Pictures
from edgecv_cli.compress.training.qat import distances, finetune_quantized
from edgecv_cli.compress.training.schedule import Recipe
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError
from edgecv_cli.detector.recognise import recognise
from edgecv_cli.graph.inspect import input_specs, read_facts
from edgecv_cli.graph.topology import Topology

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'edgecv[train]'")

QUICK = Recipe(steps=60, learning_rate=0.003, batch=2, check_every=15, threads=1)
TARGETS = [
    TargetRules("cpu-x86", 16, here=True),
    TargetRules("cpu-arm", 32, here=True, signed=True),
    TargetRules("tensorrt", 32, here=True, signed=True, symmetric=True, bias="float",
                glue="residual"),
    TargetRules("openvino", 16, here=True, glue="inputs"),
]  # fmt: skip


@pytest.fixture(scope="module")
def whole():
    return Topology.of(small(uneven=60.0))


@pytest.fixture(scope="module")
def taught(tmp_path_factory, whole):
    place = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index in range(8):
        drawn = rng.integers(0, 255, (6, 6, 3)).astype(np.uint8)
        cv2.imwrite(str(place / f"{index}.png"), cv2.resize(drawn, (40, 32)))
    found = recognise(read_facts(yolov8(planted=True))).spec
    spec = found.replace(input={**found.input.model_dump(), "name": "x", "size": (32, 32)})
    return Pictures(sorted(place.iterdir()), input_specs(whole.model), spec, Context())


def coarse(whole):
    """Return a plan that uses a few steps of its grids alone, where no clamp speaks against it."""
    plan = planned(whole)
    wide = {
        name: plan.grids[name].model_copy(
            update={
                "scale": 4 * plan.grids[name].scale,
                "zero_point": plan.grids[name].zero_point // 4,
            }
        )
        for name in ("c", "a", "m", "h")
    }
    return plan.model_copy(update={"grids": {**plan.grids, **wide}})


def tune(whole, taught, recipe=QUICK, **rest):
    return finetune_quantized(
        whole.model, whole, coarse(whole), taught, recipe, heads=["h"], context=Context(), **rest
    )


@pytest.fixture(scope="module")
def tuned(whole, taught):
    return tune(whole, taught)


def apart(one, other):
    return np.abs(one - other).max() / np.ptp(other)


@pytest.mark.parametrize("rules", TARGETS, ids=lambda one: one.name)
@pytest.mark.parametrize("correction", [False, True])
def test_a_program_that_rounds_makes_what_the_plan_s_model_makes(rules, correction):
    topology = Topology.of(small())
    plan = planned(topology, rules=rules, correction=correction)
    network = Network(rounded(topology, plan, ["h"]).program, trained=False)
    run = opened(apply_normalised(topology, plan).SerializeToString())
    floats = opened(topology.model.SerializeToString())
    for picture in pictures(2):
        with torch.no_grad():
            made = network({"x": picture})["y"].numpy()
        wanted, lost = run(picture)[0], apart(run(picture)[0], floats(picture)[0])
        # one step of a grid here and there, where sums of floats round the other way
        assert np.abs(made - wanted).mean() < 0.1 * np.abs(floats(picture)[0] - wanted).mean()
        assert lost > 0


def test_gradients_reach_all_weights_and_factors(whole):
    network = Network(rounded(whole, planned(whole), ["h"]).program, trained=True)
    network({"x": pictures(1)[0]})["y"].square().sum().backward()
    assert all(one.grad is not None and bool(one.grad.any()) for one in network.weights.values())


def test_integers_come_nearer_to_the_float_original(tuned, whole):
    assert tuned.tuned.after < 0.85 * tuned.tuned.before
    before = opened(apply_normalised(whole, coarse(whole)).SerializeToString())
    after = opened(tuned.model.SerializeToString())
    floats = opened(whole.model.SerializeToString())
    errors = [
        np.mean([np.abs(run(one)[0] - floats(one)[0]).mean() for one in pictures()])
        for run in (before, after)
    ]
    assert errors[1] < 0.95 * errors[0]


def test_what_was_trained_is_what_onnx_runtime_runs(tuned):
    run = opened(tuned.model.SerializeToString())
    for picture in pictures(2):
        made, wanted = tuned.network()({"x": picture})["y"], run(picture)[0]
        assert np.abs(made - wanted).mean() < 2e-3 * np.ptp(wanted)


def test_learned_grids_are_the_plan_s(tuned, whole):
    before = coarse(whole)
    moved = [n for n, grid in tuned.plan.grids.items() if grid.scale != before.grids[n].scale]
    assert "h" in moved
    assert "g" not in moved
    assert tuned.plan.nodes == before.nodes


def test_a_training_of_another_plan_is_not_gone_on_with(whole, taught, tmp_path):
    short = Recipe(steps=2, batch=1, check_every=1, threads=1)
    path = tmp_path / "a.npz"
    one = tune(whole, taught, short, kept=Kept(path))
    again = tune(whole, taught, short, kept=Kept(path, resume=True))
    assert again.model == one.model
    with pytest.raises(DataError, match="other options"):
        tune(whole, taught, short, kept=Kept(path, resume=True), scales=False)


def test_the_nearer_of_two_plans_is_told_before_training(whole, taught):
    plans = [planned(whole), coarse(whole)]
    near, far = distances(whole.model, whole, plans, taught, heads=["h"], context=Context())
    assert 0 < near < far
