"""Sizes that exporters work out while running, worked out before."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.graph.closing import close_shapes
from edgecv_cli.graph.inspect import read_facts
from edgecv_cli.graph.shapes import infer_shapes


def transformer_end() -> onnx.ModelProto:
    """Rows of a linear layer whose number is worked out from the picture's shape and a Where."""
    rng = np.random.default_rng(0)
    stored = {
        "two": np.array([2], np.int64), "minus": np.array([-1], np.int64),
        "three": np.array([3], np.int64), "size": np.array([1, -1, 3], np.int64),
        "zero": np.array(0, np.int64), "ones": np.ones(3, np.int64),
        "weight": rng.normal(0, 1, (3, 4)).astype(np.float32),
        "bias": np.arange(4, dtype=np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("Shape", ["image"], ["shape"]),
        helper.make_node("Gather", ["shape", "two"], ["height"]),
        helper.make_node("Concat", ["height", "minus", "three"], ["wanted"], axis=0),
        helper.make_node("ConstantOfShape", ["height"], ["filled"]),
        helper.make_node("Equal", ["wanted", "minus"], ["open"]),
        helper.make_node("Where", ["open", "ones", "wanted"], ["grown"]),
        helper.make_node("Slice", ["grown", "one0", "one1", "one0"], ["first"]),
        helper.make_node("Concat", ["first", "minus", "three"], ["rows"], axis=0),
        helper.make_node("Reshape", ["image", "rows"], ["table"]),
        helper.make_node("Identity", ["bias"], ["shared"]),
        helper.make_node("MatMul", ["table", "weight"], ["product"]),
        helper.make_node("Add", ["product", "shared"], ["layer"]),
        helper.make_node("Sigmoid", ["layer"], ["out"]),
    ]
    stored["one0"], stored["one1"] = np.array([0], np.int64), np.array([1], np.int64)
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 6])]
    graph = helper.make_graph(
        nodes, "net", inputs,
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [None, None, 4])],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_sizes_that_integers_in_the_graph_decide_are_worked_out():
    model = transformer_end()

    assert infer_shapes(model).get("layer") != (8, 6, 4)
    assert close_shapes(model)["layer"] == (8, 6, 4)


def test_a_tail_behind_them_is_probed_with_its_shared_bias():
    tail = read_facts(transformer_end()).tail

    assert tail is not None
    assert tail.rest["out"].shape == (8, 6, 4)
    (bias,) = tail.bias.values()
    assert bias.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("count", [2**40, -5])
def test_a_size_that_no_machine_has_stays_open(count):
    model = transformer_end()
    model.graph.initializer.append(numpy_helper.from_array(np.array([count], np.int64), "many"))
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["many"], ["huge"]))
    model.graph.node.append(helper.make_node("Reshape", ["huge", "minus"], ["flat"]))

    shapes = close_shapes(model)

    assert shapes["layer"] == (8, 6, 4)


def test_operators_of_other_domains_stay_unknown():
    model = transformer_end()
    model.graph.node.append(helper.make_node("EfficientNMS_TRT", ["out"], ["n"], domain="TRT"))

    assert "n" not in close_shapes(model)
