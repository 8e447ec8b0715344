"""Networks made fit for integers: the same numbers, in forms that the quantizer takes."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.graph.integer_ready import ready_for_integers

X = np.random.default_rng(1).normal(0, 1, (1, 8, 6, 5)).astype(np.float32)


def model(nodes, stored, outputs):
    tensors = [numpy_helper.from_array(np.asarray(v), name) for name, v in stored.items()]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(made):
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X})


def shuffle(group):
    """ShuffleNet's halves as torch exports them, of channels in groups of ``group``."""
    nodes = [
        helper.make_node("Reshape", ["x", "to3"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[1, 0, 2]),
        helper.make_node("Reshape", ["b", "to5"], ["c"]),
        helper.make_node("Gather", ["c", "zero"], ["first"], axis=0),
        helper.make_node("Gather", ["c", "one"], ["second"], axis=0),
    ]
    stored = {
        "to3": np.asarray([8 // group, group, 30], np.int64),
        "to5": np.asarray([2, -1, 4, 6, 5], np.int64),
        "zero": np.asarray(0, np.int64),
        "one": np.asarray(1, np.int64),
    }
    return model(nodes, stored, ["first", "second"])


def test_shuffled_halves_are_slices():
    before = shuffle(2)
    after = ready_for_integers(before)

    assert [node.op_type for node in after.graph.node] == ["Slice", "Slice"]
    for found, wanted in zip(run(after), run(before), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_channels_that_are_not_evenly_spaced_are_left_alone():
    before = shuffle(4)
    after = ready_for_integers(before)
    assert [node.op_type for node in after.graph.node] == [n.op_type for n in before.graph.node]


def test_a_channel_without_weights_keeps_its_bias_in_integers():
    weights = np.random.default_rng(2).normal(0, 1, (4, 8, 1, 1)).astype(np.float32)
    weights[1] = 0
    weights[2] *= 1e-9
    stored = {"w": weights, "b": np.asarray([0.5, -8.0, 4.0, 0.0], np.float32)}
    before = model([helper.make_node("Conv", ["x", "w", "b"], ["y"])], stored, ["y"])

    after = ready_for_integers(before)

    np.testing.assert_allclose(run(after)[0], run(before)[0], atol=0.01)
    raised = numpy_helper.to_array(after.graph.initializer[0])
    largest = np.abs(raised).reshape(4, -1).max(axis=1)
    np.testing.assert_allclose(largest[1:3], [8e-4, 4e-4], rtol=1e-5)
    np.testing.assert_array_equal(raised[[0, 3]], weights[[0, 3]])
    np.testing.assert_array_equal(numpy_helper.to_array(before.graph.initializer[0]), weights)


def pooled(kind, before="Relu", **settings):
    pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], **settings}
    return model(
        [
            helper.make_node(before, ["x"], ["r"]),
            helper.make_node(kind, ["r"], ["y"], **pads),
        ],
        {},
        ["y"],
    )


def test_pools_are_padded_apart_where_zeros_do_as_well():
    for before in (pooled("MaxPool"), pooled("AveragePool", count_include_pad=1)):
        after = ready_for_integers(before)
        assert [node.op_type for node in after.graph.node][1] == "Pad"
        np.testing.assert_allclose(run(after)[0], run(before)[0], rtol=1e-6)


@pytest.mark.parametrize("pads", [[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 1, 2], [2, 0, 1, 0]])
def test_windows_of_a_maximum_see_their_border_twice_instead_of_nothing(pads):
    before = pooled("MaxPool", before="Neg", pads=pads, kernel_shape=[3, 3])
    after = ready_for_integers(before)

    kinds = {node.op_type for node in after.graph.node}
    assert kinds == {"Neg", "Slice", "Concat", "MaxPool"}
    np.testing.assert_array_equal(run(after)[0], run(before)[0])


def test_pools_that_padding_would_change_are_left_alone():
    for before in (
        pooled("MaxPool", before="Neg", dilations=[2, 2], strides=[1, 1]),
        pooled("AveragePool"),
        pooled("MaxPool", ceil_mode=1),
    ):
        assert len(ready_for_integers(before).graph.node) == 2


@pytest.mark.parametrize(
    ("settings", "made"),
    [
        ({"alpha": 1 / 6, "beta": 0.5}, ["Add", "Clip", "Mul"]),
        ({}, ["Mul", "Add", "Clip", "Mul"]),
    ],
)
def test_hard_sigmoids_are_written_as_what_has_integers(settings, made):
    before = model([helper.make_node("HardSigmoid", ["x"], ["y"], **settings)], {}, ["y"])
    after = ready_for_integers(before)

    assert [node.op_type for node in after.graph.node] == made
    np.testing.assert_allclose(run(after)[0], run(before)[0], atol=1e-6)
