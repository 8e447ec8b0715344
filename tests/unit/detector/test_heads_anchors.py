"""Recognition of detectors with anchors and of face detectors, through real graphs."""

from __future__ import annotations

from dataclasses import replace

import models
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecv_cli.core.errors import ConfigError, UnrecognisedError
from edgecv_cli.detector.anchors import ANCHOR_PRESETS, read_anchors
from edgecv_cli.detector.heads import HEADS
from edgecv_cli.detector.recognise import Recognised, recognise
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.inspect import read_facts

NC = st.sampled_from([1, 2, 20, 91])
SIZES = st.sampled_from([(64, 64), (64, 96), (96, 64)])
OPSETS = st.sampled_from([11, 13, 17, 21])
SETTINGS = settings(max_examples=10)
RAW_AXES = ["b,a,h,w,c", "b,ac,h,w", "b,h,w,ac", "b,h,w,a,c", "b,an,c"]


def recognised(model, **override) -> Recognised:
    return recognise(read_facts(model), override=override)


def names_of(spec, *, role):
    return {tensor.name for tensor in spec.outputs.tensors if role in tensor.holds}


@given(NC, SIZES, OPSETS, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans())
@SETTINGS
def test_yolov5_is_recognised_by_its_anchors(
    nc, size, opset, rename, last, normalized, cells_first, descending
):
    model = models.yolov5(
        nc, size, opset, channels_last=last, normalized=normalized,
        cells_first=cells_first, descending=descending,
    )  # fmt: skip

    found = recognised(models.renamed(model) if rename else model)

    spec = found.spec
    assert (spec.family, spec.code, spec.normalized) == ("yolov5", "none", normalized)
    assert len(spec.classes) == nc
    assert spec.strides == ((32, 16, 8) if descending else (8, 16, 32))
    assert spec.outputs.tensors[0].holds == ("boxes", "objectness", "scores")
    assert spec.outputs.tensors[0].axes == ("b,n,c" if last else "b,c,n")
    assert (spec.input.color, spec.input.scale, spec.input.resize) == ("rgb", 255, "letterbox")
    assert any("10,13 16,30 33,23" in line for line in found.evidence)


@pytest.mark.parametrize("nc", [1, 20])
def test_scores_that_hold_the_objectness_already_are_seen(nc):
    spec = recognised(models.yolov5(nc, multiplied=True)).spec

    assert spec.outputs.tensors[0].holds == ("boxes", "scores")
    assert len(spec.classes) == nc


def test_an_open_batch_changes_nothing():
    fixed, open_batch = (recognised(models.yolov5(dynamic=kind)).spec for kind in (None, "batch"))

    assert fixed == open_batch


@pytest.mark.parametrize(
    ("masks", "words"), [(True, "a segmentation model: 32"), (False, "a pose model: 32 channels")]
)
def test_relatives_of_yolov5_are_refused_by_name(masks, words):
    with pytest.raises(UnrecognisedError, match=words):
        recognised(models.yolov5_relative(masks=masks))


@pytest.mark.parametrize("nc", [1, 80])
def test_yolov6_is_read_without_its_constant(nc):
    found = recognised(models.yolov6(nc))

    assert found.spec.outputs.tensors[0].holds == ("boxes", "skip", "scores")
    assert len(found.spec.classes) == nc
    assert any("channel 4 reads 1 whatever" in line for line in found.evidence)


def test_another_constant_is_no_objectness():
    with pytest.raises(UnrecognisedError, match="unknown layout"):
        recognised(models.yolov6(score=0.5))


@pytest.mark.parametrize("axes", RAW_AXES)
def test_raw_anchors_are_asked_for(axes):
    with pytest.raises(UnrecognisedError, match="can be read in 4 ways") as caught:
        recognised(models.yolov5_raw(axes=axes))

    assert "`anchors: yolov5, code: anchor-square`" in caught.value.remedy
    assert "`anchors: yolov4, code: anchor-exp`" in caught.value.remedy
    assert caught.value.exit_code == 2


def test_the_code_is_asked_for_where_one_set_of_anchors_is_published():
    model = models.yolov5_raw(strides=(16, 32))

    with pytest.raises(UnrecognisedError, match="can be read in 2 ways") as caught:
        recognised(model)

    assert "`code: anchor-square`" in caught.value.remedy
    found = recognised(model, code="anchor-exp")
    assert found.spec.anchors == ANCHOR_PRESETS["yolov3-tiny"]
    assert found.spec.strides == (16, 32)


def test_the_anchors_of_four_strides_are_asked_for_and_settle_the_code():
    model = models.yolov5_raw(strides=(8, 16, 32, 64))

    with pytest.raises(UnrecognisedError, match="can be read in 2 ways") as caught:
        recognised(model)

    assert "`anchors: yolov7-w6`" in caught.value.remedy
    found = recognised(model, anchors="yolov5-p6")
    assert found.spec.anchors == ANCHOR_PRESETS["yolov5-p6"]
    assert found.spec.code == "anchor-square"


