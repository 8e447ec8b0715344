"""A machine that is weaker than the one an artifact was made for is told so."""

from __future__ import annotations

import onnx
import pytest
from models import yolov8
from scenes import write_dataset

import edgecv_cli.measure.fitness as fitness
from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.evaluate import EvaluateConfig
from edgecv_cli.core.context import Context, SilentProgress
from edgecv_cli.measure.fitness import misfit, warnings_of
from edgecv_cli.stages.evaluate import evaluate


class Listening(SilentProgress):
    """Keeps what is said."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def path(tmp_path):
    onnx.save(yolov8(planted=True, metadata={"edgecv.target": "cpu-x86-vnni"}), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.mark.parametrize(("vnni", "warned"), [(True, False), (False, True)])
def test_full_range_weights_want_vnni(path, monkeypatch, vnni, warned):
    monkeypatch.setattr(fitness, "has_vnni", lambda: vnni)
    assert (misfit(Artifact.open(path)) is not None) == warned


def test_sums_do_not_saturate_on_arm(path, monkeypatch):
    monkeypatch.setattr(fitness, "has_vnni", lambda: False)
    monkeypatch.setattr(fitness.platform, "machine", lambda: "aarch64")
    assert misfit(Artifact.open(path)) is None


def test_other_artifacts_fit_anywhere(tmp_path, monkeypatch):
    monkeypatch.setattr(fitness, "has_vnni", lambda: False)
    onnx.save(yolov8(), tmp_path / "plain.onnx")
    assert misfit(Artifact.open(tmp_path / "plain.onnx")) is None


def test_evaluate_says_it(path, tmp_path, monkeypatch):
    monkeypatch.setattr(fitness, "has_vnni", lambda: False)
    data = write_dataset(tmp_path / "set", images=2)
    progress = Listening()

    evaluate(EvaluateConfig(model=path, data=data, threads=1), Context(progress=progress))

    assert any("--target cpu-x86" in note for note in progress.notes)


def test_a_spec_that_is_followed_against_the_graph_is_a_warning(tmp_path):
    model, spec = tmp_path / "m.onnx", tmp_path / "s.yaml"
    model.write_bytes(yolov8(3).SerializeToString())
    spec.write_text("family: yolox\n")
    artifact = Artifact.open(model)

    (warning,) = warnings_of(artifact, artifact.detector(spec))

    assert "does not answer as family yolox, but as yolov8" in warning
    assert warnings_of(artifact, artifact.detector()) == ()
