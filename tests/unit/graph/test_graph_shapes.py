"""Fixing batch and image size, and what shape inference says."""

from __future__ import annotations

import models
import onnx
import pytest
from onnx import TensorProto, helper

from edgecv_cli.core.errors import ModelError, UsageError
from edgecv_cli.graph.inspect import read_facts
from edgecv_cli.graph.shapes import fixed, graph_inputs, image_input, infer_shapes, value_shape


def input_shape(model: onnx.ModelProto) -> tuple[int | None, ...] | None:
    value = image_input(model)
    assert value is not None
    return value_shape(value)


def test_an_open_batch_becomes_one():
    model = models.yolov8(dynamic="batch")
    before = model.SerializeToString()

    assert input_shape(fixed(model, None)) == (1, 3, 64, 64)
    assert model.SerializeToString() == before


def test_an_open_size_is_what_was_asked_for():
    model = models.yolov8(dynamic="size")

    assert input_shape(fixed(model, None)) == (1, 3, None, None)
    assert input_shape(fixed(model, (96, 64))) == (1, 3, 96, 64)


def test_every_shape_follows_from_the_size():
    concrete = fixed(models.yolov8(dynamic="size", nc=3), (96, 64))

    shapes = infer_shapes(concrete)

    cells = 12 * 8 + 6 * 4 + 3 * 2
    assert shapes["images"] == (1, 3, 96, 64)
    facts = read_facts(models.yolov8(dynamic="size", nc=3), input_size=(96, 64))
    assert facts.tail is not None
    assert facts.tail.rest["output0"].shape == (1, 7, cells)


def test_a_fixed_model_is_left_alone():
    model = models.yolov8(size=(64, 96))

    assert fixed(model, None) is model
    assert fixed(model, (64, 96)) is model


@pytest.mark.parametrize("size", [(96, 64), (64, 64), (96, 96)])
def test_a_size_that_contradicts_the_graph_is_a_usage_error(size):
    with pytest.raises(UsageError, match="fixed at 64x96") as caught:
        fixed(models.yolov8(size=(64, 96)), size)

    assert caught.value.exit_code == 2
    assert "--input-size" in caught.value.remedy


def test_channels_last_images_are_fixed_on_their_own_axes():
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "h", "w", 3])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "h", "w", 3])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    concrete = fixed(model, (32, 48))

    assert input_shape(concrete) == (1, 32, 48, 3)
    assert value_shape(concrete.graph.output[0]) == (1, 32, 48, 3)


def test_initializers_listed_as_inputs_are_not_fed():
    model = models.yolov8()
    tensor = model.graph.initializer[0]
    listed = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
    model.graph.input.insert(0, listed)

    assert [value.name for value in graph_inputs(model)] == ["images"]
    assert image_input(model).name == "images"


def test_what_inference_refuses_is_a_model_error():
    model = models.yolov8()
    model.opset_import[0].domain = "elsewhere"

    with pytest.raises(ModelError, match="opset"):
        infer_shapes(model)


def interface(*inputs) -> onnx.ModelProto:
    """A graph that only has inputs: (name, element type, shape)."""
    values = [helper.make_tensor_value_info(*given) for given in inputs]
    node = helper.make_node("Identity", [inputs[0][0]], ["out"])
    output = helper.make_tensor_value_info("out", inputs[0][1], None)
    return helper.make_model(helper.make_graph([node], "g", values, [output]))


@pytest.mark.parametrize("shape", [[1, 3, 64, 96], ["n", 64, 96, 3], [4, "h", "w", 3]])
def test_of_several_inputs_the_picture_is_the_one_with_three_channels(shape):
    model = interface(
        ("mask", TensorProto.FLOAT, [1, 1, 64, 96]), ("image", TensorProto.UINT8, shape)
    )

    assert image_input(model).name == "image"


def test_what_comes_with_the_picture_gets_its_batch_and_size():
    model = interface(
        ("image", TensorProto.FLOAT, ["n", 3, "h", "w"]),
        ("shape", TensorProto.FLOAT, ["n", 2]),
        ("scale", TensorProto.FLOAT, ["other", 2]),
        ("mask", TensorProto.FLOAT, [1, "h", "w"]),
        ("count", TensorProto.INT64, ["k"]),
    )

    concrete = fixed(model, (64, 96))

    shapes = {value.name: value_shape(value) for value in graph_inputs(concrete)}
    assert shapes == {
        "image": (1, 3, 64, 96), "shape": (1, 2), "scale": (1, 2), "mask": (1, 64, 96),
        "count": (None,),
    }  # fmt: skip


def test_the_cost_of_a_batch_is_told_for_one_image():
    assert read_facts(models.batched(models.yolov8(), 4)).macs == read_facts(models.yolov8()).macs