@given(NC, SIZES, OPSETS, st.booleans(), st.booleans(), st.sampled_from(RAW_AXES))
@SETTINGS
def test_raw_anchors_are_read_once_they_are_told(nc, size, opset, rename, activated, axes):
    model = models.yolov5_raw(nc, size, opset, axes=axes, activated=activated)
    model = models.reordered(models.renamed(model)) if rename else model

    spec = recognised(model, anchors="yolov7").spec

    assert (spec.family, spec.code, spec.strides) == ("yolov5", "anchor-square", (8, 16, 32))
    assert spec.activations == ("none" if activated else "sigmoid")
    assert spec.anchors == ANCHOR_PRESETS["yolov7"]
    assert {tensor.axes for tensor in spec.outputs.tensors} == {axes}
    assert len(spec.classes) == nc


@pytest.mark.parametrize(
    "told",
    [
        [[[10, 13], [16, 30], [33, 23]], [[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 9], [9, 8]]],
        [[10, 13, 16, 30, 33, 23], [1, 2, 3, 4, 5, 6], [7, 8, 9, 9, 9, 8]],
        [[10, 13], [16, 30], [33, 23], [1, 2], [3, 4], [5, 6], [7, 8], [9, 9], [9, 8]],
    ],
)
@pytest.mark.parametrize("family", [{}, {"family": "yolov5"}])
def test_anchors_are_told_as_people_write_them(told, family):
    spec = recognised(models.yolov5_raw(axes="b,ac,h,w"), anchors=told, **family).spec

    assert spec.anchors[0] == ((10, 13), (16, 30), (33, 23))
    assert spec.anchors[2] == ((7, 8), (9, 9), (9, 8))
    assert (spec.family, spec.code) == ("yolov5", "anchor-square")


@pytest.mark.parametrize(("name", "code"), [("yolov5", "anchor-square"), ("yolov3", "anchor-exp")])
def test_named_anchors_bring_their_code(name, code):
    by_name = recognised(models.yolov5_raw(), anchors=name, family="yolov5").spec
    with_code = recognised(
        models.yolov5_raw(), anchors=[[10, 13, 16, 30, 33, 23]] * 3, family="yolov5", code=code
    ).spec

    assert by_name.code == with_code.code == code


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("yolov9", "no anchors are known as 'yolov9'"),
        ([[1, 2, 3]], "no row of widths and heights"),
        ([["a", 2]], "no row of widths and heights"),
        ([[0, 2]], "no row of widths and heights"),
        (7, "neither a name nor rows"),
        ([7], "no row of"),
    ],
)
def test_anchors_that_make_no_sense_are_refused(told, words):
    with pytest.raises(ConfigError, match=words) as caught:
        recognised(models.yolov5_raw(), anchors=told, family="yolov5")

    assert "anchors" in caught.value.remedy
    with pytest.raises(ConfigError, match=words):
        recognised(models.yolov5(), anchors=told)


def test_another_number_of_anchors_is_refused():
    with pytest.raises(UnrecognisedError, match="of family yolov5"):
        recognised(models.yolov5_raw(), anchors=[[1, 2, 3, 4]] * 3, family="yolov5")


def test_one_anchor_a_stride_is_told_by_one_pair_a_row():
    assert read_anchors([[1, 2], [3, 4]], 2) == (((1, 2),), ((3, 4),))


@given(NC, SIZES, OPSETS, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans())
@SETTINGS
def test_yolo_fastestv2_is_recognised_by_its_layers(
    nc, size, opset, rename, batch, apart, last, activated
):
    model = models.yolo_fastestv2(
        nc, size, opset, batch=batch, apart=apart, channels_last=last,
        activated=activated or not apart,
    )  # fmt: skip
    model = models.reordered(models.renamed(model)) if rename else model

    found = recognised(model)

    spec = found.spec
    assert (spec.family, spec.code, spec.strides) == ("yolo-fastestv2", "anchor-square", (16, 32))
    assert spec.activations == ("none" if activated or not apart else "softmax")
    assert spec.anchors == ANCHOR_PRESETS["yolo-fastestv2"]
    assert len(spec.classes) == nc
    assert (spec.input.color, spec.input.scale, spec.input.resize) == ("bgr", 255, "stretch")
    assert any("anchors 12.64,19.39" in line for line in found.assumed)


def test_other_anchors_of_shared_scores_are_told():
    told = [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]]
    found = recognised(models.yolo_fastestv2(), anchors=told)

    assert found.spec.anchors[1] == ((7, 8), (9, 10), (11, 12))
    assert not any("12.64" in line for line in found.assumed)


