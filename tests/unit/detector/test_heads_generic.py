"""Detectors told by their spec alone, and specs that contradict the graph, shape by shape."""

from __future__ import annotations

import models
import numpy as np
import pytest
from reference import scalar_detector as scalar
from test_decoders import assert_found, decode

from edgecv_cli.core.errors import ConfigError, UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.recognise import recognise
from edgecv_cli.graph.facts import GraphFacts
from edgecv_cli.graph.inspect import read_facts

SIZE = (64, 96)
CELLS = 96 + 24 + 6


def graph(**shapes):
    """A graph with outputs of these shapes that nothing recognises."""
    return GraphFacts(
        inputs=(TensorSpec("images", (1, 3, *SIZE), "float32"),),
        outputs=tuple(TensorSpec(name, shape, "float32") for name, shape in shapes.items()),
        input_size=SIZE, opset=17, precision="fp32", parameters=9, macs=None, op_counts={},
        metadata={}, tail=None, tail_problem="decoding is too large to probe",
    )  # fmt: skip


def generic(facts, **told):
    return recognise(facts, override={"family": "generic", **told})


PAIR = {"boxes": "b", "scores": "s"}


@pytest.mark.parametrize(
    ("shapes", "told", "axes", "classes"),
    [
        ({"b": (1, 50, 4), "s": (1, 50, 7)}, {"outputs": PAIR}, ["b,n,c", "b,n,c"], 7),
        ({"b": (1, 4, 50), "s": (1, 7, 50)}, {"outputs": PAIR}, ["b,c,n", "b,c,n"], 7),
        ({"b": (50, 4), "s": (50, 7)}, {"outputs": PAIR}, ["n,c", "n,c"], 7),
        (
            {"b": (1, CELLS, 32), "s": (1, 3, CELLS)},
            {"outputs": PAIR, "boxes": "ltrb", "strides": [8, 16, 32], "reg_max": 8},
            ["b,n,c", "b,c,n"],
            3,
        ),
        (
            {"out": (1, 8, CELLS)},
            {"outputs": {"all": "out", "layout": ["boxes", "objectness", "scores"]}},
            ["b,c,n"],
            3,
        ),
        (
            {"out": (1, 3 * CELLS, 8)},
            {
                "outputs": {"all": "out", "layout": ["boxes", "objectness", "scores"]},
                "strides": [8, 16, 32],
                "anchors": "yolov5",
                "activations": "sigmoid",
            },
            ["b,n,c"],
            3,
        ),
        (
            {"b": (1, 2, 4), "s": (1, 2, 3)},
            {"outputs": PAIR, "classes": ("a", "b", "c")},
            ["b,n,c", "b,n,c"],
            3,
        ),
    ],
)
def test_axes_follow_from_shapes(shapes, told, axes, classes):
    spec = generic(graph(**shapes), **told).spec

    assert [tensor.axes for tensor in spec.outputs.tensors] == axes
    assert len(spec.classes) == classes


