"""Integers that are trained, from a file and a folder of images to a file that an engine runs."""

from __future__ import annotations

import importlib.util

import onnx
import pytest
from models import yolov8
from scenes import write_dataset

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.training.pictures import Pictures
from edgecv_cli.compress.training.schedule import Recipe
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import UsageError
from edgecv_cli.graph.inspect import input_specs
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.topology import Topology
from edgecv_cli.media.images import open_images
from edgecv_cli.stages.qat import parity, parity_warning, plans_for, trained_integers

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="torch is not installed: pip install 'edgecv[train]'",
)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    images = write_dataset(folder / "set", images=6, size=(64, 64))
    onnx.save(yolov8(planted=True), folder / "detector.onnx")
    artifact = Artifact.open(folder / "detector.onnx")
    topology = Topology.of(normalise(artifact.model))
    return artifact, topology, open_images(images, 6).paths


def test_there_is_a_plan_of_every_op_for_each_estimator(given):
    artifact, topology, paths = given
    spec = artifact.detector().spec
    plans = plans_for(
        artifact, topology, spec=spec, paths=paths, target="cpu-x86", context=Context()
    )
    assert set(plans) == {"minmax", "mean-minmax", "mse"}
    for plan in plans.values():
        assert set(plan.layers) == set(topology.layers)
        onnx.checker.check_model(apply_normalised(topology, plan), full_check=True)
    assert plans["mse"].grids != plans["minmax"].grids


def test_a_target_without_rules_is_refused(given):
    artifact, topology, paths = given
    with pytest.raises(UsageError, match="no rules for the target"):
        plans_for(
            artifact, topology, spec=artifact.detector().spec, paths=paths, target="toaster",
            context=Context(),
        )  # fmt: skip


@needs_torch
def test_the_nearest_plan_is_trained_and_the_engine_runs_what_was_trained(given, tmp_path):
    artifact, topology, paths = given
    spec = artifact.detector().spec
    pictures = Pictures(paths, input_specs(topology.model), spec, Context())
    made = trained_integers(
        artifact,
        topology.model,
        topology,
        pictures,
        Recipe(steps=2, batch=1, check_every=1, threads=1),
        spec=spec,
        paths=paths,
        heads=topology.heads,
        target="cpu-x86",
        context=Context(),
    )
    assert made.untrained[made.estimator] == min(made.untrained.values())
    assert made.quantized.tuned.before == pytest.approx(made.untrained[made.estimator], rel=1e-4)
    path = tmp_path / "int8.onnx"
    onnx.save(made.quantized.model, path)
    assert parity(made.quantized, path, pictures, 1) < 0.05
    other = onnx.ModelProto.FromString(artifact.model.SerializeToString())
    onnx.save(other, path)
    assert parity(made.quantized, path, pictures, 1) > 0


def test_integers_that_run_otherwise_are_said():
    assert parity_warning(0.01) is None
    assert "0.200" in parity_warning(0.2)
