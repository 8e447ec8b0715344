"""Who teaches: classes by name, labels under a crop, another detector's findings, shared heads."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from models import ssd, yolov8
from scenes import write_dataset

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.training.pictures import Crop
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.errors import DataError, UsageError
from edgecv_cli.detector.recognise import recognise
from edgecv_cli.graph.inspect import read_facts
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.media.dataset import open_dataset
from edgecv_cli.media.images import read_image
from edgecv_cli.stages.distill_teachers import (
    LabelTeacher,
    ModelTeacher,
    as_classes,
    common_classes,
    heads_apart,
)

COLOURS = ("red", "green", "blue")


def spec_of(graph, **changes):
    return recognise(read_facts(graph)).spec.replace(**changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_dataset(write_dataset(tmp_path_factory.mktemp("data") / "set", images=4))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    path = tmp_path_factory.mktemp("in") / "teacher.onnx"
    onnx.save(yolov8(planted=True), path)
    return Artifact.open(path)


def test_classes_are_matched_by_name_and_the_background_is_none():
    student = spec_of(yolov8(), classes=("Traffic-Light", "person", "dog"))
    teacher = spec_of(yolov8(), classes=("background", "person", "traffic light"), background=0)
    assert common_classes(student, teacher) == {1: 1, 2: 0}


def test_no_class_in_common_names_both():
    one, other = (spec_of(yolov8(), classes=names) for names in (COLOURS, ("a", "b", "c")))
    with pytest.raises(UsageError, match="a, b, c and red, green, blue"):
        common_classes(one, other)


def test_what_has_no_partner_is_left_out():
    found = Detections(
        np.zeros((3, 4), np.float32), np.array([0.1, 0.2, 0.3], np.float32), np.array([2, 0, 1])
    )
    taught = as_classes(found, {0: 5, 1: 2})
    assert taught.class_ids.tolist() == [5, 2]
    assert taught.scores.tolist() == pytest.approx([0.2, 0.3])


def test_labels_follow_a_crop_and_leave_with_what_is_cut_off(data):
    teacher = LabelTeacher(data, spec_of(yolov8(), classes=COLOURS))
    item = data.items[0]
    picture = read_image(item.path)
    height, width = picture.shape[:2]
    whole = teacher(item.path, picture, None)
    np.testing.assert_allclose(whole.boxes, item.boxes)
    assert set(whole.scores.tolist()) == {1.0}
    mirror = Crop((0, height), (0, width), mirrored=True)
    turned = teacher(item.path, mirror.of(picture), mirror)
    np.testing.assert_allclose(turned.boxes[:, 0], width - whole.boxes[:, 2])
    np.testing.assert_allclose(turned.boxes[:, 2], width - whole.boxes[:, 0])
    x1, y1, x2, y2 = (int(one) for one in whole.boxes[0])
    corner = Crop((y1, y1 + 4), (x1, x1 + 4), mirrored=False)
    assert (x2 - x1) * (y2 - y1) > 16 / 0.3
    assert not len(teacher(item.path, corner.of(picture), corner))


def test_labels_of_other_classes_are_refused(data):
    with pytest.raises(DataError):
        LabelTeacher(data, spec_of(yolov8(), classes=("a", "b")))


def test_a_detector_teaches_what_it_finds_and_looks_at_a_whole_picture_once(
    artifact, data, monkeypatch
):
    teacher = ModelTeacher(artifact, artifact.detector().spec, {0: 4, 1: 5}, 1)
    try:
        picks = [item for item in data.items if 2 not in item.category_ids - 1]
        item = (picks or data.items)[0]
        picture = read_image(item.path)
        found = teacher(item.path, picture, None)
        known = [4 + int(one) - 1 for one in item.category_ids if one < 3]
        assert set(known) <= set(found.class_ids.tolist()) <= {4, 5}
        monkeypatch.setattr(teacher._predictor, "predict", None)
        assert teacher(item.path, picture, None) is found
    finally:
        teacher.close()


def test_heads_are_shared_by_a_detector_and_its_like_alone():
    graph = yolov8()
    spec = spec_of(graph)
    model, wide = normalise(graph), normalise(yolov8(nc=4))
    assert heads_apart(model, normalise(yolov8(seed=3)), specs=(spec, spec)) is None
    other = spec.replace(classes=("a", "b", "c"))
    assert "classes" in heads_apart(model, model, specs=(spec, other))
    fed = spec.replace(input={**spec.input.model_dump(), "color": "bgr"})
    assert "fed otherwise" in heads_apart(model, model, specs=(spec, fed))
    assert "another shape" in heads_apart(model, wide, specs=(spec, spec))
    assert "other names" in heads_apart(model, normalise(ssd()), specs=(spec, spec))
