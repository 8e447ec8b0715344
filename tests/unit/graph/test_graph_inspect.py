"""What a graph says of itself, against numbers worked out by hand."""

from __future__ import annotations

import models
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.graph.inspect import read_facts
from edgecv_cli.graph.qdq import Grid, LayerWeights, insert_qdq
from edgecv_cli.graph.topology import Topology


def net(nodes, stored, shape=(1, 3, 16, 20), out=(None,) * 4, dtype=TensorProto.FLOAT, opset=17):
    image = helper.make_tensor_value_info("x", dtype, list(shape))
    result = helper.make_tensor_value_info("y", dtype, list(out))
    tensors = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    graph = helper.make_graph(nodes, "net", [image], [result], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def noise(*shape, dtype=np.float32):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def test_a_plain_convolution():
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], strides=[2, 2], pads=[1] * 4)
    facts = read_facts(net([node], {"w": noise(8, 3, 3, 3), "b": noise(8)}))

    assert facts.outputs[0].shape == (1, 8, 8, 10)
    assert facts.macs == (8 * 8 * 10) * (3 * 3 * 3)
    assert facts.parameters == 8 * 3 * 3 * 3 + 8


def test_a_grouped_and_a_depthwise_convolution():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"], group=3, pads=[1] * 4),
        helper.make_node("Conv", ["h", "v"], ["y"], group=2),
    ]
    facts = read_facts(net(nodes, {"w": noise(6, 1, 3, 3), "v": noise(4, 3, 1, 1)}))

    assert facts.macs == 16 * 20 * 6 * 9 + 16 * 20 * 4 * 3
    assert facts.parameters == 6 * 9 + 4 * 3


def test_a_transposed_convolution():
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])
    facts = read_facts(net([node], {"w": noise(3, 5, 2, 2)}))

    assert facts.outputs[0].shape == (1, 5, 32, 40)
    assert facts.macs == 3 * 16 * 20 * 5 * 4  # each input element is spread over 5 x 2 x 2


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_fully_connected_layer(transposed):
    weight = noise(7, 960) if transposed else noise(960, 7)
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w", "b"], ["y"], transB=transposed),
    ]
    facts = read_facts(net(nodes, {"w": weight, "b": noise(7)}, out=(1, 7)))

    assert facts.macs == 960 * 7
    assert facts.parameters == 960 * 7 + 7


def test_a_matrix_product_over_positions():
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    facts = read_facts(net([node], {"w": noise(20, 5)}))

    assert facts.macs == 3 * 16 * 5 * 20
    assert facts.parameters == 100


def test_decoding_constants_are_no_parameters():
    node = helper.make_node("Conv", ["x", "w"], ["h"])
    scaled = helper.make_node("Mul", ["h", "strides"], ["y"])
    facts = read_facts(net([node, scaled], {"w": noise(4, 3, 1, 1), "strides": noise(4, 16, 20)}))

    assert facts.parameters == 12


def test_weights_used_twice_count_once_and_their_work_twice():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"]),
        helper.make_node("Conv", ["h", "w"], ["y"]),
    ]
    facts = read_facts(net(nodes, {"w": noise(3, 3, 1, 1)}))

    assert facts.parameters == 9
    assert facts.macs == 2 * 16 * 20 * 9


def test_work_is_unknown_where_the_size_is_open():
    open_size = models.yolov8(dynamic="size")

    assert read_facts(open_size).macs is None
    assert read_facts(open_size, input_size=(64, 64)).macs == read_facts(models.yolov8()).macs


def test_interface_opset_and_operators():
    facts = read_facts(models.yolov8(nc=3, opset=13, metadata={"a": "b"}), input_size=None)

    assert [str(spec) for spec in facts.inputs] == ["images float32 [1,3,64,64]"]
    assert [str(spec) for spec in facts.outputs] == ["output0 float32 [1,7,84]"]
    assert facts.input_size == (64, 64)
    assert facts.opset == 13
    assert facts.op_counts["Softmax"] == 1
    assert facts.metadata == {"a": "b"}


def test_an_initializer_listed_as_input_is_not_part_of_the_interface():
    model = models.yolov8()
    tensor = model.graph.initializer[0]
    model.graph.input.append(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
    )

    assert [spec.name for spec in read_facts(model).inputs] == ["images"]


def test_channels_last_images_have_their_size_read_from_the_middle():
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w"], ["y"]),
    ]

    assert read_facts(net(nodes, {"w": noise(4, 3, 1, 1)}, (1, 16, 20, 3))).input_size == (16, 20)


def test_half_precision():
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    model = net([node], {"w": noise(4, 3, 1, 1, dtype=np.float16)}, dtype=TensorProto.FLOAT16)

    facts = read_facts(model)

    assert facts.precision == "fp16"
    assert facts.inputs[0].dtype == "float16"


def two_layers():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"]),
        helper.make_node("Conv", ["h", "v"], ["y"]),
    ]
    return net(nodes, {"w": noise(4, 3, 1, 1), "v": noise(5, 4, 1, 1)})


def integers(rows, columns):
    return LayerWeights(
        np.ones((rows, columns, 1, 1), np.int8), np.full(rows, 0.1, np.float32), 0, None
    )


@pytest.mark.parametrize(("layers", "precision"), [(("h",), "mixed"), (("h", "y"), "int8")])
def test_precision_of_a_quantized_graph(layers, precision):
    weights = {"h": integers(4, 3), "y": integers(5, 4)}
    model = insert_qdq(
        two_layers(),
        nodes=set(layers),
        grids={name: Grid(0.05, 128) for name in ("x", "h", "y")},
        weights={name: weights[name] for name in layers},
        dropped=set(),
    )

    facts = read_facts(model)

    assert facts.precision == precision
    assert facts.parameters == 4 * 3 + 5 * 4
    assert facts.macs == read_facts(two_layers()).macs


def test_precision_of_a_float_graph():
    assert read_facts(two_layers()).precision == "fp32"


def test_integer_operators_are_layers():
    stored = {
        "xs": np.float32(0.1), "xz": np.uint8(0), "w": np.ones((4, 3, 1, 1), np.int8),
        "ws": np.float32(0.1), "wz": np.int8(0), "ys": np.float32(0.1), "yz": np.uint8(0),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["q"]),
        helper.make_node("QLinearConv", ["q", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "ys", "yz"], ["y"]),
    ]
    facts = read_facts(net(nodes, {name: np.asarray(value) for name, value in stored.items()}))

    assert facts.precision == "int8"
    assert facts.macs == 16 * 20 * 4 * 3
    assert facts.parameters == 12


def test_layers_of_the_topology_agree_with_the_count():
    model = two_layers()
    topology = Topology.of(model)

    assert sum(layer.macs for layer in topology.layers.values()) == read_facts(model).macs
