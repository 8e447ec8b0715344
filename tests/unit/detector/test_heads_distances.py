"""Families of scores and distances, and FastestDet: recognised, and strictly."""

from __future__ import annotations

from dataclasses import replace

import models
import models_distances
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecv_cli.core.errors import ModelError, UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.heads import HEADS, build_decoder, head_of
from edgecv_cli.detector.heads.levels import ANCHORED, PLAIN, levels
from edgecv_cli.detector.recognise import Recognised, recognise
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.inspect import read_facts

NC = st.sampled_from([1, 2, 3, 20, 32, 80, 91])
SIZES = st.sampled_from([(64, 64), (64, 96), (96, 64), (32, 160), (160, 160)])
OPSETS = st.sampled_from([11, 13, 17, 21])
SETTINGS = settings(max_examples=12)
FOUR, THREE = (8, 16, 32, 64), (8, 16, 32)


def recognised(model: onnx.ModelProto, **override) -> Recognised:
    return recognise(read_facts(model), override=override)


def disguised(model: onnx.ModelProto, rename: bool, reorder: bool) -> onnx.ModelProto:
    model = models.reordered(model) if reorder else model
    return models.renamed(model) if rename else model


def roles(spec: DetectorSpec) -> list[tuple[tuple[str, ...], str, int | None]]:
    """What each tensor holds, in order of stride."""
    found = [(tensor.holds, tensor.axes, tensor.stride) for tensor in spec.outputs.tensors]
    return sorted(found, key=lambda entry: (entry[2] or 0, entry[0]), reverse=False)


def pairs(strides):
    return [entry for s in strides for entry in (
        (("boxes",), "b,n,c", s), (("scores",), "b,n,c", s))]  # fmt: skip


@given(NC, SIZES, OPSETS, st.booleans(), st.booleans(), st.booleans(), st.sampled_from([8, 11]),
       st.sampled_from([None, "batch"]))  # fmt: skip
@SETTINGS
def test_nanodet_is_recognised_in_one_tensor_or_in_six(
    nc, size, opset, joint, rename, reorder, bins, dynamic
):
    model = models.nanodet(nc, size, opset, joint=joint, bins=bins, dynamic=dynamic)

    spec = recognised(disguised(model, rename, reorder)).spec

    assert spec.family == "nanodet"
    assert len(spec.classes) == nc
    assert (spec.input.size, spec.strides) == (size, THREE)
    assert (spec.code, spec.boxes, spec.cell_offset) == ("distance", "ltrb", 0.5)
    assert (spec.reg_max, spec.activations) == (bins, "none")
    assert (spec.input.color, spec.input.resize, spec.input.pad) == ("bgr", "letterbox", 0)
    expected = [(("scores", "boxes"), "b,n,c", None)] if joint else pairs(THREE)
    assert roles(spec) == expected


@given(NC, SIZES, OPSETS, st.booleans())
@SETTINGS
def test_nanodet_plus_is_recognised_by_its_fourth_stride(nc, size, opset, rename):
    spec = recognised(disguised(models.nanodet_plus(nc, size, opset), rename, False)).spec

    assert spec.family == "nanodet-plus"
    assert len(spec.classes) == nc
    assert (spec.strides, spec.cell_offset, spec.reg_max) == (FOUR, 0.0, 8)
    assert roles(spec) == [(("scores", "boxes"), "b,n,c", None)]
    assert spec.input.resize == "stretch"
    assert spec.input.mean == (103.53, 116.28, 123.675)


@given(NC, SIZES, OPSETS, st.booleans(), st.booleans(), st.booleans())
@SETTINGS
def test_picodet_is_recognised_in_eight_tensors(nc, size, opset, logits, rename, reorder):
    if nc == 32 and logits:  # classes and bins can't be told apart
        nc = 31
    model = models.picodet(nc, size, opset, logits=logits)

    spec = recognised(disguised(model, rename, reorder)).spec

    assert spec.family == "picodet"
    assert len(spec.classes) == nc
    assert (spec.strides, spec.cell_offset, spec.reg_max) == (FOUR, 0.5, 8)
    assert spec.activations == ("sigmoid" if logits else "none")
    assert roles(spec) == pairs(FOUR)
    assert (spec.input.color, spec.input.scale) == ("rgb", 255)
    assert spec.input.mean == (0.485, 0.456, 0.406)


@given(NC, SIZES, OPSETS, st.booleans())
@SETTINGS
def test_picodet_without_nms_is_recognised_by_its_corners(nc, size, opset, rename):
    model = models.picodet(nc, size, opset, decoded=True)

    spec = recognised(disguised(model, rename, rename)).spec

    assert (spec.family, spec.code, spec.boxes) == ("picodet", "none", "xyxy")
    assert (len(spec.classes), spec.strides, spec.reg_max) == (nc, FOUR, 0)
    assert roles(spec) == [(("boxes",), "b,n,c", None), (("scores",), "b,c,n", None)]


