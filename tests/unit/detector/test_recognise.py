"""Recognition through real graphs; cases that no builder makes are in test_readings.py."""

from __future__ import annotations

import models
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecv_cli.core.errors import ConfigError, ModelError, UnrecognisedError
from edgecv_cli.detector.classes import COCO80, COCO91
from edgecv_cli.detector.metadata import SPEC_KEY
from edgecv_cli.detector.recognise import Recognised, recognise
from edgecv_cli.graph.inspect import read_facts


def recognised(model, *, input_size=None, **override) -> Recognised:
    return recognise(read_facts(model, input_size=input_size), override=override)


NC = st.sampled_from([1, 2, 3, 20, 80, 91])
SIZES = st.sampled_from([(64, 64), (64, 96), (96, 64), (32, 160)])
OPSETS = st.sampled_from([11, 13, 17, 21])
SETTINGS = settings(max_examples=25)


@given(NC, SIZES, OPSETS, st.booleans(), st.booleans(), st.booleans(), st.integers(0, 99))
@SETTINGS
def test_yolov8_is_recognised_whatever_its_names_classes_and_size(
    nc, size, opset, dfl, channels_last, rename, seed
):
    model = models.yolov8(nc, size, opset, dfl=dfl, channels_last=channels_last, seed=seed)

    spec = recognised(models.renamed(model) if rename else model).spec

    assert spec.family == "yolov8"
    assert len(spec.classes) == nc
    assert spec.input.size == size
    assert (spec.boxes, spec.normalized, spec.code) == ("cxcywh", False, "none")
    assert (spec.strides, spec.activations, spec.background) == ((8, 16, 32), "none", None)
    assert spec.outputs.tensors[0].axes == ("b,n,c" if channels_last else "b,c,n")
    assert spec.input.color == "rgb"
    assert spec.input.scale == 255
    assert spec.input.resize == "letterbox"


@given(NC, SIZES, OPSETS, st.booleans(), st.booleans(), st.booleans(), st.booleans())
@SETTINGS
def test_yolox_is_recognised_whatever_its_names_classes_and_size(
    nc, size, opset, channels_last, decoded, rename, focus
):
    model = models.yolox(nc, size, opset, channels_last=channels_last, decoded=decoded, focus=focus)

    spec = recognised(models.renamed(model) if rename else model).spec

    assert spec.family == "yolox"
    assert len(spec.classes) == nc
    assert spec.code == ("none" if decoded else "grid")
    assert (spec.strides, spec.activations) == ((8, 16, 32), "none")
    assert spec.outputs.tensors[0].axes == ("b,n,c" if channels_last else "b,c,n")
    assert (spec.input.color, spec.input.scale) == ("bgr", 1)
    assert spec.input.resize == "letterbox-topleft"


@given(NC, SIZES, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.integers(2, 4))
@SETTINGS
def test_ssd_is_recognised_whatever_its_names_order_and_size(
    nc, size, softmax, xyxy, normalized, reorder, anchors
):
    model = models.ssd(nc, size, softmax=softmax, xyxy=xyxy, normalized=normalized, anchors=anchors)

    spec = recognised(models.renamed(models.reordered(model)) if reorder else model).spec

    assert spec.family == "ssd"
    assert spec.boxes == ("xyxy" if xyxy else "yxyx")
    assert spec.normalized == normalized
    assert len(spec.classes) == nc + 1
    assert (spec.background, spec.activations) == (0, "none")
    assert spec.input.resize == "stretch"
    if not reorder:
        assert [tensor.name for tensor in spec.outputs.tensors] == ["boxes", "scores"]


def test_as_many_candidates_as_channels_are_told_apart_by_what_they_do():
    spec = recognised(models.yolov8(80, (64, 64))).spec

    assert spec.outputs.tensors[0].axes == "b,c,n"
    assert spec.classes == COCO80


def test_evidence_has_numbers_and_assumptions_name_their_source():
    found = recognised(models.yolov8(3))

    assert any("84 candidates are the cells of strides 8/16/32" in line for line in found.evidence)
    assert any("0.50 at rest" in line for line in found.evidence)
    assert any("no objectness" in line for line in found.evidence)
    assert any("RGB (the usual YOLOv8 export)" in line for line in found.assumed)
    assert found.confidence > 0.9


def test_91_scores_beside_boxes_are_coco_ids():
    found = recognised(models.ssd(90))

    assert found.spec.classes == COCO91
    assert any("coco91" in line for line in found.assumed)