def test_one_output_a_stride_is_told_in_lists():
    shapes = {f"b{s}": (1, 4, 64 // s, 96 // s) for s in (8, 16, 32)}
    shapes |= {f"s{s}": (1, 3, 64 // s, 96 // s) for s in (8, 16, 32)}
    names = {"boxes": ["b32", "b8", "b16"], "scores": ["s8", "s16", "s32"]}

    spec = generic(
        graph(**shapes), outputs=names, boxes="ltrb", strides=[8, 16, 32], cell_offset=0.5
    ).spec

    assert {tensor.name: tensor.stride for tensor in spec.outputs.tensors} == {
        f"{kind}{s}": s for kind in "bs" for s in (8, 16, 32)
    }
    assert (spec.code, spec.cell_offset) == ("distance", 0.5)


def test_maps_of_anchors_are_told_with_their_sizes():
    shapes = {f"o{s}": (1, 2 * 8, 64 // s, 96 // s) for s in (16, 32)}

    spec = generic(
        graph(**shapes),
        outputs={"all": ["o16", "o32"], "layout": ["boxes", "objectness", "scores"]},
        strides=[16, 32],
        anchors=[[10, 14, 23, 27], [37, 58, 81, 82]],
        activations="sigmoid",
    ).spec

    assert [tensor.axes for tensor in spec.outputs.tensors] == ["b,ac,h,w"] * 2
    assert (spec.code, len(spec.classes), len(spec.anchors[0])) == ("anchor-square", 3, 2)


def test_the_background_may_be_left_out_of_the_names():
    told = {"outputs": PAIR, "classes": ("a", "b"), "background": 0}

    spec = generic(graph(b=(1, 9, 4), s=(1, 9, 3)), **told).spec

    assert (spec.classes, spec.background) == (("background", "a", "b"), 0)


def test_a_full_description_of_tensors_is_taken_as_it_is():
    tensors = [{"name": "o", "holds": ["scores", "boxes"], "axes": "b,h,w,c", "stride": 8}]
    told = {"outputs": {"tensors": tensors}, "boxes": "ltrb", "strides": [8]}

    spec = generic(graph(o=(1, 8, 12, 7)), **told).spec

    assert spec.outputs.tensors[0].holds == ("scores", "boxes")
    assert len(spec.classes) == 3


def test_a_told_detector_decodes_as_its_family_would():
    facts = read_facts(models.yolov8(3, SIZE))
    told = {"outputs": {"all": "output0"}, "boxes": "cxcywh"}
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.uniform(1, 60, (CELLS, 4)), rng.uniform(0, 1, (CELLS, 3))], 1)
    out = np.ascontiguousarray(rows.T[None].astype(np.float32))

    spec = generic(facts, **told).spec
    (result,) = decode(spec, {"output0": out}, 0.5, True)

    assert spec.family == "generic"
    assert_found(result, scalar.decode_yolov8(out[0].T.tolist(), 0.5, True))


@pytest.mark.parametrize(
    ("shapes", "told", "problem"),
    [
        ({"b": (1, 9, 4)}, {}, "needs outputs with boxes and scores"),
        ({"b": (1, 9, 4)}, {"outputs": {"boxes": "b"}}, "needs outputs with boxes and scores"),
        (
            {"b": (1, 9, 4), "s": (1, 9, 3)},
            {"outputs": {"boxes": "b", "scores": "x"}},
            "no output 'x', but b, s",
        ),
        (
            {"b": (1, 9, 5), "s": (1, 9, 3)},
            {"outputs": PAIR},
            r"'b' \[1,9,5\] can't hold boxes: a candidate has channels: 4 of boxes",
        ),
        (
            {"b": (1, 9, 4), "s": (1, 9, 3)},
            {"outputs": PAIR, "classes": ("a", "b")},
            r"'s' \[1,9,3\] can't hold scores: a candidate has channels: 2 of scores",
        ),
        (
            {"b": (1, 9, 4), "s": (1, 8, 3)},
            {"outputs": PAIR},
            "hold different numbers of candidates",
        ),
        (
            {"b": (1, 99, 4), "s": (1, 99, 3)},
            {"outputs": PAIR, "boxes": "ltrb", "strides": [8, 16]},
            r"strides 8/16 at 64x96 have 96\+24 cells",
        ),
        (
            {"b": (1, 99, 4), "s": (1, 99, 3)},
            {"outputs": PAIR, "boxes": "ltrb"},
            "no strides are told",
        ),
        (
            {"b": (1, 99, 4), "s": (1, 99, 3)},
            {"outputs": {"boxes": ["b", "b"], "scores": "s"}, "strides": [8]},
            "2 outputs of boxes for 1 strides",
        ),
        ({"o": (1, 9, 9)}, {"outputs": {"all": "o"}}, "can be read in 2 ways"),
        (
            {"o": (1, 9, 7)},
            {"outputs": {"all": "o", "layout": ["boxes", "chances"]}},
            "'chances' is nothing that a column holds",
        ),
        (
            {"o": (1, 9, 7)},
            {"outputs": {"tensors": [{"name": "o", "holds": ["boxes"], "axes": "x"}]}},
            "outputs.tensors.0.axes",
        ),
        (
            {"o": (1, 9, 7)},
            {"outputs": {"all": "o"}, "anchors": [[1, 2, 3]]},
            "detector spec, anchors",
        ),
        ({"o": (1, 9, 7)}, {"outputs": {"all": "o"}, "boxes": "corners"}, "detector spec, boxes"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(shapes, told, problem):
    with pytest.raises(ConfigError, match=problem) as caught:
        generic(graph(**shapes), **told)

    assert (
        "--spec" in caught.value.remedy
        or "tensors" in caught.value.remedy
        or ("known:" in caught.value.remedy or "strides" in caught.value.remedy)
    )


@pytest.mark.parametrize(
    ("model", "told", "problem"),
    [
        ("yolov8", {"family": "yolov8", "classes": ("a",)}, "1 names for 3 scores"),
        ("yolov8", {"family": "yolov8", "strides": (4, 8)}, "126 candidates, but strides 4/8"),
        ("yolox", {"strides": (8, 16)}, "126 candidates, but strides 8/16"),
        ("yolov8", {"outputs": {"all": "no"}}, "reads output 'no', but the model has: output0"),
        ("ssd", {"outputs": {"boxes": "no"}}, "reads output 'no', but the model has"),
        ("yolov8", {"input": {"size": (64, 64)}}, "the graph runs at 64x96"),
        (
            "yolov8",
            {"outputs": {"tensors": [{"name": "output0", "holds": ["boxes", "scores"]}]}},
            "126 channels, but 3 classes of family yolov8 need 7",
        ),
        ("yolov8", {"reg_max": 16}, "7 channels, but 3 classes of family yolov8 need 67"),
    ],
)
def test_a_spec_that_contradicts_the_graph_is_refused_with_the_shape(model, told, problem):
    facts = read_facts(getattr(models, model)(3, SIZE))

    with pytest.raises(ConfigError, match=problem) as caught:
        recognise(facts, override=told)

    assert caught.value.exit_code == 2


def test_a_family_that_the_probe_contradicts_is_followed_with_doubt():
    found = recognise(read_facts(models.yolox(3, SIZE)), override={"family": "yolov8"})

    assert found.spec.family == "yolov8"
    assert found.confidence <= 0.3
    assert any("does not answer as family yolov8, but as yolox" in line for line in found.evidence)


def test_a_layout_that_the_probe_contradicts_is_followed_with_doubt():
    found = recognise(read_facts(models.yolov8(3, SIZE)), override={"boxes": "xyxy"})

    assert (found.spec.boxes, found.confidence) == ("xyxy", 0.3)
    assert "told boxes xyxy, though the graph answers as cxcywh" in found.evidence


def test_boxes_and_scores_that_no_family_claims_are_offered_a_spec_to_paste():
    facts = read_facts(models.ssd(2, SIZE, anchors=1))

    with pytest.raises(UnrecognisedError, match="unknown layout") as caught:
        recognise(facts)

    assert (
        "`{family: generic, outputs: {boxes: boxes, scores: scores}, boxes: " in caught.value.remedy
    )
    told = {"outputs": PAIR | {"boxes": "boxes", "scores": "scores"}, "boxes": "yxyx"}
    assert generic(facts, **told, normalized=True).spec.normalized
