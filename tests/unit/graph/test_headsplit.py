"""A network and its decoding, parted: together they are the model that they were."""

from __future__ import annotations

import models
import numpy as np
import onnx
import onnxruntime as ort
import pytest

from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.headsplit import split_at_heads, value_specs
from edgecv_cli.graph.normalise import normalise

X = np.random.default_rng(3).normal(0, 1, (1, 3, 64, 64)).astype(np.float32)


def run(model, feeds):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


@pytest.mark.parametrize("family", ["ssd", "yolov8", "yolox", "fastestdet", "nanodet_plus"])
def test_the_parts_give_what_the_whole_gives(family):
    model = normalise(getattr(models, family)(), input_size=(64, 64))
    feeds = {model.graph.input[0].name: X}

    split = split_at_heads(model)

    onnx.checker.check_model(split.network)
    heads = run(split.network, feeds)
    assert tuple(heads) == split.heads
    found = dict(heads)
    if split.decode is not None:
        onnx.checker.check_model(split.decode)
        found |= run(split.decode, heads)
    for name, value in run(model, feeds).items():
        np.testing.assert_allclose(found[name], value, atol=1e-5)


def test_the_network_ends_in_layers_with_weights():
    split = split_at_heads(normalise(models.yolov8(), input_size=(64, 64)))

    made = {name: node for node in split.network.graph.node for name in node.output}
    assert {made[name].op_type for name in split.heads} == {"Conv"}
    assert all(None not in spec.shape for spec in value_specs(split.network))
    assert not {"Conv", "MatMul"} & {
        node.op_type for node in split.decode.graph.node if len(node.input) < 2
    }


def test_a_graph_without_weights_has_no_heads():
    x = onnx.helper.make_tensor_value_info("x", 1, [1, 3, 8, 8])
    y = onnx.helper.make_tensor_value_info("y", 1, [1, 3, 8, 8])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])

    with pytest.raises(ModelError, match="no layer") as caught:
        split_at_heads(model)
    assert "--decode inside" in caught.value.remedy


def test_decoding_that_reads_the_picture_is_refused():
    model = normalise(models.ssd(), input_size=(64, 64))
    image, output = model.graph.input[0].name, model.graph.output[0]
    model.graph.node.append(onnx.helper.make_node("ReduceMax", [image], ["brightest"], keepdims=0))
    model.graph.node.append(onnx.helper.make_node("Add", [output.name, "brightest"], ["moved"]))
    output.name = "moved"

    with pytest.raises(ModelError, match="head"):
        split_at_heads(model)
