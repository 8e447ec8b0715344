"""convert-coreml --nms and the pipeline's stage, with the converters (and a Mac) stood in for."""

from __future__ import annotations

import json

import core_packages
import models
import onnx
import pytest
from scenes import write_dataset

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.sidecar import read_sidecar
from edgecv_cli.config.convert_coreml import ConvertCoremlConfig
from edgecv_cli.config.run import RunConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError, ModelError, OutputExistsError, UsageError
from edgecv_cli.core.files import sha256_file
from edgecv_cli.graph.coreml_package import read_package
from edgecv_cli.graph.coreml_pipeline import Nms, pipelined
from edgecv_cli.graph.coreml_proto import message_class, parse_model
from edgecv_cli.pipeline.run import run_pipeline
from edgecv_cli.stages.convert_coreml import convert_coreml

PIPELINE = """model: m.onnx
threads: 1
steps:
  - {id: core, stage: convert-coreml, nms: true, speed_seconds: 0, output: out/m.mlpackage}
  - {id: look, stage: inspect, result: out/look.json}
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    write_dataset(folder, images=3)
    return folder / "images"


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(models.yolov8(planted=True), path)
    return path


def convert(model, **settings):
    output = model.with_name("out.mlpackage")
    config = ConvertCoremlConfig(model=model, output=output, nms=True, **settings)
    return convert_coreml(config, Context())


def test_a_detector_for_vision_is_made_and_read_back(model, monkeypatch):
    core_packages.Converter(monkeypatch)
    core_packages.system(monkeypatch, "Linux")
    result = convert(model)
    spec = Artifact.open(model).detector().spec
    package = read_package(model.with_name("out.mlpackage"))

    assert result.verified == "structure"
    assert "as asked" in result.gates["nms"]
    assert [(one.spec.name, one.color) for one in package.inputs] == [("image", spec.input.color)]
    classes = len(spec.classes)
    assert {one.spec.name: one.spec.shape for one in package.outputs} == {
        "coordinates": (None, 4),
        "confidence": (None, classes),
    }
    nms = package.suppression
    assert (nms.iou, nms.confidence) == (spec.nms_iou, spec.score_threshold)
    assert (nms.labels, nms.per_class) == (spec.classes, True)
    assert nms.optional == ("iouThreshold", "confidenceThreshold")
    assert nms.reads == ("raw_confidence", "raw_coordinates")
    assert result.package.nms.boxes == nms.shapes[0][0] == 84
    assert result.package.matched == result.package.layers > 0


def test_every_part_says_what_the_next_one_takes(model, monkeypatch):
    core_packages.Converter(monkeypatch)
    core_packages.system(monkeypatch, "Linux")
    convert(model)
    file = read_package(model.with_name("out.mlpackage")).model
    whole = parse_model(file.read_bytes())
    detector, nms = whole.pipeline.models

    assert whole.specificationVersion == detector.specificationVersion > nms.specificationVersion
    given = {one.name: list(one.type.multiArrayType.shape) for one in detector.description.output}
    taken = {one.name: list(one.type.multiArrayType.shape) for one in nms.description.input}
    assert given == taken
    left = {one.name for one in nms.description.output}
    assert left == {one.name for one in whole.description.output}
    for one in (*nms.description.input, *nms.description.output):
        assert one.type.multiArrayType.dataType == 65568, "the NMS refuses float16"
    assert not detector.description.metadata.userDefined
    assert {one.name: one.type.isOptional for one in whole.description.input} == {
        "image": False,
        "iouThreshold": True,
        "confidenceThreshold": True,
    }


def test_on_a_mac_its_boxes_are_compared(model, monkeypatch, pictures):
    core_packages.stand_in(monkeypatch)
    core_packages.Converter(monkeypatch)
    result = convert(model, images=pictures, speed_seconds=0)

    assert result.verified == "ran"
    assert result.parity is None
    assert result.agreement == 1.0
    assert result.matched > 0
    again = Artifact.open(model.with_name("out.mlpackage")).detector().spec
    assert [tensor.name for tensor in again.outputs.tensors] == ["coordinates", "confidence"]


def test_without_images_it_is_run_and_nothing_compared(model, monkeypatch):
    core_packages.stand_in(monkeypatch)
    core_packages.Converter(monkeypatch)
    result = convert(model, speed_seconds=0)
    assert (result.verified, result.parity) == ("ran", None)
    assert "nothing was compared" in " ".join(result.notes)


def labels_lost(whole):
    del whole.pipeline.models[1].nonMaximumSuppression.stringClassLabels.vector[-1]
    return whole


def never_suppressed(whole):
    whole.pipeline.models[1].nonMaximumSuppression.iouThreshold = 1.0
    return whole


def other_boxes(whole):
    for one in whole.pipeline.models[0].description.output:
        one.type.multiArrayType.shape[0] += 1
    return whole


@pytest.mark.parametrize("change", [labels_lost, never_suppressed, other_boxes])
def test_another_nms_than_asked_is_not_saved(model, monkeypatch, change):
    core_packages.Converter(monkeypatch, whole=change)
    core_packages.system(monkeypatch, "Linux")
    with pytest.raises(GateNotMetError, match=r"nms 84 boxes of .* not so"):
        convert(model)
    assert not model.with_name("out.mlpackage").exists()


def third_model(whole):
    whole.pipeline.models.add()
    return whole


def reads_nothing(whole):
    whole.pipeline.models[1].nonMaximumSuppression.confidenceInputFeatureName = "noise"
    return whole


def unknown_option(whole):
    feature = whole.description.input.add(name="extra")
    feature.type.isOptional = True
    return whole


@pytest.mark.parametrize("change", [third_model, reads_nothing, unknown_option])
def test_a_pipeline_that_does_not_fit_together_is_no_package(model, monkeypatch, change):
    core_packages.Converter(monkeypatch, whole=change)
    core_packages.system(monkeypatch, "Linux")
    with pytest.raises(ModelError, match="no Core ML package"):
        convert(model)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"feed": "tensor"}, "feeds pictures"), ({"min_snr": 30}, "leaves boxes")],
)
def test_what_an_nms_leaves_no_sense_in_is_refused(options, words):
    with pytest.raises(UsageError, match=words) as caught:
        ConvertCoremlConfig(model="m.onnx", output="o.mlpackage", nms=True, **options)
    assert caught.value.remedy


@pytest.mark.parametrize("names", [("a", "b"), ("raw_coordinates", "raw_confidence")])
def test_what_no_nms_takes_is_refused(names):
    detector = message_class("Model")(specificationVersion=8)
    for name in names:
        array = detector.description.output.add(name=name).type.multiArrayType
        array.dataType = 65552  # float16
    with pytest.raises(ValueError, match="the detector gives"):
        pipelined(detector, 10, Nms(0.5, 0.25, ("a",)))


@pytest.fixture
def pipe(model, monkeypatch):
    core_packages.Converter(monkeypatch)
    core_packages.system(monkeypatch, "Linux")
    (model.parent / "p.yaml").write_text(PIPELINE)
    return model.parent


def run(folder, **options):
    config = RunConfig(pipeline=folder / "p.yaml", cache=folder / "cache", **options)
    return run_pipeline(config, Context())


def test_a_pipeline_publishes_a_whole_package_and_takes_it_from_the_cache(pipe):
    first = run(pipe)
    output = pipe / "out" / "m.mlpackage"
    made = {file: sha256_file(file) for file in output.rglob("*") if file.is_file()}
    (output / "Data" / "stray").write_text("old")
    with pytest.raises(OutputExistsError):
        run(pipe)
    (pipe / "out" / "look.json").unlink()
    second = run(pipe, force=True)

    assert [step.status for step in first.steps] == ["done", "done"]
    assert [step.status for step in second.steps] == ["cached", "cached"]
    assert {file: sha256_file(file) for file in output.rglob("*") if file.is_file()} == made
    artifact = Artifact.open(output)
    assert second.steps[0].sha256 == artifact.sha256
    assert json.loads((pipe / "out" / "look.json").read_text())["sha256"] == artifact.sha256
    assert read_sidecar(output, artifact.sha256)["saved"] == "out/m.mlpackage"


def test_a_folder_of_something_else_stays(pipe):
    place = pipe / "out" / "m.mlpackage"
    place.mkdir(parents=True)
    (place / "letters.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="something else"):
        run(pipe, force=True)
    assert (place / "letters.txt").read_text() == "mine"
