"""Quantizing graphs of a few nodes, each with one thing that is easy to get wrong."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.grids import make_grids, tensors_of
from edgecv_cli.compress.quantization.observe import observe
from edgecv_cli.compress.quantization.placement import place
from edgecv_cli.compress.quantization.propose import propose
from edgecv_cli.compress.quantization.recipe import Recipe
from edgecv_cli.compress.quantization.targets import TargetRules
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ConfigError
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.topology import Topology

SIZE = 8
EYE = np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1)


def draw(*shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def conv(data, weight, output, *more):
    return helper.make_node("Conv", [data, weight, *more], [output])


def net(nodes, stored, *outputs):
    """A checked model from x, float [1, 3, 8, 8], to the named tensors."""
    tensors = [numpy_helper.from_array(np.asarray(value), key) for key, value in stored.items()]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    known = {value.name: value for value in (*inferred.value_info, *inferred.output)}
    for value in model.graph.output:
        value.CopyFrom(known[value.name])
    onnx.checker.check_model(model, full_check=True)
    return model


def feeds():
    return [
        np.random.default_rng(seed).uniform(-1, 1, (1, 3, SIZE, SIZE)).astype(np.float32)
        for seed in range(4)
    ]


def open_model(data, *, fuse=True):
    options = onnxruntime.SessionOptions()
    if not fuse:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return lambda feed: session.run(None, {"x": feed})


def planned(model, *, correction=False):
    topology = Topology.of(normalise(model))
    tensors = tensors_of(topology, place(topology, "all").nodes)
    seen = observe(topology, feeds(), tensors=tensors, open_model=open_model, context=Context())
    recipe = Recipe("all", "minmax", correction)
    rules = TargetRules("cpu-x86", 16, here=True)
    return topology, propose(topology, seen, recipe, rules, source="", input_size=None)


def error(model, *, correction=False):
    """Return the largest error over outputs as a share of their largest value; 7-bit weights."""
    topology, plan = planned(model, correction=correction)
    quantized = apply_normalised(topology, plan)
    onnx.checker.check_model(quantized, full_check=True)
    shares = []
    for fuse in (False, True):
        run = open_model(quantized.SerializeToString(), fuse=fuse)
        pairs = zip(open_model(model.SerializeToString())(feeds()[0]), run(feeds()[0]), strict=True)
        shares += [float(np.abs(a - b).max() / np.abs(a).max()) for a, b in pairs]
    return max(shares)


def two_branches(first, second, **stored):
    return net(
        [
            conv("x", "w1", "c1"),
            first,
            conv("x", "w2", "c2"),
            second,
            helper.make_node("Concat", ["a", "b"], ["k"], axis=1),
            conv("k", "w3", "y"),
        ],
        {
            "w1": draw(4, 3, 1, 1, seed=1),
            "w2": draw(4, 3, 1, 1, seed=2),
            "w3": np.tile(EYE, (1, 2, 1, 1)),
            **stored,
        },
        "y",
    )


@pytest.mark.parametrize("upper", [1.2, 8.0])
def test_a_dropped_clamp_keeps_its_range_where_a_wider_tensor_is_concatenated(upper):
    model = two_branches(
        helper.make_node("Clip", ["c1", "zero", "one"], ["a"]),
        helper.make_node("Clip", ["c2", "zero", "upper"], ["b"]),
        zero=np.float32(0),
        one=np.float32(1),
        upper=np.float32(upper),
    )
    _, plan = planned(model)
    assert "a" in plan.dropped
    grid = plan.grids["a"]
    assert grid.scale * (255 - grid.zero_point) == pytest.approx(1.0, rel=1e-3)
    assert error(model) < 0.03


def test_a_dropped_relu_does_not_let_negatives_through_beside_a_leaky_one():
    model = two_branches(
        helper.make_node("Relu", ["c1"], ["a"]),
        helper.make_node("LeakyRelu", ["c2"], ["b"], alpha=0.1),
    )
    _, plan = planned(model)
    assert plan.dropped == ("a",)
    assert plan.grids["a"].zero_point == 0
    assert plan.grids["b"].zero_point > 0


def test_concatenated_clamps_of_like_ranges_still_share_their_grid():
    model = two_branches(
        helper.make_node("Relu", ["c1"], ["a"]),
        helper.make_node("Relu", ["c2"], ["b"]),
        w2=1.1 * draw(4, 3, 1, 1, seed=1),
    )
    topology = Topology.of(normalise(model))
    nodes = place(topology, "all").nodes
    tensors = tensors_of(topology, nodes)
    seen = observe(topology, feeds(), tensors=tensors, open_model=open_model, context=Context())
    for estimator in ("minmax", "percentile"):
        grids = make_grids(topology, nodes, seen, estimator=estimator, percentile=99.9)
        assert grids["a"] == grids["b"] == grids["k"]


def test_a_clamp_right_after_a_concat_is_quantized():
    model = net(
        [
            conv("x", "w1", "c1"),
            conv("x", "w2", "c2"),
            helper.make_node("Concat", ["c1", "c2"], ["joined"], axis=1),
            helper.make_node("Relu", ["joined"], ["k"]),
            conv("k", "w3", "y"),
        ],
        {
            "w1": draw(4, 3, 1, 1, seed=1),
            "w2": draw(4, 3, 1, 1, seed=2),
            "w3": np.tile(EYE, (1, 2, 1, 1)),
        },
        "y",
    )
    assert error(model) < 0.03


@pytest.mark.parametrize("middle", ["w1", "b1", "dq1", "q1"])
def test_tensors_may_be_named_as_what_is_added(middle):
    model = net(
        [
            conv("x", "w", "a", "shift"),
            helper.make_node("LeakyRelu", ["a"], [middle], name="dq2"),
            conv(middle, "eye", "y"),
        ],
        {"w": draw(4, 3, 1, 1), "eye": EYE, "shift": draw(4)},
        "y",
    )
    assert error(model) < 0.03


def test_layers_that_share_weight_and_bias_are_stored_each_on_its_own_input_scale():
    model = net(
        [
            conv("x", "w", "a", "shift"),
            helper.make_node("Mul", ["x", "ten"], ["x10"]),
            helper.make_node("LeakyRelu", ["x10"], ["l"]),
            conv("l", "w", "b", "shift"),
            helper.make_node("Sub", ["b", "a"], ["d"]),
            conv("d", "eye", "y", "shift"),
        ],
        {"w": draw(4, 3, 1, 1), "ten": np.float32(10), "eye": EYE, "shift": draw(4, scale=5)},
        "y",
    )
    assert error(model, correction=True) < 0.03


@pytest.mark.parametrize("shape", [(5,), (1, 5), (1,), ()])
def test_a_gemms_bias_may_be_broadcast(shape):
    model = net(
        [
            conv("x", "w", "c"),
            helper.make_node("Flatten", ["c"], ["flat"]),
            helper.make_node("Gemm", ["flat", "m", "shift"], ["y"], transB=1),
        ],
        {
            "w": draw(4, 3, 1, 1),
            "m": draw(5, 4 * SIZE * SIZE),
            "shift": np.asarray(draw(*shape, scale=9), np.float32),
        },
        "y",
    )
    assert "y" in place(Topology.of(normalise(model)), "all").nodes
    assert error(model) < 0.05


def test_a_stack_of_matrices_stays_float():
    model = net(
        [conv("x", "w", "c"), helper.make_node("MatMul", ["c", "m"], ["p"]), conv("p", "eye", "y")],
        {"w": draw(4, 3, 1, 1), "m": draw(1, 4, SIZE, SIZE), "eye": EYE},
        "y",
    )
    placement = place(Topology.of(normalise(model)), "all")
    assert placement.reasons["p"] == "its weights are not a matrix"
    assert error(model) < 0.03


def test_a_computed_bias_is_kept():
    model = net(
        [
            helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
            conv("mean", "w", "m4"),
            helper.make_node("Reshape", ["m4", "four"], ["computed"]),
            conv("x", "w", "c", "computed"),
            conv("c", "eye", "y"),
        ],
        {"w": draw(4, 3, 1, 1), "four": np.asarray([4], np.int64), "eye": EYE},
        "y",
    )
    placement = place(Topology.of(normalise(model)), "all")
    assert placement.reasons["c"] == "its bias is computed"
    assert error(model, correction=True) < 0.03


def test_a_layer_of_computed_weights_stays_float_and_says_so():
    model = net(
        [
            helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["w", "mean"], ["computed"]),
            conv("x", "computed", "c"),
            conv("c", "eye", "y"),
        ],
        {"w": draw(4, 3, 1, 1), "eye": EYE},
        "y",
    )
    placement = place(Topology.of(normalise(model)), "all")
    assert placement.reasons == {"c": "its weights are computed"}
    assert error(model) < 0.03


def test_a_layer_whose_size_depends_on_the_image_stays_float_and_says_so():
    model = net(
        [
            helper.make_node("NonZero", ["x"], ["places"]),
            helper.make_node("Cast", ["places"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["real", "axes"], ["image"]),
            conv("image", "some", "found"),
            helper.make_node("Relu", ["found"], ["above"]),
            helper.make_node("ReduceMean", ["above"], ["mean"], keepdims=0),
            helper.make_node("Add", ["x", "mean"], ["moved"]),
            conv("moved", "w", "c"),
            conv("c", "eye", "y"),
        ],
        {
            "axes": np.asarray([0, 2], np.int64),
            "some": np.full((2, 4, 1, 1), 0.01, np.float32),
            "w": draw(4, 3, 1, 1),
            "eye": EYE,
        },
        "y",
    )
    placement = place(Topology.of(normalise(model)), "all")
    assert placement.reasons == {"found": "its size depends on what the image shows"}
    assert "above" not in placement.nodes
    assert error(model) < 0.03


def test_channels_of_denormal_weights_become_zeros():
    weights = draw(4, 3, 1, 1)
    weights[0], weights[1] = 1e-40, 1e-44
    model = net(
        [conv("x", "w", "c", "zeros"), conv("c", "eye", "y")],
        {"w": weights, "zeros": np.zeros(4, np.float32), "eye": EYE},
        "y",
    )
    assert error(model) < 0.03


def test_an_output_that_is_read_further_keeps_its_name_and_value():
    model = net(
        [
            conv("x", "w", "c"),
            helper.make_node("Relu", ["c"], ["r"]),
            conv("r", "eye", "y"),
        ],
        {"w": draw(4, 3, 1, 1), "eye": EYE},
        "r",
        "y",
    )
    assert error(model) < 0.03


@pytest.mark.parametrize(
    "change",
    [{"dropped": ("nothing",)}, {"dropped": ("c",)}, {"bias_shift": (1.0, 2.0)}],
    ids=["no such clamp", "not a clamp", "shift of other length"],
)
def test_an_edited_plan_that_does_not_fit_is_refused_in_words(change):
    model = net([conv("x", "w", "c"), conv("c", "eye", "y")],
                {"w": draw(4, 3, 1, 1), "eye": EYE}, "y")  # fmt: skip
    topology, plan = planned(model)
    if "bias_shift" in change:
        layers = {key: layer.model_copy(update=change) for key, layer in plan.layers.items()}
        change = {"layers": layers}
    with pytest.raises(ConfigError):
        apply_normalised(topology, plan.model_copy(update=change))
