"""Stored integers, grids found at run time, float16: what they compute and what stays float."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest
from models import ssd, yolov8, yolox
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from reference.scalar_integers import dynamic_grid, rounded
from target_plans import seen, session

from edgecv_cli.compress.quantization.apply import apply_normalised, apply_plan
from edgecv_cli.compress.quantization.float_forms import beyond_half, to_fp16
from edgecv_cli.compress.quantization.forms import dynamic_plan, float_plan, weight_only_plan
from edgecv_cli.compress.quantization.plan import GridPlan, QuantizePlan
from edgecv_cli.compress.quantization.targets import resolve_target
from edgecv_cli.core.errors import ConfigError, UsageError
from edgecv_cli.graph.inspect import opset_of
from edgecv_cli.graph.io import content_digest, serialize
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.topology import Topology

BUILDERS = {"yolov8": yolov8, "yolox": yolox, "ssd": ssd}
GENERIC = resolve_target("generic")
REST = {"source": "", "input_size": None}


def net(nodes, stored, *outputs, shape=(1, 3, 8, 8)):
    tensors = [numpy_helper.from_array(np.asarray(value), key) for key, value in stored.items()]
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        tensors,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    known = {value.name: value for value in (*inferred.value_info, *inferred.output)}
    for value in model.graph.output:
        value.CopyFrom(known[value.name])
    onnx.checker.check_model(model, full_check=True)
    return model


def draw(*shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def transformer():
    """Patches of an image through one attention head and a Gemm, to scores."""
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "patch"], ["patches"], strides=[2, 2]),
        node("Reshape", ["patches", "rows"], ["flat"]),
        node("Transpose", ["flat"], ["tokens"], perm=[0, 2, 1]),
        node("MatMul", ["tokens", "wq"], ["q"]),
        node("MatMul", ["tokens", "wk"], ["k"]),
        node("MatMul", ["tokens", "wv"], ["v"]),
        node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        node("MatMul", ["q", "kt"], ["logits"]),
        node("Softmax", ["logits"], ["attention"]),
        node("MatMul", ["attention", "v"], ["mixed"]),
        node("Add", ["mixed", "tokens"], ["joined"]),
        node("Reshape", ["joined", "matrix"], ["lines"]),
        node("Gemm", ["lines", "wg", "bg"], ["hidden"], transB=1),
        node("Relu", ["hidden"], ["active"]),
        node("MatMul", ["active", "wo"], ["scores"]),
        node("Sigmoid", ["scores"], ["y"]),
    ]
    stored = {
        "patch": draw(40, 3, 2, 2, seed=1), "rows": np.asarray([1, 40, 16]),
        "wq": draw(40, 40, seed=2, scale=0.1), "wk": draw(40, 40, seed=3, scale=0.1),
        "wv": draw(40, 40, seed=4, scale=0.1), "matrix": np.asarray([16, 40]),
        "wg": draw(32, 40, seed=5, scale=0.1), "bg": draw(32, seed=6),
        "wo": draw(32, 5, seed=7, scale=0.1),
    }  # fmt: skip
    return net(nodes, stored, "y")


def run(model, x=None):
    onnx.checker.check_model(model, full_check=True)
    runner = session(model)
    if x is None:
        x = np.random.default_rng(3).random(runner.get_inputs()[0].shape, np.float32)
    return runner.run(None, {runner.get_inputs()[0].name: x})


def counts(model):
    found: dict[str, int] = {}
    for node in model.graph.node:
        found[node.op_type] = found.get(node.op_type, 0) + 1
    return found


def test_products_with_stored_weights_multiply_integers_and_the_others_do_not():
    topology = Topology.of(normalise(transformer()))

    plan = dynamic_plan(topology, GENERIC, **REST)
    model = apply_normalised(topology, plan)

    found = counts(model)
    assert found["MatMulInteger"] == 5
    assert found["MatMul"] == 2  # between activations: q with k, attention with v
    assert found["DynamicQuantizeLinear"] == 3  # q, k and v read one tensor
    assert "Gemm" not in found
    assert plan.reasons["patches"].startswith("a convolution")
    assert [value.name for value in model.graph.output] == ["y"]
    np.testing.assert_allclose(run(model)[0], run(topology.model)[0], atol=0.03)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_a_dynamic_layer_computes_what_onnx_defines(turned, bias):
    weight, shift, x = draw(6, 4), draw(4, seed=1), draw(3, 6, seed=2)
    held = np.ascontiguousarray(weight.T) if turned else weight
    operands = ["x", "w", "b"] if bias else ["x", "w"]
    layer = helper.make_node("Gemm", operands, ["g"], transB=int(turned))
    stored = {"w": held, **({"b": shift} if bias else {})}
    model = net([layer, helper.make_node("Relu", ["g"], ["y"])], stored, "g", "y", shape=(3, 6))
    topology = Topology(model, {"x": (3, 6), "w": held.shape, "g": (3, 4), "y": (3, 4), "b": (4,)})

    found = run(apply_normalised(topology, dynamic_plan(topology, GENERIC, **REST)), x)

    scale, point = dynamic_grid(x)
    near = rounded(x, scale, point, 8, signed=False)
    steps = np.abs(weight).max(axis=0) / 127
    for column, channel in enumerate(weight.T.tolist()):
        for first, second in itertools.pairwise(channel):
            if first * second > 0:  # GENERIC adds two products in 16 bits
                steps[column] = max(steps[column], abs(first + second) / 127)
    exact = near @ (np.rint(weight / steps) * steps) + (shift if bias else 0)
    np.testing.assert_allclose(found[0], exact, atol=1e-4)
    np.testing.assert_allclose(found[1], np.maximum(exact, 0), atol=1e-4)


def test_scaled_products_stay_float():
    layer = helper.make_node("Gemm", ["x", "w"], ["g"], alpha=0.5)
    model = net([layer, helper.make_node("Relu", ["g"], ["y"])], {"w": draw(6, 4)}, "y",
                shape=(3, 6))  # fmt: skip
    topology = Topology(model, {"x": (3, 6), "w": (6, 4), "g": (3, 4), "y": (3, 4)})
    with pytest.raises(UsageError, match="int8-dynamic"):
        dynamic_plan(topology, GENERIC, **REST)


def test_a_model_without_matrix_products_has_no_dynamic_form():
    with pytest.raises(UsageError, match="int8-dynamic"):
        dynamic_plan(Topology.of(normalise(yolov8())), GENERIC, **REST)


def test_a_dynamic_plan_for_a_convolution_is_refused():
    topology = Topology.of(normalise(transformer()))
    plan = dynamic_plan(topology, GENERIC, **REST)
    layers = {**plan.layers, "patches": next(iter(plan.layers.values()))}
    with pytest.raises(ConfigError):
        apply_normalised(topology, plan.model_copy(update={"layers": layers}))


@pytest.mark.parametrize(("bits", "limit"), [(8, 0.02), (4, 0.2)])
def test_stored_integers_shrink_the_weights_and_keep_the_arithmetic(bits, limit):
    topology = Topology.of(normalise(transformer()))

    plan = weight_only_plan(topology, GENERIC, bits=bits, **REST)
    model = apply_normalised(topology, plan)

    assert plan.nodes == ()
    found = counts(model)
    assert "QuantizeLinear" not in found
    assert found["DequantizeLinear"] == len(topology.layers) == 6
    assert opset_of(model) == (21 if bits == 4 else 17)
    assert np.abs(run(model)[0] - run(topology.model)[0]).max() < limit
    whole = len(serialize(topology.model))
    assert len(serialize(model)) < (0.5 if bits == 8 else 0.45) * whole


def test_layers_whose_weights_stay_float_say_why():
    topology = Topology.of(normalise(transformer()))
    plan = weight_only_plan(topology, GENERIC, bits=8, floats={"q": "kept"}, **REST)
    assert "q" not in plan.layers
    assert plan.reasons == {"q": "kept"}


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def topology(request):
    return Topology.of(normalise(BUILDERS[request.param](planted=True)))


def test_float16_halves_the_layers_and_leaves_inputs_outputs_and_tail(topology):
    model = to_fp16(topology)

    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.INT64)
    stored = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    nodes = {node.output[0]: node for node in model.graph.node}
    kinds = {name: [stored.get(tensor) for tensor in node.input] for name, node in nodes.items()}
    for name, layer in topology.layers.items():
        label = topology.nodes[name].name
        (node,) = (node for node in model.graph.node if node.name == label)
        assert node.op_type == layer.op
        assert stored[node.input[1]] == TensorProto.FLOAT16
    for name in topology.tail & set(nodes):
        assert TensorProto.FLOAT16 not in kinds[name]
    for half, whole in zip(run(model), run(topology.model), strict=True):
        np.testing.assert_allclose(half, whole, rtol=0.02, atol=0.01 * np.abs(whole).max())


def test_float16_keeps_names_and_metadata(topology):
    model = to_fp16(topology)
    names = {node.name for node in topology.model.graph.node}
    assert names <= {node.name for node in model.graph.node}
    assert model.metadata_props == topology.model.metadata_props
    assert serialize(model) == serialize(to_fp16(topology))


def test_values_beyond_float16_stay_float32_where_they_were_seen():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["big"]),
        helper.make_node("LeakyRelu", ["big"], ["bent"]),
        helper.make_node("Conv", ["bent", "v"], ["back"]),
        helper.make_node("Sigmoid", ["back"], ["y"]),
    ]
    stored = {"w": np.full((2, 3, 1, 1), 5e4, np.float32),
              "v": draw(2, 2, 1, 1, scale=1e-5)}  # fmt: skip
    topology = Topology.of(normalise(net(nodes, stored, "y")))
    x = np.full((1, 3, 8, 8), 1.0, np.float32)

    kept = beyond_half(topology, seen(topology, [x]))

    assert kept == ("big", "bent", "back")
    whole = run(topology.model, x)[0]
    with np.errstate(all="ignore"):
        (plain,) = ReferenceEvaluator(to_fp16(topology)).run(None, {"x": x})
    assert not np.allclose(plain, whole, atol=0.05)
    np.testing.assert_array_equal(run(to_fp16(topology, kept), x)[0], whole)


def test_stored_numbers_beyond_float16_stay_float32():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Min", ["a", "far"], ["m"]),
        helper.make_node("Add", ["m", "mask"], ["n"]),
        helper.make_node("Conv", ["n", "w2"], ["c"]),
        helper.make_node("Sigmoid", ["c"], ["y"]),
    ]
    mask = np.zeros((1, 2, 8, 8), np.float32)
    mask[..., 0] = -1e9
    stored = {"w": draw(2, 3, 1, 1), "w2": np.full((1, 2, 1, 1), 1e-9, np.float32), "mask": mask,
              "far": np.float32(1e20)}  # fmt: skip
    topology = Topology.of(normalise(net(nodes, stored, "y")))
    held = {t.name: t for t in to_fp16(topology, ["c"]).graph.initializer}
    assert held["mask"].data_type == TensorProto.FLOAT
    assert numpy_helper.to_array(held["mask"]).min() == np.float32(-1e9)


def test_what_a_kept_node_hands_to_the_tail_is_not_rounded_on_the_way():
    """``a`` feeds both a layer in float16 and the tail: the tail reads all its digits."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Conv", ["a", "v"], ["c"]),
        helper.make_node("Sigmoid", ["c"], ["y"]),
        helper.make_node("Mul", ["a", "two"], ["z"]),
    ]
    stored = {"w": draw(2, 3, 1, 1), "v": draw(2, 2, 1, 1, seed=1), "two": np.float32(2)}
    topology = Topology.of(normalise(net(nodes, stored, "y", "z", "a")))

    model = to_fp16(topology, ["a"])

    assert [value.name for value in model.graph.output] == ["y", "z", "a"]
    half, whole = run(model), run(topology.model)
    np.testing.assert_allclose(half[0], whole[0], atol=5e-3)
    np.testing.assert_array_equal(half[1], whole[1])
    np.testing.assert_array_equal(half[2], whole[2])


