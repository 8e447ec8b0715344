"""Readings of hand-made facts: tails that no exporter of the test models writes."""

from __future__ import annotations

import numpy as np
import pytest

from edgecv_cli.core.errors import UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.heads import head_of
from edgecv_cli.detector.recognise import recognise
from edgecv_cli.graph.facts import GraphFacts, TailProbe

SIZE = (64, 96)
STRIDES = (8, 16, 32)
IMAGE = TensorSpec("image", (1, 3, *SIZE), "float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cells(strides=STRIDES):
    rows = [
        ((x + 0.5) * s, (y + 0.5) * s, s)
        for s in strides
        for y in range(SIZE[0] // s)
        for x in range(SIZE[1] // s)
    ]
    return np.array(rows).T


def facts_of(outputs, heads, tail=True, **changes):
    """Facts of a tail: name -> function of {head: array} -> [1, C, N] array."""
    heads = {name: tuple(shape) for name, shape in heads.items()}

    def run(values):
        return {name: function(values) for name, function in outputs.items()}

    def at(level):
        return {name: np.full(shape, float(level)) for name, shape in heads.items()}

    rest = run(at(0))
    touched = {}
    for index, name in enumerate(heads):
        noise = np.random.default_rng(index).normal(0, 1, heads[name])
        moved = run({**at(0), name: noise})
        touched[name] = {key: moved[key] != value for key, value in rest.items()}
    probe = TailProbe(heads, rest, run(at(8)), run(at(-8)), touched)
    fields = {
        "inputs": (IMAGE,),
        "outputs": tuple(TensorSpec(key, v.shape, "float32") for key, v in rest.items()),
        "input_size": SIZE,
        "opset": 17,
        "precision": "fp32",
        "parameters": 1000,
        "macs": None,
        "op_counts": {"Conv": 3},
        "metadata": {},
        "tail": probe if tail else None,
        "tail_problem": None if tail else "its sizes are open",
        **changes,
    }
    return GraphFacts(**fields)


def flat(values, names, strides=STRIDES):
    """Heads [1, C, h, w], one a stride, as [1, C, N]."""
    return np.concatenate([values[n].reshape(1, values[n].shape[1], -1) for n in names], 2)


def maps(prefix, channels, strides=STRIDES):
    return {f"{prefix}{s}": (1, channels, SIZE[0] // s, SIZE[1] // s) for s in strides}


def decoded(reach, strides=STRIDES, layout="cxcywh", normalized=False):
    """Distances [1, 4, N] in cells to boxes."""
    x, y, step = cells(strides)
    low = np.stack([x - reach[0, 0] * step, y - reach[0, 1] * step])
    high = np.stack([x + reach[0, 2] * step, y + reach[0, 3] * step])
    if normalized:
        unit = np.array(SIZE[::-1])[:, None]
        low, high = low / unit, high / unit
    if layout == "cxcywh":
        return np.concatenate([(low + high) / 2, high - low])[None]
    if layout == "yxyx":
        low, high = low[::-1], high[::-1]
    return np.concatenate([low, high])[None]


def softplus(x):
    return np.log1p(np.exp(x))


def coupled(nc=3, channels_extra=0):
    """One head a scale says boxes and scores."""
    heads = maps("all", 4 + nc + channels_extra)

    def out(values):
        raw = flat(values, heads)
        return np.concatenate([decoded(softplus(raw[:, :4])), sigmoid(raw[:, 4:])], 1)

    return facts_of({"out": out}, heads)


def apart(layout="cxcywh", normalized=False, strides=STRIDES, logits=False, relu=False):
    heads = {**maps("box", 4, strides), **maps("cls", 3, strides)}

    def out(values):
        reach = flat(values, maps("box", 4, strides))
        reach = np.maximum(reach, 0) if relu else softplus(reach)
        scores = flat(values, maps("cls", 3, strides))
        boxes = decoded(reach, strides, layout, normalized)
        return np.concatenate([boxes, scores if logits else sigmoid(scores)], 1)

    return facts_of({"out": out}, heads)


@pytest.mark.parametrize("layout", ["cxcywh", "xyxy", "yxyx"])
@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("strides", [(8, 16, 32), (32, 16, 8), (16, 32), (4, 8, 16, 32)])
def test_box_layout_and_unit_are_seen(layout, normalized, strides):
    spec = recognise(apart(layout, normalized, strides)).spec

    assert (spec.family, spec.boxes, spec.normalized) == ("yolov8", layout, normalized)
    assert spec.strides == strides


def test_boxes_without_extent_at_rest_still_have_a_layout():
    assert recognise(apart(relu=True)).spec.boxes == "cxcywh"
    assert recognise(apart("xyxy", relu=True)).spec.boxes == "xyxy"


def test_scores_without_sigmoid_are_logits():
    found = recognise(apart(logits=True))

    assert (found.spec.family, found.spec.activations) == ("yolov8", "sigmoid")
    assert any("sigmoid still to be applied" in line for line in found.assumed)
    assert found.confidence < recognise(apart()).confidence


def test_one_head_for_boxes_and_scores_leaves_objectness_open():
    with pytest.raises(UnrecognisedError, match="can be read in 2 ways") as caught:
        recognise(coupled())

    assert "`family: yolov8` or `family: yolox`" in caught.value.remedy
    assert "--spec" in caught.value.remedy


@pytest.mark.parametrize(("family", "classes"), [("yolov8", 3), ("yolox", 2)])
def test_an_open_reading_is_decided_by_the_user_or_by_names(family, classes):
    names = str([f"n{index}" for index in range(classes)])
    by_user = recognise(coupled(), override={"family": family})
    facts = coupled()
    by_names = recognise(GraphFacts(**{**vars(facts), "metadata": {"names": names}}))

    assert by_user.spec.family == by_names.spec.family == family
    assert len(by_user.spec.classes) == classes


def raw_yolox(strides=STRIDES, logits=False, objectness=True):
    heads = {**maps("reg", 4, strides), **maps("cls", 3, strides)}
    if objectness:
        heads |= maps("obj", 1, strides)

    def out(values):
        parts = [flat(values, maps("reg", 4, strides))]
        found = [flat(values, maps("obj", 1, strides))] if objectness else []
        found.append(flat(values, maps("cls", 3, strides)))
        parts += found if logits else [sigmoid(part) for part in found]
        return np.concatenate(parts, 1)

    return facts_of({"out": out}, heads)


@pytest.mark.parametrize("strides", [(8, 16, 32), (32, 16, 8)])
def test_raw_levels_are_taken_in_the_order_of_their_heads(strides):
    spec = recognise(raw_yolox(strides)).spec

    assert (spec.family, spec.code, spec.strides) == ("yolox", "grid", strides)


def test_raw_boxes_with_logits_are_told_by_their_heads():
    spec = recognise(raw_yolox(logits=True)).spec

    assert (spec.family, spec.activations) == ("yolox", "sigmoid")


def test_raw_boxes_without_objectness_are_unknown():
    with pytest.raises(UnrecognisedError, match="unknown layout"):
        recognise(raw_yolox(objectness=False))


def test_a_constant_objectness_is_left_out():
    heads = {**maps("box", 4), **maps("cls", 3)}

    def out(values):
        boxes = decoded(softplus(flat(values, maps("box", 4))))
        scores = sigmoid(flat(values, maps("cls", 3)))
        return np.concatenate([boxes, np.ones_like(scores[:, :1]), scores], 1)

    spec = recognise(facts_of({"out": out}, heads)).spec

    assert spec.outputs.tensors[0].holds == ("boxes", "skip", "scores")
    assert len(spec.classes) == 3


def ssd_facts(columns, scores, boxes=None, **changes):
    heads = {"loc": (1, 8, SIZE[0] // 16, SIZE[1] // 16), "conf": (1, 2 * columns, 4, 6)}
    x, y, _ = (np.repeat(part, 2) for part in cells((16,)))
    wide = np.tile([0.15, 0.1], 24)

    def prior(values):
        shift = anchored(values["loc"])[0].T
        centre = np.stack([y / SIZE[0], x / SIZE[1]]) + shift[:2] * 0.03
        half = wide * np.exp(shift[2:] * 0.2)
        return np.concatenate([centre - half, centre + half])[None].swapaxes(1, 2)

    outputs = {
        "b": boxes or prior,
        "s": lambda values: scores(anchored(values["conf"])),
    }
    return facts_of(outputs, heads, **changes)


def anchored(value):
    """A head [1, 2C, h, w] of two anchors a cell as rows [1, h * w * 2, C]."""
    _, channels, height, width = value.shape
    return value.transpose(0, 2, 3, 1).reshape(1, height * width * 2, channels // 2)


def test_ssd_logits_leave_the_activation_open():
    facts = ssd_facts(4, lambda raw: raw)

    with pytest.raises(UnrecognisedError, match="can be read in 2 ways") as caught:
        recognise(facts)

    assert "`activations: sigmoid` or `activations: softmax`" in caught.value.remedy
    assert recognise(facts, override={"activations": "softmax"}).spec.activations == "softmax"


def test_ssd_with_80_sigmoid_scores_has_no_background():
    found = recognise(ssd_facts(80, sigmoid))

    assert found.spec.background is None
    assert any("no background, because there are 80" in line for line in found.assumed)


def test_ssd_boxes_that_do_not_lie_on_a_grid_are_unknown():
    def queries(values):
        return sigmoid(anchored(values["loc"]))

    with pytest.raises(UnrecognisedError, match="unknown layout"):
        recognise(ssd_facts(4, sigmoid, boxes=queries))


def test_raw_ssd_boxes_are_unknown():
    def raw(values):
        return anchored(values["loc"])

    with pytest.raises(UnrecognisedError, match="unknown layout"):
        recognise(ssd_facts(4, sigmoid, boxes=raw))


def without_tail(shapes, **changes):
    outputs = tuple(TensorSpec(name, shape, "float32") for name, shape in shapes.items())
    facts = facts_of({}, {}, tail=False)
    return GraphFacts(**{**vars(facts), "outputs": outputs, **changes})


def test_sizes_that_stay_open_at_a_given_input_size_are_not_asked_for_again():
    with pytest.raises(UnrecognisedError, match="do not fit together") as caught:
        recognise(without_tail({"out": (1, 9, None)}))
    assert "multiples of 32" in caught.value.remedy


def test_an_ssd_finds_from_half_certain_on():
    assert head_of("ssd").defaults.score_threshold == 0.5


def test_without_a_tail_the_reason_is_said():
    with pytest.raises(UnrecognisedError, match="unknown layout; its sizes are open"):
        recognise(without_tail({"out": (1, 7, 126)}))


@pytest.mark.parametrize(
    ("family", "shapes", "classes"),
    [
        ("yolov8", {"out": (1, 7, 126)}, 3),
        ("yolox", {"out": (None, 126, 7)}, 2),
        ("ssd", {"s": (1, 50, 3), "b": (1, 50, 4)}, 3),
    ],
)
def test_without_a_tail_a_told_family_is_read_by_shape(family, shapes, classes):
    found = recognise(without_tail(shapes), override={"family": family})

    assert found.spec.family == family
    assert len(found.spec.classes) == classes
    assert found.confidence <= 0.5
    assert any("as told" in line for line in found.evidence)


@pytest.mark.parametrize("family", ["yolov8", "yolox", "ssd"])
def test_a_told_family_whose_shapes_are_not_there_is_refused(family):
    with pytest.raises(UnrecognisedError, match=f"of family {family}"):
        recognise(without_tail({"out": (1, 7, 99)}), override={"family": family})


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ((TensorSpec("x", (1, 64, 1, 64), "float32"),), "none is an image"),
        ((TensorSpec("x", (1, 3, 64, 64), "int8"),), "must be float32, float16 or uint8"),
        ((TensorSpec("x", (1, 100), "float32"),), "none is an image"),
        ((IMAGE, TensorSpec("other", (1, 3, 64, 64), "float32")), "2 are images"),
        ((), "the inputs are: none"),
    ],
)
def test_inputs_that_are_no_image_are_refused(inputs, words):
    with pytest.raises(UnrecognisedError) as caught:
        recognise(without_tail({"out": (1, 7, 126)}, inputs=inputs))

    assert words in caught.value.problem


def test_nms_inside_is_named():
    facts = without_tail(
        {"b": (1, 100, 4), "s": (1, 100), "n": (1,)}, op_counts={"NonMaxSuppression": 1}
    )

    with pytest.raises(UnrecognisedError, match="NonMaxSuppression"):
        recognise(facts)