@given(NC, SIZES, OPSETS, st.booleans(), st.booleans(), st.booleans(), st.booleans(),
       st.sampled_from([THREE, FOUR]))  # fmt: skip
@SETTINGS
def test_yolov6_lite_is_recognised_whichever_part_comes_first(
    nc, size, opset, boxes_first, channels_last, rename, reorder, strides
):
    model = models.yolov6_lite(
        nc, size, opset, boxes_first=boxes_first, channels_last=channels_last, strides=strides
    )

    spec = recognised(disguised(model, rename, reorder)).spec

    assert spec.family == "yolov6-lite"
    assert (len(spec.classes), spec.strides) == (nc, strides)
    assert (spec.code, spec.cell_offset, spec.reg_max) == ("distance", 0.5, 0)
    holds = ("boxes", "scores") if boxes_first else ("scores", "boxes")
    axes = "b,n,c" if channels_last else "b,c,h,w"
    assert roles(spec) == [(holds, axes, stride) for stride in strides]
    assert (spec.input.color, spec.input.scale, spec.input.pad) == ("rgb", 255, 114)
    assert spec.input.resize == "letterbox"


@given(NC, SIZES, OPSETS, st.booleans())
@SETTINGS
def test_yolov6_lite_decoded_beside_ones_is_recognised(nc, size, opset, rename):
    model = models.yolov6_lite(nc, size, opset, decoded=True)

    spec = recognised(disguised(model, rename, False)).spec

    assert (spec.family, spec.code, spec.boxes) == ("yolov6-lite", "none", "cxcywh")
    assert (len(spec.classes), spec.strides) == (nc, FOUR)
    assert roles(spec) == [(("boxes", "skip", "scores"), "b,n,c", None)]


@given(NC, SIZES, OPSETS, st.booleans(), st.booleans())
@SETTINGS
def test_fastestdet_is_recognised_with_its_normalisation_folded_or_not(
    nc, size, opset, folded, rename
):
    model = models.fastestdet(nc, size, opset, folded=folded)

    spec = recognised(disguised(model, rename, False)).spec

    assert (spec.family, spec.code) == ("fastestdet", "tanh-sigmoid")
    assert (len(spec.classes), spec.strides, spec.powers) == (nc, (16,), (0.6, 0.4))
    assert roles(spec) == [(("objectness", "boxes", "scores"), "b,c,h,w", 16)]
    assert (spec.input.color, spec.input.scale, spec.input.resize) == ("bgr", 255, "stretch")


def test_as_many_channels_as_rows_and_columns_are_told_apart_by_what_they_do():
    spec = recognised(models.fastestdet(3, (128, 128))).spec

    assert roles(spec)[0][1] == "b,c,h,w"
    assert len(spec.classes) == 3


@pytest.mark.parametrize("decoded", [False, True])
def test_picodets_second_inputs_are_fed_ones(decoded):
    model = models.picodet(decoded=decoded, second_inputs=("im_shape", "scale_factor"))

    found = recognised(model)

    assert found.spec.family == "picodet"
    assert found.spec.extra_inputs == {"im_shape": "ones", "scale_factor": "ones"}
    assert recognised(model, family="picodet").spec == found.spec


MODELS = {
    "nanodet": models.nanodet(),
    "nanodet of six outputs": models.nanodet(joint=False),
    "nanodet of six outputs in logits": models.nanodet(joint=False, logits=True),
    "nanodet-plus": models.nanodet_plus(),
    "picodet": models.picodet(),
    "picodet without NMS": models.picodet(decoded=True),
    "yolov6-lite": models.yolov6_lite(),
    "yolov6-lite, boxes first": models.yolov6_lite(boxes_first=True),
    "yolov6-lite decoded": models.yolov6_lite(decoded=True),
    "fastestdet": models.fastestdet(),
}
FAMILIES = ("nanodet-plus", "nanodet", "picodet", "yolov6-lite", "fastestdet")


def family_of(kind: str) -> str:
    return next(family for family in FAMILIES if kind.startswith(family))


@pytest.mark.parametrize("kind", MODELS)
def test_with_its_family_left_out_a_model_is_refused_and_not_guessed(kind):
    others = tuple(head for head in HEADS if head.family != family_of(kind))

    with pytest.raises(UnrecognisedError, match="unknown layout"):
        recognise(read_facts(MODELS[kind]), heads=others)


@pytest.mark.parametrize("kind", MODELS)
def test_evidence_has_numbers_and_assumptions_name_their_source(kind):
    found = recognised(MODELS[kind])

    assert found.confidence >= 0.9
    assert all(any(char.isdigit() for char in line) for line in found.evidence[:2])
    assert any("class names by number" in line for line in found.assumed)
    assert sum("colour order" in line for line in found.assumed) == 1


