"""Object queries: recognised by what layers do to them, decoded like the scalar reference."""

from __future__ import annotations

import models
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import scalar_selected as scalar
from test_decoders import assert_found, decode

from edgecv_cli.core.errors import UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.classes import COCO80, COCO91
from edgecv_cli.detector.heads.queries import query_boxes
from edgecv_cli.detector.recognise import recognise
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec
from edgecv_cli.graph.facts import GraphFacts
from edgecv_cli.graph.inspect import read_facts

SIZE = (64, 96)


def recognised(model, **told):
    return recognise(read_facts(model), override=told)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([2, 5]),
    st.sampled_from([0.01, 0.3, 0.8]),
    st.booleans(),
    st.sampled_from(["sigmoid", "softmax"]),
    st.booleans(),
)
@settings(max_examples=40)
def test_queries_are_decoded_as_by_the_scalar_reference(
    seed, columns, threshold, multi_label, rule, joint
):
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(0.05, 0.9, (2, 30, 4)).astype(np.float32)
    logits = rng.normal(0, 3, (2, 30, columns)).astype(np.float32)
    outputs = {"b": boxes, "l": logits}
    tensors = OutputSpec.apart({"boxes": "b", "scores": "l"}, channels_last=True)
    if joint:
        outputs = {"out": np.concatenate([boxes, logits], 2)}
        tensors = OutputSpec.joint("out", ("boxes", "scores"), channels_last=True)
    spec = DetectorSpec(
        family="detr",
        input=InputSpec(size=SIZE),
        outputs=tensors,
        classes=tuple(f"c{index}" for index in range(columns)),
        boxes="cxcywh",
        normalized=True,
        activations=rule,
        background=columns - 1 if rule == "softmax" else None,
    )

    results = decode(spec, outputs, threshold, multi_label)

    for result, box, row in zip(results, boxes.tolist(), logits.tolist(), strict=True):
        assert_found(result, scalar.decode_queries(box, row, SIZE, rule, threshold, multi_label))


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("nc", [1, 4, 20])
def test_focal_biases_say_sigmoid(nc, relative):
    found = recognised(models.detr(nc, SIZE, relative=relative))

    spec = found.spec
    assert (spec.family, spec.activations, spec.background) == ("detr", "sigmoid", None)
    assert (spec.boxes, spec.normalized, len(spec.classes)) == ("cxcywh", True, nc)
    assert spec.nms_iou == 1.0
    assert found.confidence > 0.9
    assert any("focal loss" in line for line in found.evidence)


def test_a_last_class_that_stands_apart_is_no_object():
    found = recognised(models.detr(4, SIZE, softmax=True))

    assert (found.spec.activations, found.spec.background) == ("softmax", 3)
    assert found.spec.classes[3] == "background"
    assert any("'no object'" in line for line in found.assumed)


def test_92_logits_are_cocos_ids_and_no_object():
    spec = recognised(models.detr(92, SIZE, softmax=True, biased=False)).spec

    assert (spec.activations, spec.background) == ("softmax", 91)
    assert spec.classes[1:91] == COCO91[1:]


def test_91_sigmoids_are_cocos_ids():
    assert recognised(models.detr(91, SIZE)).spec.classes == COCO91


def test_biases_that_say_nothing_leave_both_readings_open():
    model = models.detr(4, SIZE, biased=False)

    with pytest.raises(UnrecognisedError, match="can be read in 2 ways") as caught:
        recognised(model)

    assert "`activations: sigmoid` or `activations: softmax`" in caught.value.remedy
    told = recognised(model, activations="softmax").spec
    assert (told.activations, told.background) == ("softmax", 3)
    assert recognised(model, activations="sigmoid").spec.background is None


@pytest.mark.parametrize("softmax", [False, True])
def test_scores_that_the_graph_activates_are_left_alone(softmax):
    spec = recognised(models.detr(4, SIZE, softmax=softmax, applied=True)).spec

    assert (spec.activations, spec.background) == ("none", 3 if softmax else None)