def test_an_open_batch_changes_nothing():
    fixed, open_batch = (recognised(models.ssd(dynamic=kind)).spec for kind in (None, "batch"))

    assert fixed == open_batch


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (models.classifier(), "an image classifier"),
        (models.classifier(softmax=True), "an image classifier"),
        (models.segmenter(), "a segmentation model: 32 channels"),
        (models.segmenter(80), "a segmentation model: 32 channels"),
        (models.pose(), "a pose model: 51 channels"),
        (models.oriented(), "oriented boxes"),
        (models.segmenter(ultralytics=True), "task 'segment'"),
        (models.pose(ultralytics=True), "task 'pose'"),
        (models.oriented(ultralytics=True), "task 'obb'"),
        (models.unknown(), "unknown layout; outputs: output0 float32 [1,252,8]"),
        (models.end_to_end(), "selects boxes itself (TopK)"),
        (models.yolov8(dynamic="size"), "images of any size"),
    ],
)
def test_what_is_no_detector_of_boxes_is_refused_by_name(model, words):
    with pytest.raises(UnrecognisedError) as caught:
        recognised(model)

    assert words in caught.value.problem
    assert caught.value.remedy
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("family", ["yolov8", "yolox", "ssd"])
def test_a_relative_is_refused_even_if_a_family_is_told_that_nothing_fits(family):
    with pytest.raises(UnrecognisedError):
        recognised(models.segmenter(), family=family)


def test_an_open_size_asks_for_the_size_that_the_metadata_knows():
    model = models.yolov8(size=(64, 96), dynamic="size", ultralytics=True)

    with pytest.raises(UnrecognisedError) as caught:
        recognised(model)

    assert "--input-size 64x96" in caught.value.remedy
    assert recognised(model, input_size=(96, 128)).spec.input.size == (96, 128)


def test_ultralytics_names_are_taken_over_where_their_number_fits():
    named = recognised(models.yolov8(3, ultralytics=True))
    wrong = recognised(models.yolov8(3, metadata={"names": "{0: 'a'}"}))

    assert named.spec.classes == ("thing 0", "thing 1", "thing 2")
    assert not any("class names" in line for line in named.assumed)
    assert wrong.spec.classes == ("class_0", "class_1", "class_2")
    assert any("names 1 classes, the outputs have 3" in line for line in wrong.evidence)


@pytest.mark.parametrize(
    ("names", "classes", "background"),
    [
        ("['a', 'b', 'c']", ("background", "a", "b", "c"), 0),
        ("['__background__', 'a', 'b', 'c']", ("__background__", "a", "b", "c"), 0),
        ("['a', 'b', 'c', 'd']", ("a", "b", "c", "d"), None),
    ],
)
def test_names_tell_whether_scores_have_a_background(names, classes, background):
    spec = recognised(models.ssd(3, metadata={"names": names})).spec

    assert (spec.classes, spec.background) == (classes, background)


def stored(model: onnx.ModelProto, text: str) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    onnx.helper.set_model_props(copy, {SPEC_KEY: text})
    return copy


def test_a_stored_spec_is_believed_and_overridden():
    spec = recognised(models.yolov8(2)).spec.replace(classes=("cat", "dog"), nms_iou=0.5)
    model = stored(models.yolov8(2), spec.dumps())

    found = recognised(model)
    told = recognised(model, nms_iou=0.4, input={"color": "bgr"})

    assert found.spec == spec
    assert found.confidence == 1
    assert "edgecv.spec" in found.evidence[0]
    assert told.spec.nms_iou == 0.4
    assert told.spec.input.color == "bgr"
    assert told.spec.classes == ("cat", "dog")
    assert any("as told: nms_iou, input.color" in line for line in told.evidence)


def test_a_stored_spec_follows_an_open_size():
    spec = recognised(models.yolov8(dynamic="size"), input_size=(64, 64)).spec
    model = stored(models.yolov8(dynamic="size"), spec.dumps())

    assert recognised(model).spec.input.size == (64, 64)
    assert recognised(model, input_size=(96, 64)).spec.input.size == (96, 64)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "can't be read"),
        ('{"version": 2}', "can't be read"),
        ("[]", "can't be read"),
        (recognised(models.renamed(models.yolov8(2))).spec.dumps(), "which the graph lacks"),
    ],
)
def test_a_stored_spec_that_does_not_fit_is_refused(text, problem):
    with pytest.raises(ModelError, match=problem) as caught:
        recognised(stored(models.yolov8(2), text))

    assert "--spec" in caught.value.remedy


def test_a_told_family_overrules_a_stored_spec_of_another():
    spec = recognised(models.yolov8(2)).spec
    model = stored(models.yolox(2), spec.dumps())

    assert recognised(model, family="yolox").spec.family == "yolox"


def test_what_is_told_is_no_longer_assumed():
    found = recognised(
        models.yolov8(2), classes=["cat", "dog"], input={"color": "bgr", "resize": "stretch"}
    )

    assert found.spec.classes == ("cat", "dog")
    assert found.assumed == ("pixels divided by 255 (the usual YOLOv8 export)",)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ({"family": "centernet"}, "family 'centernet' can't be decoded yet"),
        ({"classes": ["a"]}, "1 names for 3 scores"),
        ({"classes": [1, 2, 3]}, "neither coco80"),
        ({"score_threshold": 7}, "score_threshold: input should be less than or equal to 1"),
        ({"input": {"size": [96, 96]}}, "the graph runs at 64x64"),
        ({"input": {"std": [0, 1, 1]}}, "every std must be above 0"),
    ],
)
def test_told_nonsense_is_refused(override, problem):
    with pytest.raises(ConfigError) as caught:
        recognised(models.yolov8(3), **override)

    assert problem in caught.value.problem
