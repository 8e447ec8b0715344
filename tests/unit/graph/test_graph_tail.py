"""The decode tail: where it begins, and when it can't be probed."""

from __future__ import annotations

import models
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.graph.inspect import read_facts
from edgecv_cli.graph.tail import Constants, find_tail, is_head


def op_types(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in find_tail(model.graph).nodes}


def weights_of(model: onnx.ModelProto, tensor: str) -> np.ndarray:
    node = next(node for node in model.graph.node if tensor in node.output)
    value = Constants(model.graph).value(node.input[1])
    assert value is not None
    return value


def test_heads_are_the_last_layers_of_every_level():
    model = models.yolov8(nc=5)

    heads = find_tail(model.graph).heads

    rows = sorted(weights_of(model, name).shape[0] for name in heads)
    assert rows == [5, 5, 5, 64, 64, 64]


def test_the_expectation_over_bins_is_decoding_not_a_layer():
    with_bins, without = models.yolov8(dfl=True), models.yolov8(dfl=False)

    assert "Conv" in op_types(with_bins)
    assert "Conv" not in op_types(without)
    assert "Softmax" in op_types(with_bins)


@pytest.mark.parametrize(
    ("weights", "is_layer"),
    [
        (np.arange(16, dtype=np.float32).reshape(1, 16, 1, 1), False),
        (np.arange(8, dtype=np.float32).reshape(1, 8, 1, 1) * 2.5, False),
        (np.arange(16, dtype=np.float16).reshape(1, 16, 1, 1), False),
        (np.arange(16, dtype=np.float32).reshape(16, 1, 1, 1), False),
        (np.arange(16, dtype=np.float32)[::-1].reshape(1, 16, 1, 1), True),
        (np.zeros((1, 16, 1, 1), np.float32), True),
        (np.arange(16, dtype=np.float32).reshape(4, 4, 1, 1), True),
        (np.ones((1, 1, 1, 1), np.float32), True),
    ],
)
def test_a_layer_has_weights_other_than_a_ramp(weights, is_layer):
    stored = numpy_helper.from_array(np.ascontiguousarray(weights), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", [], [], [stored])

    assert is_head(node, Constants(graph)) is is_layer


def test_a_product_of_two_activations_is_no_layer():
    node = helper.make_node("MatMul", ["a", "b"], ["y"])

    assert not is_head(node, Constants(helper.make_graph([node], "g", [], [])))


def test_the_probe_answers_by_head():
    facts = read_facts(models.yolox(nc=2, decoded=False))

    probe = facts.tail
    assert probe is not None
    assert facts.tail_problem is None
    assert all(shape[0] == 1 for shape in probe.heads.values())
    np.testing.assert_allclose(probe.rest["output0"][..., 4:], 0.5)
    np.testing.assert_allclose(probe.high["output0"][..., 4:], 1 / (1 + np.exp(-8.0)), rtol=1e-5)
    np.testing.assert_allclose(probe.low["output0"][..., 4:], 1 / (1 + np.exp(8.0)), rtol=1e-4)
    touched = sum(np.asarray(by["output0"], int) for by in probe.touched.values())
    assert touched.max() == 1
    assert touched.mean() > 0.99


def test_shape_nodes_of_the_tail_become_constants():
    model = models.yolov8(dynamic="size")

    assert "Shape" in op_types(model)
    facts = read_facts(model, input_size=(64, 96))
    static = read_facts(models.yolov8(size=(64, 96)))

    assert facts.tail is not None
    assert static.tail is not None
    for name, value in static.tail.rest.items():
        np.testing.assert_allclose(facts.tail.rest[name], value, atol=1e-4)


def test_an_open_size_is_named_with_its_flag():
    facts = read_facts(models.yolov8(dynamic="size"))

    assert facts.tail is None
    assert "--input-size" in facts.tail_problem


def test_a_graph_that_selects_the_best_is_probed():
    probe = read_facts(models.end_to_end()).tail

    assert probe is not None
    (rows,) = probe.noise.values()
    scores = rows[0, :, 4]
    assert (np.diff(scores) <= 0).all()
    assert scores[0] > scores[-1]


def test_a_choice_that_steers_the_graph_is_named():
    model = with_nms()
    empty = helper.make_empty_tensor_value_info("kept")
    branch = helper.make_graph(
        [helper.make_node("Identity", ["selected"], ["kept"])], "branch", [], [empty]
    )
    model.graph.node.extend(
        [
            helper.make_node("ReduceMax", ["selected"], ["last"], keepdims=0),
            helper.make_node("Cast", ["last"], ["any"], to=TensorProto.BOOL),
            helper.make_node("If", ["any"], ["where"], then_branch=branch, else_branch=branch),
        ]
    )
    model.graph.output[0].name = "where"

    facts = read_facts(model)

    assert facts.tail is None
    assert "If" in facts.tail_problem


def test_what_a_threshold_keeps_is_taken_as_everything():
    model = with_nms()
    model.graph.node.append(helper.make_node("NonZero", ["selected"], ["where"]))
    model.graph.output[0].name = "where"

    probe = read_facts(model).tail

    assert probe is not None
    assert probe.rest["where"].shape == (2, 8 * 3)


def linear(bias: np.ndarray) -> onnx.ModelProto:
    """The end of a transformer: MatMul, Add, and a size that scales what comes out."""
    rng = np.random.default_rng(0)
    stored = {
        "w": rng.normal(0, 1, (12, len(bias))).astype(np.float32),
        "b": bias.astype(np.float32),
        "rows": np.asarray([1, -1, 12], np.int64),
    }
    nodes = [
        helper.make_node("Reshape", ["image", "rows"], ["tokens"]),
        helper.make_node("MatMul", ["tokens", "w"], ["product"]),
        helper.make_node("Add", ["b", "product"], ["logits"]),
        helper.make_node("Mul", ["logits", "scale"], ["out"]),
    ]
    values = [("image", [1, 3, 8, 8]), ("scale", [1, len(bias)]), ("out", [1, 16, len(bias)])]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, s) for name, s in values]
    tensors = [numpy_helper.from_array(value, name) for name, value in stored.items()]
    graph = helper.make_graph(nodes, "g", infos[:2], infos[2:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_the_bias_of_a_linear_layer_belongs_to_its_head():
    probe = read_facts(linear(np.array([-4.0, 2.0]))).tail

    assert probe is not None
    assert (probe.rest["out"] == 0).all()
    assert probe.bias["product"].tolist() == [-4, 2]


def test_a_small_input_that_decoding_reads_is_fed_ones_and_doubled():
    probe = read_facts(linear(np.array([1.0, 1.0]))).tail

    assert probe is not None
    assert (probe.high["out"] == 8).all()
    assert list(probe.doubled) == ["scale"]


def with_nms() -> onnx.ModelProto:
    model = models.ssd()
    names = [value.name for value in model.graph.output]
    limit = numpy_helper.from_array(np.asarray([10], np.int64), "limit")
    model.graph.initializer.append(limit)
    model.graph.node.extend(
        [
            helper.make_node("Transpose", [names[1]], ["by_class"], perm=[0, 2, 1]),
            helper.make_node("NonMaxSuppression", [names[0], "by_class", "limit"], ["selected"]),
        ]
    )
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info("selected", TensorProto.INT64, ["n", 3])
    )
    return model


def test_non_maximum_suppression_inside_takes_the_first_few():
    model = with_nms()
    onnx.checker.check_model(model)

    probe = read_facts(model).tail

    assert probe is not None
    assert probe.rest["selected"][:3].tolist() == [[0, 0, 0], [0, 1, 1], [0, 2, 2]]


def test_a_graph_without_layers_is_named():
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 8, 8])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    assert "no layer" in read_facts(model).tail_problem


def test_decoding_that_reads_the_image_is_named():
    model = models.classifier()
    out = model.graph.output[0].name
    mean = helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0)
    add = helper.make_node("Add", [out, "mean"], ["brighter"])
    model.graph.node.extend([mean, add])
    model.graph.output[0].name = "brighter"

    assert "images" in read_facts(model).tail_problem


def test_names_decide_nothing():
    a, b = read_facts(models.yolov8()), read_facts(models.renamed(models.yolov8()))

    assert a.tail is not None
    assert b.tail is not None
    for x, y in zip(a.tail.rest.values(), b.tail.rest.values(), strict=True):
        np.testing.assert_array_equal(x, y)
    assert sorted(a.tail.heads.values()) == sorted(b.tail.heads.values())
