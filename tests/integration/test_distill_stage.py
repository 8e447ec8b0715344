"""distill from file to file: taught, interrupted, resumed, refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import onnx
import pytest
from models import nanodet, yolov8
from scenes import write_dataset

import edgecv_cli.core.require as require_module
from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.distill import DistillConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    DataError,
    EngineError,
    GateNotMetError,
    InterruptedByUser,
    MissingDependencyError,
    ModelError,
    OutputExistsError,
    UsageError,
)
from edgecv_cli.stages.converting.gates import Outcome
from edgecv_cli.stages.distill import distill
from edgecv_cli.stages.resuming import training_path

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="torch is not installed: pip install 'edgecv[train]'",
)
NAMES = {"names": "{0: 'red', 1: 'green', 2: 'blue'}"}
UPDATE = "edgecv_cli.compress.training.finetune._Training._update"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "set", images=6, size=(64, 64))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Detectors: a teacher, its like with other weights, and one of another family."""
    place = tmp_path_factory.mktemp("in")
    onnx.save(yolov8(planted=True, metadata=NAMES), place / "teacher.onnx")
    onnx.save(yolov8(seed=5, planted=True, metadata=NAMES), place / "like.onnx")
    onnx.save(nanodet(planted=True, metadata=NAMES), place / "other.onnx")
    return place


def config(folder, images, out, /, **changes):
    """Return a quick run that takes any result."""
    settings = {
        "model": folder / "like.onnx", "output": out, "teacher": folder / "teacher.onnx",
        "images": images, "steps": 2, "batch": 1, "min_agreement": 0, "speed_seconds": 0,
        "threads": 1,
    }  # fmt: skip
    return DistillConfig(**{**settings, **changes})


@pytest.fixture
def any_result(monkeypatch):
    """Take whatever two updates bring."""
    met = Outcome("learned", met=True, text="any")
    monkeypatch.setattr("edgecv_cli.stages.distill._learned", lambda _: met)


@needs_torch
@pytest.mark.parametrize(
    ("changes", "lesson"),
    [
        ({}, "dense"),
        ({"lesson": "raw"}, "raw"),
        ({"lesson": "features"}, "features"),
        ({"lesson": "objects"}, "objects"),
        ({"teacher": None, "control": "labels"}, "objects"),
        ({"teacher": None, "width": 0.8, "model": "teacher.onnx"}, "dense"),
    ],
    ids=["like", "raw", "features", "objects", "labels", "width"],
)
def test_a_student_is_taught_and_saved(folder, images, tmp_path, any_result, changes, lesson):
    out = tmp_path / "taught.onnx"
    if "model" in changes:
        changes = {**changes, "model": folder / changes["model"]}
    report = tmp_path / "report.html"
    result = distill(config(folder, images, out, report=report, **changes), Context())
    assert (result.lesson, result.steps, result.saved) == (lesson, 2, str(out))
    assert "Distance of held-out images" in report.read_text(encoding="utf-8")
    assert [row.step for row in result.losses] == [0, 2]
    assert (result.training_images, result.held_out_images) == (5, 1)
    assert (result.width is not None) == ("width" in changes)
    saved = Artifact.open(out)
    assert saved.detector().spec == Artifact.open(Path(result.model)).detector().spec
    assert saved.lineage[-1].stage == "distill"
    assert not training_path(out).exists()


@needs_torch
def test_a_teacher_whose_output_has_another_name_is_read_by_its_own_spec(
    folder, images, tmp_path, any_result
):
    other = onnx.load(folder / "teacher.onnx")
    name = other.graph.output[0].name
    for node in other.graph.node:
        node.output[:] = ["elsewhere" if one == name else one for one in node.output]
    other.graph.output[0].name = "elsewhere"
    onnx.save(other, tmp_path / "other.onnx")
    made = [
        distill(config(folder, images, tmp_path / f"{place}.onnx", teacher=teacher), Context())
        for place, teacher in enumerate((folder / "teacher.onnx", tmp_path / "other.onnx"))
    ]
    assert [one.lesson for one in made] == ["dense", "dense"]
    assert made[0].losses == made[1].losses


