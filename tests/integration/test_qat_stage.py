"""Integers that are trained, from a file and a folder of images to a file that an engine runs."""

from __future__ import annotations

import importlib.util

import onnx
import pytest
from models import yolov8
from scenes import write_dataset

import edgecv_cli.stages.distill as distill_module
from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import TARGET_KEY
from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.training.pictures import Pictures
from edgecv_cli.compress.training.schedule import Recipe
from edgecv_cli.config.distill import DistillConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import InterruptedByUser, ModelError, UsageError
from edgecv_cli.graph.inspect import input_specs
from edgecv_cli.graph.io import read_metadata
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.topology import Topology
from edgecv_cli.media.images import open_images
from edgecv_cli.stages.converting.gates import Outcome
from edgecv_cli.stages.distill import distill
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


def test_a_graph_without_layers_is_refused(given):
    artifact, topology, paths = given
    bare = onnx.ModelProto.FromString(topology.model.SerializeToString())
    for node in bare.graph.node:
        node.op_type = "ConvTranspose" if node.op_type == "Conv" else node.op_type
    with pytest.raises(ModelError, match="no layer with stored weights"):
        plans_for(
            artifact, Topology(bare, topology.shapes), spec=artifact.detector().spec, paths=paths,
            target="cpu-x86", context=Context(),
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
    assert made.quantized.tuned.after <= made.quantized.tuned.before
    path = tmp_path / "int8.onnx"
    onnx.save(made.quantized.model, path)
    assert parity(made.quantized, path, pictures, 1) < 0.05
    other = onnx.ModelProto.FromString(artifact.model.SerializeToString())
    onnx.save(other, path)
    assert parity(made.quantized, path, pictures, 1) > 0


def test_integers_that_run_otherwise_are_said():
    assert parity_warning(0.01) is None
    assert "0.200" in parity_warning(0.2)


def config(given, out, /, **changes):
    """Return a quick run of distill --qat that takes any result."""
    artifact, _, paths = given
    settings = {
        "model": artifact.path, "output": out, "images": paths[0].parent, "qat": True, "steps": 2,
        "batch": 1, "min_agreement": 0, "speed_seconds": 0, "threads": 1, "target": "cpu-x86",
    }  # fmt: skip
    return DistillConfig(**{**settings, **changes})


def without_learned(monkeypatch):
    """Take whatever two updates bring: small random networks lose nothing in integers."""
    monkeypatch.setattr(
        distill_module, "_learned", lambda learned: Outcome("learned", met=True, text="any")
    )


@needs_torch
def test_trained_integers_are_saved_with_what_they_are_for(given, tmp_path, monkeypatch):
    without_learned(monkeypatch)
    out = tmp_path / "int8.onnx"
    result = distill(config(given, out), Context())
    saved = Artifact.open(out)
    assert saved.facts(None).precision == "int8"
    assert saved.detector().spec.family == "yolov8"
    assert [step.stage for step in saved.lineage] == ["qat"]
    assert read_metadata(saved.model)[TARGET_KEY] == "cpu-x86"
    row = result.integers
    assert (row.target, row.steps, row.ended) == ("cpu-x86", 2, "steps")
    assert row.after <= row.before
    assert row.untrained[row.estimator] == min(row.untrained.values())
    assert result.lesson == "dense"
    assert row.parity < 0.05
    assert [one.name for one in tmp_path.iterdir() if one.suffix == ".npz"] == []


@needs_torch
def test_another_activation_function_is_learned_in_float_first(given, tmp_path, monkeypatch):
    without_learned(monkeypatch)
    out = tmp_path / "int8.onnx"

    def stopped(*_args, **_kwargs):
        raise InterruptedByUser

    with monkeypatch.context() as patch:
        patch.setattr("edgecv_cli.stages.distill_qat.trained_integers", stopped)
        with pytest.raises(InterruptedByUser) as caught:
            distill(config(given, out, swap="silu=relu"), Context())
    assert "--resume" in caught.value.remedy
    result = distill(config(given, out, swap="silu=relu", resume=True), Context())
    assert list(result.swapped) == ["silu=relu"]
    assert result.steps == result.integers.steps == 2
    kinds = {node.op_type for node in Artifact.open(out).model.graph.node}
    assert "QuantizeLinear" in kinds
    assert [step.stage for step in Artifact.open(out).lineage] == ["distill", "qat"]
    assert [one.name for one in tmp_path.iterdir() if one.suffix == ".npz"] == []


def test_a_target_without_integers_is_refused(given, tmp_path):
    with pytest.raises(UsageError, match="--target is for --qat"):
        config(given, tmp_path / "a.onnx", qat=False, swap="silu=relu")
