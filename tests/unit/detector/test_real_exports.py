"""What real exporters write, each by its smallest structural cause."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from test_readings import SIZE, decoded, facts_of, flat, maps, sigmoid

from edgecv_cli.core.errors import UnrecognisedError
from edgecv_cli.detector.recognise import recognise
from edgecv_cli.graph.inspect import read_facts

QUERIES = 30
CLASSES = 6


def counted_rows():
    """A tail that reshapes by a row of numbers whose count shape inference leaves open."""
    rng = np.random.default_rng(0)
    stored = {
        "weight": rng.normal(size=(4, 3, 1, 1)).astype(np.float32),
        "flat": np.array([1, 4, -1]),
        "last": np.array(3),
        "zero": np.float32(0),
        "one": np.float32(1),
        "front": np.array([1, 1]),
    }
    nodes = [
        helper.make_node("Conv", ["images", "weight"], ["head"]),
        helper.make_node("Reshape", ["head", "flat"], ["rows"]),
        helper.make_node("Shape", ["head"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "last"], ["width"]),
        helper.make_node("Cast", ["width"], ["many"], to=TensorProto.FLOAT),
        helper.make_node("Range", ["zero", "many", "one"], ["steps"]),
        helper.make_node("Shape", ["steps"], ["count"]),
        helper.make_node("Concat", ["front", "count"], ["wide"], axis=0),
        helper.make_node("Reshape", ["steps", "wide"], ["places"]),
        helper.make_node("Add", ["rows", "places"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 1, "w"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 4, "places"])],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def test_a_count_that_inference_leaves_open_is_asked_when_the_tail_runs():
    facts = read_facts(counted_rows(), input_size=(1, 24))

    assert facts.tail is not None, facts.tail_problem
    np.testing.assert_array_equal(facts.tail.rest["out"][0, 2], np.arange(24))


@pytest.mark.parametrize("turn", [sigmoid, lambda x: x], ids=["sigmoid", "plain"])
def test_an_angle_behind_the_scores_is_named(turn):
    def output(values):
        scores = sigmoid(flat(values, ["c8", "c16", "c32"]))
        angle = turn(flat(values, ["a8", "a16", "a32"])) * (1.5 if turn is sigmoid else 1)
        boxes = decoded(1 + flat(values, ["b8", "b16", "b32"]) * 0.1)
        return np.concatenate([boxes, scores, angle], 1)

    heads = {**maps("b", 4), **maps("c", CLASSES), **maps("a", 1)}

    with pytest.raises(UnrecognisedError, match="oriented boxes"):
        recognise(facts_of({"o": output}, heads))


def queries(*, references, classes=CLASSES):
    """Boxes and logits of queries, by layers whose biases say nothing."""
    rng = np.random.default_rng(0)
    middle = rng.normal(size=(1, QUERIES, 4)) if references else 0.0
    facts = facts_of(
        {"boxes": lambda v: sigmoid(v["box"] + middle), "logits": lambda v: v["cls"]},
        {"box": (1, QUERIES, 4), "cls": (1, QUERIES, classes)},
    )
    assert facts.tail is not None
    return replace(facts, tail=replace(facts.tail, bias={"cls": np.zeros(classes)}))


def test_boxes_around_no_references_take_detrs_softmax():
    found = recognise(queries(references=False))

    assert (found.spec.family, found.spec.activations) == ("detr", "softmax")
    assert found.spec.background == CLASSES - 1
    assert found.confidence < 0.9
    assert any("no references" in line for line in found.evidence)
    assert any("still to be applied" in line for line in found.assumed)


@pytest.mark.parametrize("classes", [1, 91])
def test_scores_that_leave_no_class_for_no_object_take_a_sigmoid(classes):
    spec = recognise(queries(references=True, classes=classes)).spec

    assert (spec.family, spec.activations, len(spec.classes)) == ("detr", "sigmoid", classes)


def test_references_with_room_for_no_object_stay_open():
    with pytest.raises(UnrecognisedError, match="can be read in 2 ways"):
        recognise(queries(references=True))


def test_a_table_of_centres_and_sides_is_no_table_of_corners():
    rng = np.random.default_rng(1)
    middle = rng.normal(size=(1, QUERIES, 4))
    heads = {"box": (1, QUERIES, 4), "cls": (1, QUERIES, CLASSES)}

    def table(values):
        scores = sigmoid(values["cls"])
        labels = scores.argmax(2, keepdims=True).astype(np.float64)
        parts = [sigmoid(values["box"] + middle), scores.max(2, keepdims=True), labels]
        return np.concatenate(parts, 2)

    facts = facts_of({"o": table}, heads)
    assert facts.tail is not None
    noise = table({name: rng.normal(size=shape) for name, shape in heads.items()})
    spec = recognise(replace(facts, tail=replace(facts.tail, noise={"o": noise}))).spec

    assert spec.family == "end2end"
    assert spec.outputs.tensors[0].holds == ("boxes", "score", "label")
    assert (spec.boxes, spec.normalized, spec.input.size) == ("cxcywh", True, SIZE)
    assert spec.input.resize == "stretch"


def linear_queries(*, integers):
    """Queries by linear layers, quantized as ONNX Runtime does it statically or dynamically."""
    rng = np.random.default_rng(0)
    stored = {"shape": np.array([1, 3, 64]), "by": np.float32(0.02), "at": np.uint8(0)}
    nodes = [
        helper.make_node("Conv", ["images", "first"], ["map"]),
        helper.make_node("Reshape", ["map", "shape"], ["columns"]),
        helper.make_node("Transpose", ["columns"], ["rows"], perm=[0, 2, 1]),
    ]
    stored["first"] = rng.normal(size=(3, 3, 1, 1)).astype(np.float32)

    def quantized(name):
        nodes.append(helper.make_node("QuantizeLinear", [name, "by", "at"], [f"{name}.q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}.q", "by", "at"], [f"{name}.r"]))
        return f"{name}.r"

    def layer(name, width, bias):
        weight = rng.integers(0, 255, (3, width)).astype(np.uint8)
        stored.update({f"{name}.w": weight, f"{name}.b": np.full(width, bias, np.float32)})
        if integers:
            nodes.append(
                helper.make_node("DynamicQuantizeLinear", ["rows"], [f"{name}.{i}" for i in "xst"])
            )
            nodes.append(
                helper.make_node(
                    "MatMulInteger", [f"{name}.x", f"{name}.w", f"{name}.t", "at"], [f"{name}.i"]
                )
            )
            nodes.append(
                helper.make_node("Cast", [f"{name}.i"], [f"{name}.f"], to=TensorProto.FLOAT)
            )
            nodes.append(helper.make_node("Mul", [f"{name}.s", "by"], [f"{name}.u"]))
            nodes.append(helper.make_node("Mul", [f"{name}.f", f"{name}.u"], [f"{name}.p"]))
            nodes.append(helper.make_node("Add", [f"{name}.p", f"{name}.b"], [name]))
            return name
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}.w", "by", "at"], [f"{name}.v"]))
        nodes.append(helper.make_node("MatMul", ["rows", f"{name}.v"], [f"{name}.p"]))
        nodes.append(helper.make_node("Identity", [f"{name}.b"], [f"{name}.n"]))
        nodes.append(helper.make_node("Add", [quantized(f"{name}.p"), f"{name}.n"], [name]))
        return name

    stored["middles"] = rng.normal(size=(1, 64, 4)).astype(np.float32)
    nodes.append(helper.make_node("Add", [layer("boxes", 4, 0.0), "middles"], ["moved"]))
    nodes.append(helper.make_node("Sigmoid", ["moved"], ["places"]))
    logits = layer("scores", CLASSES, -4.6)
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 8, 8])],
        [
            helper.make_tensor_value_info("places", TensorProto.FLOAT, [1, 64, 4]),
            helper.make_tensor_value_info(logits, TensorProto.FLOAT, [1, 64, CLASSES]),
        ],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("integers", [False, True], ids=["QDQ", "MatMulInteger"])
def test_quantized_linear_layers_keep_their_biases(integers):
    found = recognise(read_facts(linear_queries(integers=integers)))

    assert (found.spec.family, found.spec.activations) == ("detr", "sigmoid")
    assert any("-4.60 in the middle, as focal loss leaves them" in line for line in found.evidence)


@pytest.mark.parametrize(
    ("extra", "masks", "what"),
    [(1, False, "oriented boxes"), (6, False, "pose"), (8, True, "segmentation")],
)
def test_selected_rows_that_go_on_are_named(extra, masks, what):
    rng = np.random.default_rng(1)
    middle = rng.normal(size=(1, QUERIES, 4))
    heads = {"box": (1, QUERIES, 4), "cls": (1, QUERIES, CLASSES), "more": (1, QUERIES, extra)}
    if masks:
        heads["masks"] = (1, extra, 8, 12)

    def rows(values):
        scores = sigmoid(values["cls"])
        labels = scores.argmax(2, keepdims=True).astype(np.float64)
        boxes = (sigmoid(values["box"] + middle)) * 40
        best = scores.max(2, keepdims=True)
        return np.concatenate([boxes, best, labels, values["more"] + middle[..., :1]], 2)

    outputs = {"o": rows, **({"p": lambda v: v["masks"]} if masks else {})}
    facts = facts_of(outputs, heads)
    assert facts.tail is not None
    values = {name: rng.normal(size=shape) for name, shape in heads.items()}
    noise = {name: function(values) for name, function in outputs.items()}

    with pytest.raises(UnrecognisedError, match=what):
        recognise(replace(facts, tail=replace(facts.tail, noise=noise)))
