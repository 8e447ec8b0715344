"""Which layers a file means to run in integers."""

from __future__ import annotations

import models
import pytest
from onnx import helper
from quantized_nets import quantized_layer

from edgecv_cli.graph.quantized import is_quantized, read_layers


def test_a_float_detector_has_layers_and_none_is_quantized():
    model = models.ssd()
    layers = read_layers(model)

    assert not is_quantized(model)
    assert len(layers) == sum(node.op_type == "Conv" for node in model.graph.node)
    assert not any(layer.quantized for layer in layers)


@pytest.mark.parametrize("kind", ["Conv", "MatMul"])
@pytest.mark.parametrize("bits", [8, 16])
def test_quantized_data_and_weights_make_a_quantized_layer(kind, bits):
    model = quantized_layer(kind, bits=bits)
    (layer,) = read_layers(model)

    assert is_quantized(model)
    assert (layer.name, layer.quantized) == ("layer", True)


def test_weights_alone_make_a_file_quantized_but_not_the_layer():
    model = quantized_layer(data=False)
    (layer,) = read_layers(model)

    assert is_quantized(model)
    assert not layer.quantized


def test_an_integer_operator_is_a_quantized_layer():
    model = quantized_layer()
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    conv.CopyFrom(helper.make_node("ConvInteger", ["q", "w", "z"], ["c"], name="integers"))

    (layer,) = read_layers(model)
    assert (layer.name, layer.quantized) == ("integers", True)


def test_a_layer_goes_by_its_names_and_those_of_what_is_fused_with_it():
    (layer,) = read_layers(quantized_layer(clamped=True))

    assert layer.aliases == {"layer", "c", "between", "r", "q2", "rq", "d2", "y"}


def test_a_layer_without_a_name_goes_by_its_output():
    model = quantized_layer(name="")
    (layer,) = read_layers(model)

    assert layer.name == "c"
    assert "" not in layer.aliases


def test_what_two_nodes_read_is_fused_with_neither():
    model = quantized_layer()
    model.graph.node.append(helper.make_node("Abs", ["c"], ["abs"], name="second"))
    (layer,) = read_layers(model)

    assert layer.aliases == {"layer", "c"}


def test_a_product_of_two_activations_is_no_layer():
    model = quantized_layer("MatMul")
    product = next(node for node in model.graph.node if node.op_type == "MatMul")
    product.input[1] = "d"

    assert read_layers(model) == ()
