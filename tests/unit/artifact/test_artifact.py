"""A model file, its digests, and the detector in it."""

from __future__ import annotations

import hashlib

import models
import pytest

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import LINEAGE_KEY, SPEC_KEY, Step, dump_lineage
from edgecv_cli.core.errors import ConfigError, ModelError, UnrecognisedError, UsageError
from edgecv_cli.graph.io import serialize, with_metadata


@pytest.fixture
def save(tmp_path):
    def write(model, name="model.onnx"):
        path = tmp_path / name
        path.write_bytes(serialize(model))
        return path

    return write


def test_what_a_file_says_of_itself(save):
    path = save(models.yolov8(metadata={"author": "me"}), "mein Modell ü.onnx")

    artifact = Artifact.open(path)

    data = path.read_bytes()
    assert artifact.format == "onnx"
    assert artifact.size_bytes == len(data)
    assert artifact.sha256 == hashlib.sha256(data).hexdigest()
    assert artifact.metadata == {"author": "me"}
    assert artifact.lineage == ()
    assert artifact.facts().op_counts["Conv"] > 5


def test_opening_reads_nothing(tmp_path):
    path = tmp_path / "not really.onnx"
    path.write_bytes(b"nonsense")

    artifact = Artifact.open(path)

    with pytest.raises(ModelError, match="not an ONNX"):
        artifact.model  # noqa: B018 - reading it is the test


def test_endings_decide_whatever_their_case(save):
    assert Artifact.open(save(models.yolov8(), "MODEL.ONNX")).format == "onnx"


@pytest.mark.parametrize("name", ["model.pt", "model", "model.onnx.zip", "model.plan"])
def test_other_endings_are_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"x")

    with pytest.raises(ModelError, match="not a model file") as caught:
        Artifact.open(path)

    assert ".onnx" in caught.value.remedy


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        Artifact.open(tmp_path / "m.onnx")


def test_content_is_the_same_where_only_edgecv_wrote(save):
    model = models.yolov8()
    chain = dump_lineage([Step(stage="quantize", config="ab")])
    plain = Artifact.open(save(model, "a.onnx"))
    marked = Artifact.open(save(with_metadata(model, {LINEAGE_KEY: chain}), "b.onnx"))

    assert marked.content_digest == plain.content_digest
    assert marked.sha256 != plain.sha256
    assert [step.stage for step in marked.lineage] == ["quantize"]


def test_damaged_lineage_is_named_with_the_file(save):
    path = save(with_metadata(models.yolov8(), {LINEAGE_KEY: "[{"}))

    with pytest.raises(ModelError, match=LINEAGE_KEY) as caught:
        Artifact.open(path).lineage  # noqa: B018 - reading it is the test

    assert str(path) in caught.value.problem


def test_damaged_stored_spec_is_named_with_a_way_out(save):
    path = save(with_metadata(models.yolov8(), {SPEC_KEY: '{"family": "nonsense"}'}))

    with pytest.raises(ModelError, match="spec") as caught:
        Artifact.open(path).detector()

    assert "--spec" in caught.value.remedy


def test_the_detector_is_recognised(save):
    found = Artifact.open(save(models.yolov8(nc=3, ultralytics=True))).detector()

    assert found.spec.family == "yolov8"
    assert found.spec.classes == ("thing 0", "thing 1", "thing 2")
    assert found.evidence


def test_a_stored_spec_gives_the_same_detector_back(save):
    model = models.ssd(size=(64, 96))
    spec = Artifact.open(save(model, "a.onnx")).detector().spec
    stored = save(with_metadata(model, {SPEC_KEY: spec.dumps()}), "b.onnx")

    assert Artifact.open(stored).detector().spec == spec


def test_a_spec_file_overrides(save, tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text("classes: [cat, dog, bird]\nscore_threshold: 0.4\n")

    spec = Artifact.open(save(models.yolov8(nc=3))).detector(file).spec

    assert spec.classes == ("cat", "dog", "bird")
    assert spec.score_threshold == 0.4


@pytest.mark.parametrize("text", ["[", "family: [1, 2]", "!!python/object/apply:os.system [ls]"])
def test_a_spec_file_that_is_none_is_refused(save, tmp_path, text):
    file = tmp_path / "spec.yaml"
    file.write_text(text)

    with pytest.raises(ConfigError):
        Artifact.open(save(models.yolov8())).detector(file)


def test_a_size_for_a_model_that_takes_any(save):
    artifact = Artifact.open(save(models.yolov8(dynamic="size")))

    assert artifact.detector(input_size=(64, 96)).spec.input.size == (64, 96)
    with pytest.raises(UsageError):
        Artifact.open(save(models.yolov8(), "b.onnx")).detector(input_size=(96, 96))


def test_what_is_no_detector_is_refused(save):
    with pytest.raises(UnrecognisedError):
        Artifact.open(save(models.classifier())).detector()
