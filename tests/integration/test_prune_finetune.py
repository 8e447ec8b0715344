"""prune --recover finetune from file to file: tuned, interrupted, resumed, refused."""

from __future__ import annotations

import importlib.util

import numpy as np
import onnx
import pytest
from models import yolov8
from scenes import write_dataset

import edgecv_cli.core.require as require_module
import edgecv_cli.stages.prune_finetune as finetune_module
from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.training.checkpoint import Checkpoint, save
from edgecv_cli.config.prune import PruneConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    DataError,
    GateNotMetError,
    InterruptedByUser,
    MissingDependencyError,
    OutputExistsError,
    UsageError,
)
from edgecv_cli.stages.prune import prune
from edgecv_cli.stages.resuming import resume_line, training_path

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="torch is not installed: pip install 'edgecv[train]'",
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "set", images=6, size=(64, 64))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("in") / "detector.onnx"
    onnx.save(yolov8(planted=True), path)
    return path


def config(model, out, images, /, **changes):
    """Return a quick run that takes any result."""
    settings = {
        "model": model, "output": out, "calibration": images, "target_flops": 0.9, "round_to": 1,
        "importance": "l2", "min_agreement": 0, "speed_seconds": 0, "threads": 1,
        "recover": "finetune", "steps": 3,
    }  # fmt: skip
    return PruneConfig(**{**settings, **changes})


@needs_torch
def test_what_is_saved_was_tuned_and_the_training_is_not_kept(model, images, tmp_path):
    out = tmp_path / "small.onnx"
    result = prune(config(model, out, images), Context())
    assert result.finetune.after <= result.finetune.before
    assert (result.finetune.steps, result.finetune.ended) == (3, "steps")
    assert result.seconds["finetune"] > 0
    assert Artifact.open(out).detector().spec.family == "yolov8"
    assert [step.stage for step in Artifact.open(out).lineage] == ["prune"]
    assert not training_path(out).exists()


@needs_torch
def test_an_interrupted_one_goes_on_without_choosing_again(model, images, tmp_path, monkeypatch):
    out = tmp_path / "small.onnx"

    def stopped(*_args, **_kwargs):
        raise InterruptedByUser

    update = "edgecv_cli.compress.training.finetune._Training._update"
    with monkeypatch.context() as patch:
        patch.setattr(update, stopped)
        with pytest.raises(InterruptedByUser) as caught:
            prune(config(model, out, images), Context())
    assert caught.value.remedy.startswith("go on with: edgecv prune ")
    assert caught.value.remedy.endswith("--resume")
    assert not out.exists()
    with pytest.raises(OutputExistsError, match="earlier training"):
        prune(config(model, out, images), Context())
    with pytest.raises(DataError, match="other options"):
        prune(config(model, out, images, resume=True, target_flops=0.8), Context())
    monkeypatch.setattr("edgecv_cli.stages.prune_choice.reconstruct", stopped)
    assert prune(config(model, out, images, resume=True), Context()).saved == str(out)
    assert not training_path(out).exists()


@needs_torch
def test_a_refused_result_keeps_its_training_to_be_judged_again(model, images, tmp_path):
    out = tmp_path / "small.onnx"
    asked = config(model, out, images, target_flops=0.6, cap=0.9, min_agreement=1)
    with pytest.raises(GateNotMetError) as caught:
        prune(asked, Context())
    assert "--resume" in caught.value.remedy
    assert training_path(out).is_file()


def test_without_torch_the_line_to_install_it_comes_before_any_work(
    model, images, tmp_path, monkeypatch
):
    def missing(name):
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.setattr(require_module.importlib, "import_module", missing)
    with pytest.raises(MissingDependencyError) as caught:
        finetune_module.require_device("cpu")
    assert caught.value.remedy == "pip install 'edgecv[train]'"


def test_the_resume_line_is_the_command_that_was_given(tmp_path, model, images):
    out = tmp_path / "a b.onnx"
    asked = PruneConfig(
        model=model, output=out, calibration=images, target_flops=0.8, recover="finetune",
        minutes=2.5, max_drop="5%", data=images,
    )  # fmt: skip
    assert resume_line("prune", asked) == (
        f"edgecv prune {model} --calibration {images} --data {images} --max-drop 5% "
        f"--minutes 2.5 -o '{out}' --recover finetune --target-flops 0.8 --resume"
    )


def test_options_of_training_need_training(model, images, tmp_path):
    with pytest.raises(UsageError, match="--steps is for fine-tuning"):
        config(model, tmp_path / "x.onnx", images, recover="bias")


def test_a_checkpoint_that_is_not_of_prune_is_refused(model, images, tmp_path):
    out = tmp_path / "small.onnx"
    save(training_path(out), Checkpoint("x", {"notes": {}}, {"a": np.zeros(1)}))
    with pytest.raises(DataError, match="not whole"):
        finetune_module.resumed(config(model, out, images, resume=True), tmp_path)