def test_plans_of_every_form_survive_being_written_and_give_the_same_bytes(tmp_path):
    model = transformer()
    rest = {"source": content_digest(model), "input_size": None}
    topology = Topology.of(normalise(model))
    plans = [
        weight_only_plan(topology, GENERIC, bits=4, **rest),
        dynamic_plan(topology, GENERIC, **rest),
        float_plan("fp16", GENERIC, kept_fp32=["q"], **rest),
        float_plan("fp32", GENERIC, **rest),
    ]
    for plan in plans:
        path = tmp_path / "plan.json"
        path.write_text(plan.dumps())
        again = QuantizePlan.read(path)
        assert again == plan
        assert serialize(apply_plan(model, again)) == serialize(apply_normalised(topology, plan))
    assert serialize(apply_plan(model, plans[-1])) == serialize(topology.model)


def test_a_plan_that_keeps_what_the_model_lacks_is_refused():
    topology = Topology.of(normalise(transformer()))
    plan = float_plan("fp16", GENERIC, kept_fp32=["nothing"], **REST)
    with pytest.raises(ConfigError, match="nothing"):
        apply_normalised(topology, plan)


def test_four_bits_in_an_integer_layer_are_refused():
    topology = Topology.of(normalise(transformer()))
    plan = weight_only_plan(topology, GENERIC, bits=4, **REST)
    wrong = plan.model_copy(
        update={"nodes": ("patches",), "grids": {"x": GridPlan(scale=0.1, zero_point=0)}}
    )
    with pytest.raises(ConfigError, match="4-bit"):
        apply_normalised(topology, wrong)