def test_boxes_and_scores_in_one_output_are_queries_too():
    model = models.detr(5, SIZE, relative=False, applied=True, joint=True)

    spec = recognised(model).spec

    assert spec.family == "detr"
    assert spec.outputs.tensors[0].holds == ("boxes", "scores")


def test_preprocessing_is_that_of_the_sub_kind():
    detr = recognised(models.detr(4, SIZE, softmax=True)).spec.input
    plain = recognised(models.selected("rtdetr", 80, SIZE)).spec.input

    assert (detr.scale, detr.mean[0], detr.resize) == (255, 0.485, "stretch")
    assert (plain.scale, plain.mean, plain.resize) == (255, (0, 0, 0), "stretch")


def ends(high, low, rest=0.5):
    """Boxes [4, 3] at rest, high and low."""
    return [np.repeat(np.broadcast_to(part, 4)[:, None], 3, 1) for part in (rest, high, low)]


@pytest.mark.parametrize(
    ("high", "layout", "normalized"),
    [
        ([1, 1, 1, 1], "cxcywh", True),
        ([0.5, 0.5, 1.5, 1.5], "xyxy", True),
        ([96, 64, 96, 64], "cxcywh", False),
        ([48, 32, 144, 96], "xyxy", False),
        ([1, 1, 5, 5], "cxcywh", True),
    ],
)
def test_where_boxes_end_says_layout_and_unit(high, layout, normalized):
    found = query_boxes(*ends(high, 0), SIZE)

    assert (found.layout, found.normalized) == (layout, normalized)


@pytest.mark.parametrize("high", [[8, 8, 8, 8], [1, 1, 0.2, 0.2], [0, 0, 0, 0]])
def test_boxes_that_end_elsewhere_are_no_queries(high):
    assert query_boxes(*ends(high, [-8, -8, 0, 0] if high[0] == 8 else 0), SIZE) is None


def test_masks_beside_queries_are_named():
    facts = read_facts(models.detr(4, SIZE))
    masks = {"masks": np.zeros((1, 96, 16, 24))}
    tail = facts.tail
    probes = {key: {**getattr(tail, key), **masks} for key in ("rest", "high", "low", "noise")}
    touched = {head: {**moved, "masks": np.zeros((1, 96, 16, 24), bool)}
               for head, moved in tail.touched.items()}  # fmt: skip
    wider = type(tail)(**{**vars(tail), **probes, "touched": touched})

    with pytest.raises(UnrecognisedError, match="segmentation"):
        recognise(GraphFacts(**{**vars(facts), "tail": wider}))


def test_a_mask_of_the_pictures_pixels_is_fed_ones():
    facts = read_facts(models.detr(4, SIZE))
    mask = TensorSpec("pixel_mask", (1, *SIZE), "int64")

    found = recognise(GraphFacts(**{**vars(facts), "inputs": (*facts.inputs, mask)}))

    assert found.spec.extra_inputs == {"pixel_mask": "ones"}
    assert any("mask" in line for line in found.assumed)


def test_told_detr_is_read_by_shapes_where_nothing_can_be_probed():
    facts = read_facts(models.detr(80, SIZE))
    blind = GraphFacts(**{**vars(facts), "tail": None, "tail_problem": "too large"})

    found = recognise(blind, override={"family": "detr"})

    assert (found.spec.activations, found.spec.classes) == ("sigmoid", COCO80)
    assert found.confidence <= 0.5
    with pytest.raises(UnrecognisedError, match="family detr"):
        recognise(read_facts(models.classifier()), override={"family": "detr"})


def test_long_rows_are_no_queries_of_thousands_of_classes():
    facts = read_facts(models.yolov8(80, (640, 640)))

    with pytest.raises(UnrecognisedError, match=r"shapes \[1,N,4\] and \[1,N,classes\]"):
        recognise(facts, override={"family": "detr"})


@pytest.mark.parametrize("opset", [11, 13, 21])
def test_a_dynamic_batch_and_any_opset_change_nothing(opset):
    assert recognised(models.detr(4, SIZE, opset, dynamic=True)).spec.family == "detr"