@pytest.mark.parametrize("kind", MODELS)
def test_a_spec_survives_being_stored(kind):
    spec = recognised(MODELS[kind]).spec

    assert DetectorSpec.loads(spec.dumps()) == spec


@pytest.mark.parametrize("kind", MODELS)
def test_a_told_family_that_fits_changes_nothing(kind):
    assert recognised(MODELS[kind], family=family_of(kind)).spec == recognised(MODELS[kind]).spec


@pytest.mark.parametrize(
    ("model", "family", "told", "classes", "bins", "tensors", "logits"),
    [
        (models.nanodet_plus(), "nanodet", {}, 3, 8, 1, False),
        (models.nanodet(), "nanodet-plus", {}, 3, 8, 1, False),
        (models.picodet(), "nanodet-plus", {}, 3, 8, 8, False),
        (models.nanodet(bins=17), "nanodet", {"reg_max": 17}, 3, 17, 1, False),
        (models.nanodet(joint=True, logits=True), "nanodet", {}, 3, 8, 1, True),
        (models.picodet(32, logits=True), "picodet", {}, 32, 8, 8, True),
    ],
)
def test_a_told_family_reads_by_shape_what_is_not_recognised_as_it(
    model, family, told, classes, bins, tensors, logits
):
    found = recognised(model, family=family, **told)

    spec = found.spec
    assert spec.family == family
    assert (len(spec.classes), spec.reg_max) == (classes, bins)
    assert spec.activations == ("sigmoid" if logits else "none")
    assert len(spec.outputs.tensors) == tensors
    assert spec.input == head_of(family).defaults.input.model_copy(
        update={"name": spec.input.name, "size": spec.input.size}
    )
    assert found.confidence <= 0.5


@pytest.mark.parametrize("family", FAMILIES)
def test_a_told_family_that_fits_nothing_is_refused(family):
    with pytest.raises(UnrecognisedError, match=f"of family {family}") as caught:
        recognised(models.ssd(nc=1), family=family)

    assert "--spec" in caught.value.remedy


@pytest.mark.parametrize(
    "model",
    [
        models_distances.raw_yolox(),
        models_distances.raw_yolox(one_layer=True),
        models.nanodet(bins=16, joint=False),
        models.nanodet(bins=16),
        models.nanodet(logits=True),
        models.nanodet(strides=(8, 16, 32, 64), joint=False, bins=16),
    ],
)
def test_relatives_with_other_channels_are_not_claimed(model):
    facts = read_facts(model)

    claimed = [head_of(family).recognise(facts) for family in FAMILIES]

    assert not any(claimed)


def test_levels_are_read_under_every_order_of_axes_that_fits():
    facts = read_facts(models.yolov6_lite(4))

    found = {(read.axes, read.anchors): read for read in levels(facts, PLAIN + ANCHORED, (1, 2))}

    plain, shared = found["b,c,h,w", 1], found["b,ac,h,w", 2]
    assert [level.output for group in plain.strides.values() for level in group] == [
        "out_8", "out_16", "out_32", "out_64",
    ]  # fmt: skip
    assert plain.others == ()
    assert plain.strides[8][0].runs == (("sigmoid", 4), ("linear", 4))
    assert (shared.strides[8][0].count, shared.strides[8][0].anchors) == (4, 2)


def test_without_a_probe_levels_follow_the_usual_strides():
    facts = replace(read_facts(models.picodet()), tail=None)

    (read,) = [read for read in levels(facts) if not read.others and read.axes == "b,n,c"]

    assert tuple(read.strides) == FOUR
    assert read.strides[8][0].kinds == ()


@pytest.mark.parametrize("kind", ["nanodet", "picodet", "yolov6-lite", "fastestdet"])
def test_without_a_probe_a_told_family_is_read_by_shape(kind):
    facts = read_facts(MODELS[kind])
    blind = replace(facts, tail=None, tail_problem="not probed")

    found = recognise(blind, override={"family": kind})

    assert found.spec == recognise(facts).spec


def test_outputs_that_contradict_the_spec_are_refused():
    spec = recognised(models.yolov6_lite()).spec
    wrong = [TensorSpec(f"out_{s}", (1, 9, 64 // s, 64 // s), "float32") for s in FOUR]

    with pytest.raises(ModelError, match="9 channels, but 3 classes") as caught:
        build_decoder(spec, wrong)

    assert "--spec" in caught.value.remedy


def test_class_names_one_a_line_in_the_metadata_are_taken_over():
    named = recognised(models.picodet(3, metadata={"character": "text\ntitle\ntable"}))
    wrong = recognised(models.picodet(3, metadata={"character": "text\ntitle"}))

    assert named.spec.classes == ("text", "title", "table")
    assert wrong.spec.classes == ("class_0", "class_1", "class_2")