@given(st.sampled_from([(64, 64), (96, 64), (96, 160)]), OPSETS, st.booleans(), st.booleans(),
       st.booleans(), st.booleans())  # fmt: skip
@SETTINGS
def test_faces_with_priors_are_recognised_by_them(size, opset, rename, ultraface, decoded, softmax):
    model = models.retina(size, opset, ultraface=ultraface, decoded=decoded, softmax=softmax)
    model = models.reordered(models.renamed(model)) if rename else model

    found = recognised(model)

    spec = found.spec
    assert (spec.family, spec.code) == ("retina", "none" if decoded else "prior")
    assert spec.activations == ("none" if softmax else "softmax")
    assert (spec.classes[1:], spec.background) == (("face",), 0)
    assert spec.input.color == ("rgb" if ultraface else "bgr")
    assert spec.even_cells == (ultraface and not decoded)
    if not ultraface:
        assert any("key points and is not read" in line for line in found.evidence)
    if not rename:
        assert names_of(spec, role="boxes") == {"loc"}


def test_offsets_without_key_points_are_no_retinaface():
    with pytest.raises(UnrecognisedError, match="unknown layout"):
        recognised(models.retina(landmarks=False))
    assert recognised(models.retina(landmarks=False, decoded=True)).spec.family == "retina"


@given(SIZES, OPSETS, st.booleans(), st.booleans())
@SETTINGS
def test_yunet_is_recognised_by_its_four_outputs_a_stride(size, opset, rename, maps):
    model = models.yunet(size, opset, maps=maps)
    model = models.reordered(models.renamed(model)) if rename else model

    spec = recognised(model).spec

    assert (spec.family, spec.code, spec.powers) == ("yunet", "grid", (0.5, 0.5))
    assert (spec.classes, spec.strides) == (("face",), (8, 16, 32))
    assert (spec.input.color, spec.input.scale, spec.input.pad) == ("bgr", 1, 0)
    assert len(spec.outputs.tensors) == 9


def test_chances_without_key_points_are_no_yunet():
    with pytest.raises(UnrecognisedError, match="unknown layout"):
        recognised(models.yunet(points=False))


CASES = {
    "yolov5": models.yolov5(),
    "yolov5 cells first": models.yolov5(normalized=True, cells_first=True),
    "yolov5 multiplied": models.yolov5(1, multiplied=True),
    "yolov5 six": models.yolov6(),
    "yolov5 raw": models.yolov5_raw(),
    "yolov5 raw maps": models.yolov5_raw(1, axes="b,ac,h,w", activated=True),
    "yolo-fastestv2": models.yolo_fastestv2(),
    "yolo-fastestv2 one": models.yolo_fastestv2(1, batch=False),
    "yolo-fastestv2 apart": models.yolo_fastestv2(apart=True),
    "retina": models.retina(),
    "retina logits": models.retina(softmax=False),
    "retina decoded": models.retina(decoded=True, landmarks=False),
    "retina ultraface": models.retina((96, 160), ultraface=True, decoded=True),
    "retina ultraface raw": models.retina((96, 160), ultraface=True),
    "yunet": models.yunet(),
    "yunet maps": models.yunet(maps=True),
    "ssd of one class": models.ssd(1, softmax=True, xyxy=True),
}


@pytest.mark.parametrize("case", CASES)
def test_without_its_family_a_model_is_refused_and_not_guessed(case):
    others = tuple(head for head in HEADS if head.family != case.split()[0])

    with pytest.raises(UnrecognisedError):
        recognise(read_facts(CASES[case]), heads=others)


def unprobed(model):
    facts = read_facts(model)
    return replace(facts, tail=None, tail_problem="not looked at")


@pytest.mark.parametrize("case", sorted(set(CASES) - {"yolov5 six"}))
def test_a_told_family_is_read_by_shape_and_survives_being_stored(case):
    family = case.split()[0]
    told = {"family": family, **({"anchors": "yolov5"} if "raw" in case.split()[1:2] else {})}

    found = recognise(unprobed(CASES[case]), override=told)

    assert found.spec.family == family
    assert DetectorSpec.loads(found.spec.dumps()) == found.spec


@pytest.mark.parametrize("family", ["yolov5", "yolo-fastestv2", "retina", "yunet"])
def test_a_told_family_whose_shapes_are_not_there_is_refused(family):
    with pytest.raises(UnrecognisedError, match=f"of family {family}"):
        recognised(models.yolov8(), family=family)


def test_a_retina_told_as_offsets_has_the_priors_that_fit():
    facts = unprobed(models.retina())

    spec = recognise(facts, override={"family": "retina", "code": "prior"}).spec

    assert spec.anchors[0] == ((16, 16), (32, 32))
