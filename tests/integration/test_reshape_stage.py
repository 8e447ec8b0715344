"""reshape from file to file: what is saved finds the same things, and what is refused is not."""

from __future__ import annotations

import json

import onnx
import pytest
from models import yolov8
from scenes import write_dataset

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.sidecar import sidecar_path
from edgecv_cli.config.reshape import ReshapeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError, OutputExistsError, UsageError
from edgecv_cli.stages.reshape import reshape


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "set", images=4, size=(128, 128))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("in") / "detector.onnx"
    onnx.save(yolov8(planted=True, size=(128, 128)), path)
    return path


def config(model, out, **changes):
    settings = {"model": model, "output": out, "input_size": (160, 128), "speed_seconds": 0}
    return ReshapeConfig(**{**settings, **changes})


def test_a_padded_picture_gives_the_same_boxes_and_is_saved_with_its_evidence(
    model, images, tmp_path
):
    out = tmp_path / "tall.onnx"
    result = reshape(config(model, out, data=images), Context())
    assert result.agreement == 1
    assert result.drop is not None
    assert abs(result.drop.points) < 1
    assert (result.from_size, result.to_size) == ((128, 128), (160, 128))
    saved = Artifact.open(out)
    assert saved.detector().spec.input.size == (160, 128)
    assert [step.stage for step in saved.lineage] == ["reshape"]
    assert json.loads(sidecar_path(out).read_text())["sha256"] == result.sha256 == saved.sha256


def test_nothing_is_saved_where_a_gate_is_not_met(model, images, tmp_path):
    out = tmp_path / "small.onnx"
    with pytest.raises(GateNotMetError, match="max_drop") as caught:
        reshape(config(model, out, input_size=(32, 32), data=images), Context())
    assert caught.value.result.saved is None
    assert not list(tmp_path.iterdir())


def test_names_the_sizes_nearest_to_one_that_strides_do_not_divide(model, tmp_path):
    with pytest.raises(UsageError, match="largest stride") as caught:
        reshape(config(model, tmp_path / "a.onnx", input_size=(150, 128)), Context())
    assert "128x128" in caught.value.remedy
    assert "160x128" in caught.value.remedy


def test_says_that_nothing_was_compared_and_does_not_overwrite(model, tmp_path):
    out = tmp_path / "tall.onnx"
    result = reshape(config(model, out), Context())
    assert "not compared" in result.warnings[0]
    assert result.agreement is None
    with pytest.raises(OutputExistsError):
        reshape(config(model, out), Context())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_drop": "5%"}, "--max-drop needs labelled images"),
        ({"min_agreement": 0.5}, "--min-agreement needs images"),
        ({"min_speedup": 1.1}, "--min-speedup needs time"),
    ],
)
def test_gates_without_what_they_need_are_refused(changes, words, tmp_path):
    with pytest.raises(UsageError, match=words):
        config(tmp_path / "in.onnx", tmp_path / "out.onnx", **changes)
