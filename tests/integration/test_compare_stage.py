"""`compare`: a planted difference is found in the stage, and the tensor, where it was planted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from models import classifier, ssd, yolov8
from onnx import numpy_helper
from scenes import write_dataset

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.compare import CompareConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError, GateNotMetError, UnrecognisedError
from edgecv_cli.graph.expose import common_tensors, exposed
from edgecv_cli.measure.parting import tensors
from edgecv_cli.stages.compare import compare


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    data = write_dataset(tmp_path_factory.mktemp("set") / "data", images=5, size=(64, 64))
    return data / "images"


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "größe a.onnx"
    onnx.save(yolov8(planted=True), path)
    return path


def run(a, b, images, **options):
    return compare(
        CompareConfig.from_options(a=str(a), b=str(b), images=str(images), threads=1, **options),
        Context(),
    )


def by_stage(result):
    return {stage.stage: stage for stage in result.stages}


def spec_file(tmp_path, **changes):
    path = tmp_path / "other.yaml"
    path.write_text(json.dumps(changes))
    return path


def test_a_detector_agrees_with_itself_to_the_last_bit(model, images):
    result = run(model, model, images)

    assert result.agreement == 1.0
    assert result.mean_iou == pytest.approx(1.0)
    assert result.score_shift == 0.0
    assert (result.missed, result.extra) == (0, 0)
    assert result.tensors
    assert all(tensor.same for tensor in result.tensors)
    assert result.first_difference is None
    assert by_stage(result)["network"].agreement == 1.0
    assert all(by_stage(result)[stage].same for stage in ("preprocess", "decode", "thresholds"))
    printed = result.to_json()
    assert {"agreement", "mean_iou", "score_shift", "stages"} <= set(printed)
    json.dumps(printed, allow_nan=False)


def test_a_changed_weight_is_found_in_the_network_and_at_its_tensor(model, images, tmp_path):
    changed = onnx.load(model)
    convs = [node for node in changed.graph.node if node.op_type == "Conv"]
    victim = convs[len(convs) // 2]
    weight = next(t for t in changed.graph.initializer if t.name == victim.input[1])
    moved = numpy_helper.to_array(weight) + np.float32(0.05)
    weight.CopyFrom(numpy_helper.from_array(moved, weight.name))
    other = tmp_path / "b.onnx"
    onnx.save(changed, other)

    result = run(model, other, images)

    assert result.first_difference == victim.output[0]
    before = [tensor.same for tensor in result.tensors]
    assert all(before[: before.index(False)])
    stages = by_stage(result)
    assert not stages["network"].same
    assert stages["preprocess"].same
    assert stages["network"].agreement == result.agreement


def test_another_preparation_of_the_picture_is_blamed_on_that_stage(model, images, tmp_path):
    spec = spec_file(tmp_path, input={"scale": 25.0})
    result = run(model, model, images, spec_b=str(spec))

    stages = by_stage(result)
    assert "scale" in stages["preprocess"].why
    assert stages["preprocess"].agreement == result.agreement < 0.9
    assert stages["network"].agreement == 1.0
    assert stages["decode"].same
    assert all(tensor.same for tensor in result.tensors)


def test_other_thresholds_are_blamed_on_the_thresholds(model, images, tmp_path):
    spec = spec_file(tmp_path, score_threshold=0.99999)
    result = run(model, model, images, spec_b=str(spec))

    stages = by_stage(result)
    assert "score_threshold" in stages["thresholds"].why
    assert stages["thresholds"].agreement == result.agreement < 1.0
    assert stages["preprocess"].same


def test_detectors_of_different_families_are_compared_by_what_they_find(model, images, tmp_path):
    other = tmp_path / "ssd.onnx"
    onnx.save(ssd(planted=True), other)

    result = run(model, other, images)

    assert 0 <= result.agreement <= 1
    stages = by_stage(result)
    assert stages["decode"].why
    assert stages["network"].agreement is None
    assert stages["network"].why.startswith("can't be told: ")


def test_classes_are_told_apart(model, images):
    result = run(model, model, images)
    assert sum(one.matched for one in result.per_class.values()) == result.matched
    assert all(one.agreement == 1.0 for one in result.per_class.values())


def test_a_gate_that_is_not_met_is_exit_code_3_with_the_result_and_the_files(
    model, images, tmp_path
):
    spec = spec_file(tmp_path, input={"scale": 25.0})
    files = {"report": str(tmp_path / "c.html"), "md": str(tmp_path / "c.md")}
    table = tmp_path / "c.csv"
    with pytest.raises(GateNotMetError) as refused:
        run(model, model, images, spec_b=str(spec), min_agreement=0.95, csv=str(table), **files)
    assert refused.value.exit_code == 3
    assert refused.value.result.gates["min_agreement"].startswith("at least 0.95: 0.")
    for path in files.values():
        assert "preparing the picture" in Path(path).read_text(encoding="utf-8")
    result = refused.value.result
    lines = table.read_text().splitlines()
    assert lines[0] == "class,agreement,matched,missed,extra,mean_iou,score_shift"
    assert lines[1].split(",")[2:5] == [str(result.matched), str(result.missed), str(result.extra)]
    assert len(lines) == 2 + len(result.per_class)
    assert run(model, model, images, min_agreement=1.0).gates


def test_inner_tensors_can_be_left_out(model, images):
    result = run(model, model, images, tensor_images=0)
    assert result.tensors is None
    assert result.no_tensors == "--tensor-images 0"


def test_many_tensors_are_run_in_parts_with_the_same_outcome(model, images, tmp_path, monkeypatch):
    artifact = Artifact.open(model)
    spec = artifact.detector().spec
    paths = sorted(images.iterdir())[:2]

    def found():
        return tensors(
            (artifact, artifact), (spec, spec), paths, folder=tmp_path, threads=1, context=Context()
        )

    whole = found()
    monkeypatch.setattr("edgecv_cli.measure.parting._MOST_ELEMENTS", 1000)
    assert found() == whole


def test_what_two_graphs_have_in_common_can_be_seen():
    a, b = yolov8(planted=True), yolov8(planted=True)
    b.graph.node[0].output[0] = "renamed"
    for node in b.graph.node[1:]:
        for index, name in enumerate(node.input):
            if name == a.graph.node[0].output[0]:
                node.input[index] = "renamed"
    common = common_tensors(a, b)
    names = [name for name, _, _ in common]
    assert a.graph.node[0].output[0] not in names
    assert len(names) > 10
    model = exposed(a, names[:3])
    onnx.checker.check_model(model)
    assert [value.name for value in model.graph.output] == names[:3]


def test_what_can_t_be_compared_is_refused(model, images, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError):
        run(model, model, empty)
    other = tmp_path / "classifier.onnx"
    onnx.save(classifier(), other)
    with pytest.raises(UnrecognisedError):
        run(model, other, images)