@needs_torch
def test_an_interrupted_width_goes_on_without_choosing_again(
    folder, images, tmp_path, monkeypatch, any_result
):
    out = tmp_path / "thin.onnx"
    asked = {"model": folder / "teacher.onnx", "teacher": None, "width": 0.8}

    def stopped(*_args, **_kwargs):
        raise InterruptedByUser

    with monkeypatch.context() as patch:
        patch.setattr(UPDATE, stopped)
        with pytest.raises(InterruptedByUser) as caught:
            distill(config(folder, images, out, **asked), Context())
    assert caught.value.remedy.startswith("go on with: edgecv distill ")
    assert "--width 0.8" in caught.value.remedy
    with pytest.raises(OutputExistsError, match="earlier training"):
        distill(config(folder, images, out, **asked), Context())
    with pytest.raises(DataError, match="another --width"):
        distill(config(folder, images, out, **{**asked, "width": 0.7}, resume=True), Context())
    with pytest.raises(DataError, match="other options"):
        distill(config(folder, images, out, **asked, resume=True, steps=3), Context())
    monkeypatch.setattr("edgecv_cli.stages.distill_width.PruneJob", stopped)
    assert distill(config(folder, images, out, **asked, resume=True), Context()).saved == str(out)


@needs_torch
def test_no_memory_is_said_and_the_training_is_kept(folder, images, tmp_path, monkeypatch):
    def full(_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")

    monkeypatch.setattr(UPDATE, full)
    out = tmp_path / "taught.onnx"
    with pytest.raises(EngineError, match="ran out of memory after 0 updates"):
        distill(config(folder, images, out), Context())
    assert training_path(out).is_file()


@needs_torch
def test_what_learned_nothing_is_not_saved_and_keeps_its_training(
    folder, images, tmp_path, monkeypatch
):
    out = tmp_path / "taught.onnx"
    monkeypatch.setattr(UPDATE, lambda _: False)
    with pytest.raises(GateNotMetError) as caught:
        distill(config(folder, images, out), Context())
    result = caught.value.result
    assert (result.ended, result.saved) == ("diverged", None)
    assert "nearer to what is taught" in result.gates["learned"]
    assert any("no finite number" in text for text in result.warnings)
    assert training_path(out).is_file()
    assert not out.exists()


@needs_torch
def test_a_lesson_that_needs_the_same_heads_is_refused_for_others(folder, images, tmp_path):
    asked = config(folder, images, tmp_path / "x.onnx", model=folder / "other.onnx", lesson="raw")
    with pytest.raises(UsageError, match="--lesson raw needs a teacher with the student's heads"):
        distill(asked, Context())


@needs_torch
def test_a_width_that_can_not_be_met_is_said(folder, images, tmp_path):
    asked = config(
        folder, images, tmp_path / "x.onnx", model=folder / "teacher.onnx", teacher=None, width=0.01
    )
    with pytest.raises(UsageError, match=r"--width 0\.01 can't be met"):
        distill(asked, Context())


@needs_torch
def test_too_few_images_are_refused(folder, tmp_path):
    few = write_dataset(tmp_path / "few", images=2)
    with pytest.raises(DataError, match="at least 4 images, 2 can be read"):
        distill(config(folder, few, tmp_path / "x.onnx"), Context())


def test_an_operator_that_training_does_not_know_is_named_before_torch_is_asked_for(
    folder, images, tmp_path
):
    model = onnx.load(folder / "like.onnx")
    first = model.graph.node[0].output[0]
    odd = onnx.helper.make_node("Sinh", [first], [f"{first}_odd"], name="odd one")
    for node in list(model.graph.node)[1:]:
        for place, name in enumerate(node.input):
            if name == first:
                node.input[place] = f"{first}_odd"
    model.graph.node.insert(1, odd)
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(ModelError, match="odd one"):
        distill(config(folder, images, tmp_path / "x.onnx", model=tmp_path / "odd.onnx"), Context())


def test_without_torch_the_line_to_install_it_comes_first(folder, images, tmp_path, monkeypatch):
    found = require_module.importlib.import_module

    def missing(name):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name=name)
        return found(name)

    monkeypatch.setattr(require_module.importlib, "import_module", missing)
    with pytest.raises(MissingDependencyError) as caught:
        distill(config(folder, images, tmp_path / "x.onnx"), Context())
    assert caught.value.remedy == "pip install 'edgecv[train]'"
