from __future__ import annotations

import pytest
from pydantic import ValidationError

from edgecv_cli.core.errors import ConfigError, ModelError
from edgecv_cli.detector.classes import COCO80, COCO91, default_classes
from edgecv_cli.detector.metadata import SPEC_KEY, ExportNotes, export_notes, stored_spec
from edgecv_cli.detector.profiles import EVALUATION, detection_profile
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec

SPEC = DetectorSpec(
    family="yolov8",
    input=InputSpec(size=(64, 96), scale=255),
    outputs=OutputSpec.joint("out", ("boxes", "scores"), channels_last=False),
    classes=("Ångström", "b"),
    boxes="cxcywh",
    strides=(8, 16, 32),
    score_threshold=0.4,
)


def test_a_stored_spec_survives_the_round_trip():
    assert stored_spec({SPEC_KEY: SPEC.dumps()}) == SPEC
    assert stored_spec({"names": "{}"}) is None


def test_the_stored_text_is_canonical():
    assert SPEC.dumps() == DetectorSpec.loads(SPEC.dumps()).dumps()
    assert "\n" not in SPEC.dumps()


@pytest.mark.parametrize("text", ["", "null", "{}", "x" * 400_000, '{"family": "yolov8"}'])
def test_a_broken_stored_spec_is_refused(text):
    with pytest.raises(ModelError, match="stored in the model"):
        stored_spec({SPEC_KEY: text})


@pytest.mark.parametrize(
    ("metadata", "notes"),
    [
        ({}, ExportNotes()),
        (
            {"task": "detect", "names": "{0: 'a', 1: 'b'}", "imgsz": "[640, 480]"},
            ExportNotes("detect", ("a", "b"), (640, 480)),
        ),
        ({"names": "['a', 'b']", "imgsz": "640,480"}, ExportNotes(None, ("a", "b"), (640, 480))),
        ({"names": "{1: 'b', 0: 'a'}"}, ExportNotes(names=("a", "b"))),
        ({"names": "{0: 'a\\x1b[2J'}"}, ExportNotes(names=("a?[2J",))),
        ({"names": "{0: 'a', 2: 'b'}"}, ExportNotes()),
        ({"names": "{'x': 'a'}"}, ExportNotes()),
        ({"names": "__import__('os').system('true')"}, ExportNotes()),
        ({"names": "("}, ExportNotes()),
        ({"names": "[" * 100_000}, ExportNotes()),
        ({"names": "-" * 100_000 + "1"}, ExportNotes()),
        ({"names": "'abc'"}, ExportNotes()),
        ({"names": "[]"}, ExportNotes()),
        ({"names": "{0: 'a'}" + " " * 300_000}, ExportNotes()),
        ({"imgsz": "[640]"}, ExportNotes()),
        ({"imgsz": "huge"}, ExportNotes()),
    ],
)
def test_exporter_notes_are_read_and_malformed_ones_are_absent(metadata, notes):
    assert export_notes(metadata) == notes


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ()},
        {"input": {"size": (64, 4)}},
        {"input": {"size": (9000, 64)}},
        {"input": {"scale": 0}},
        {"input": {"std": (1, -1, 1)}},
        {"family": "detectron"},
        {"surprise": 1},
        {"outputs": {"tensors": [{"name": "o", "holds": ["boxes"], "stride": 7}]}, "strides": [8]},
    ],
)
def test_specs_that_make_no_sense_are_refused(changes):
    with pytest.raises(ValidationError):
        SPEC.replace(**changes)


def test_coco_names_stand_where_the_data_set_puts_them():
    assert len(COCO80) == 80
    assert len(COCO91) == 91
    assert (COCO80[0], COCO80[79]) == ("person", "toothbrush")
    assert (COCO91[0], COCO91[1], COCO91[12], COCO91[90]) == (
        "background", "person", "N/A", "toothbrush",
    )  # fmt: skip
    assert tuple(name for name in COCO91[1:] if name != "N/A") == COCO80


def test_default_names_say_where_they_come_from():
    assert default_classes(80)[0] == COCO80
    assert default_classes(91)[0] == COCO91
    assert default_classes(2) == (("class_0", "class_1"), "class names by number")


def test_profiles_take_the_spec_unless_told_otherwise():
    assert detection_profile(SPEC).threshold == 0.4
    assert detection_profile(SPEC).iou == SPEC.nms_iou
    assert detection_profile(SPEC, conf=0.0, iou=1.0).threshold == 0
    assert not detection_profile(SPEC).multi_label
    assert (EVALUATION.threshold, EVALUATION.iou) == (0.01, 0.65)
    assert (EVALUATION.candidates, EVALUATION.detections) == (3000, 100)
    assert EVALUATION.multi_label


@pytest.mark.parametrize(("conf", "iou", "flag"), [(1.5, None, "--conf"), (None, -1, "--iou")])
def test_thresholds_outside_their_range_are_refused(conf, iou, flag):
    with pytest.raises(ConfigError, match=flag):
        detection_profile(SPEC, conf=conf, iou=iou)
