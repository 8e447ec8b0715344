"""Activation functions are told by their numbers, however they are written, and replaced."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import yolov8
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.core.errors import ModelError, UsageError
from edgecv_cli.graph.activations import activations, counted
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.swap_activations import INTO, read_swaps, swapped

X = np.random.default_rng(1).normal(0, 3, (1, 3, 5, 5)).astype(np.float32)
STORED = {
    "half": 0.5, "one": 1.0, "three": 3.0, "sixth": 0.166667, "six": 6.0, "zero": 0.0,
    "root": math.sqrt(2), "cubed": 3.0, "bend": 0.044715, "width": math.sqrt(2 / math.pi),
    "slope": 0.1,
}  # fmt: skip
# kind -> ways to write it: operator, operands, attributes; the last one makes "a" of "c"
FORMS = {
    "silu": [
        [("Sigmoid", "c"), ("Mul", "c", "0")],
        [("Sigmoid", "c"), ("Mul", "0", "c")],
        [("Neg", "c"), ("Exp", "0"), ("Add", "1", "one"), ("Div", "c", "2")],
    ],
    "hardswish": [
        [("HardSwish", "c")],
        [("HardSigmoid", "c", {"alpha": 1 / 6, "beta": 0.5}), ("Mul", "c", "0")],
        [("Add", "c", "three"), ("Clip", "0", "zero", "six"), ("Mul", "c", "1"),
         ("Div", "2", "six")],
        [("Add", "three", "c"), ("Clip", "0", "zero", "six"), ("Mul", "1", "sixth"),
         ("Mul", "2", "c")],
    ],
    "mish": [[("Softplus", "c"), ("Tanh", "0"), ("Mul", "c", "1")], [("Mish", "c")]],
    "gelu": [
        [("Div", "c", "root"), ("Erf", "0"), ("Add", "1", "one"), ("Mul", "c", "2"),
         ("Mul", "3", "half")],
        [("Pow", "c", "cubed"), ("Mul", "0", "bend"), ("Add", "c", "1"), ("Mul", "2", "width"),
         ("Tanh", "3"), ("Add", "4", "one"), ("Mul", "c", "half"), ("Mul", "6", "5")],
    ],
    "leakyrelu": [
        [("LeakyRelu", "c", {"alpha": 0.2})],
        [("Mul", "c", "slope"), ("Max", "c", "0")],
        [("PRelu", "c", "slope")],
    ],
    "prelu": [[("PRelu", "c", "slopes")]],
    "relu": [[("Relu", "c")], [("Clip", "c", "zero")], [("Max", "c", "zero")]],
    "relu6": [[("Clip", "c", "zero", "six")], [("Relu", "c"), ("Min", "0", "six")]],
    "elu": [[("Elu", "c")]],
}  # fmt: skip
WAYS = [(kind, place) for kind, forms in FORMS.items() for place in range(len(forms))]
PUT_IN = {
    "relu": lambda c: np.maximum(c, 0),
    "relu6": lambda c: np.clip(c, 0, 6),
    "leakyrelu": lambda c: np.where(c < 0, 0.1 * c, c),
    "hardswish": lambda c: c * np.clip(c / 6 + 0.5, 0, 1),
    "silu": lambda c: c / (1 + np.exp(-c)),
}


def node(op, *rest, made, before):
    attributes = rest[-1] if rest and isinstance(rest[-1], dict) else {}
    operands = [f"{before}{one}" if one.isdigit() else one for one in rest if isinstance(one, str)]
    return helper.make_node(op, operands, [made], f"/{made}", **attributes)


def network(forms, opset=18, also=()):
    """Return Conv, activation, Conv, activation, ..., a head and a sigmoid behind it."""
    nodes, at = [], "x"
    for turn, form in enumerate(forms):
        nodes.append(helper.make_node("Conv", [at, "w", "b"], [f"c{turn}"], pads=[1] * 4))
        for place, (op, *rest) in enumerate(form):
            last = place == len(form) - 1
            made = f"a{turn}" if last else f"n{turn}_{place}"
            spelled = [f"c{turn}" if one == "c" else one for one in rest]
            nodes.append(node(op, *spelled, made=made, before=f"n{turn}_"))
        at = f"a{turn}"
    nodes += [
        helper.make_node("Conv", [at, "w", "b"], ["h"], pads=[1] * 4),
        helper.make_node("Sigmoid", ["h"], ["scores"]),
        helper.make_node("Mul", ["h", "scores"], ["y"]),
    ]
    rng = np.random.default_rng(0)
    stored = {name: np.float32(value) for name, value in STORED.items()}
    stored |= {"w": rng.normal(0, 0.5, (3, 3, 3, 3)), "b": rng.normal(0, 1, 3)}
    stored["slopes"] = np.reshape([0.1, 0.2, 0.3], (3, 1, 1))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("y", *also)],
        [numpy_helper.from_array(np.asarray(v, np.float32), name) for name, v in stored.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    made.metadata_props.add(key="edgecv.spec", value="{}")
    return onnx.shape_inference.infer_shapes(made)


def tensors(model, *names):
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    return ort.InferenceSession(copy.SerializeToString()).run(None, {"x": X})


@pytest.mark.parametrize(("kind", "place"), WAYS)
def test_each_way_to_write_a_function_is_told_by_its_numbers(kind, place):
    found = activations(network([FORMS[kind][place]]))
    assert [(one.kind, one.source, one.made) for one in found] == [(kind, "c0", "a0")]
    assert len(found[0].nodes) == len(FORMS[kind][place])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(WAYS), min_size=1, max_size=3), st.data(), st.sampled_from(INTO))
def test_what_is_put_in_makes_what_its_formula_says_and_the_rest_stays(ways, data, into):
    model = network([FORMS[kind][place] for kind, place in ways])
    kind = data.draw(st.sampled_from([kind for kind, _ in ways if kind != into] or ["none"]))
    if kind == "none":
        return
    made, counts = swapped(model, read_swaps(f"{kind}={into}"))
    onnx.checker.check_model(made, full_check=True)
    turns = [turn for turn, (one, _) in enumerate(ways) if one == kind]
    assert counts == {f"{kind}={into}": len(turns)}
    kinds = counted(activations(made))
    assert kind not in kinds
    assert kinds[into] >= len(turns)
    for turn in turns:
        before, after = tensors(made, f"c{turn}", f"a{turn}")
        np.testing.assert_allclose(after, PUT_IN[into](before), rtol=1e-4, atol=1e-5)
    first = turns[0]
    np.testing.assert_array_equal(*(tensors(one, f"c{first}")[0] for one in (model, made)))
    assert {node.name for node in made.graph.node} >= {f"/a{turn}" for turn in range(len(ways))}
    assert made.metadata_props == model.metadata_props
    assert list(made.graph.output) == list(model.graph.output)


def test_nothing_is_left_over():
    model = network([FORMS["gelu"][1]] * 2)
    made, _ = swapped(model, read_swaps("gelu=relu"))
    assert [one.op_type for one in made.graph.node][:4] == ["Conv", "Relu", "Conv", "Relu"]
    read = {name for one in made.graph.node for name in one.input}
    assert {"bend", "width"} & {one.name for one in model.graph.initializer}
    assert not {"bend", "width"} & ({one.name for one in made.graph.initializer} | read)
    assert not {one.name for one in made.graph.value_info} & {"n0_3", "n1_4"}


def test_what_others_read_inside_a_function_stays():
    model = network([FORMS["silu"][0]], also=["n0_0"])
    made, _ = swapped(model, read_swaps("silu=relu"))
    np.testing.assert_array_equal(tensors(made, "n0_0")[0], tensors(model, "n0_0")[0])


def test_a_hard_swish_of_an_older_operator_set_is_written_in_its_operators():
    made, _ = swapped(network([FORMS["silu"][0]], opset=13), read_swaps("swish=h-swish"))
    onnx.checker.check_model(made, full_check=True)
    assert counted(activations(made)) == {"hardswish": 1}


def test_gates_residuals_and_the_decode_tail_are_no_activation_functions():
    gate = [("Sigmoid", "c"), ("Mul", "x", "0")]
    assert activations(network([gate])) == ()
    assert activations(network([[("Add", "c", "x")]])) == ()


def test_several_are_replaced_at_once():
    model = network([FORMS["silu"][1], FORMS["mish"][0]])
    _, counts = swapped(model, read_swaps("silu=relu, mish=leaky_relu"))
    assert counts == {"silu=relu": 1, "mish=leakyrelu": 1}


def test_a_whole_detector_keeps_its_heads_and_outputs():
    model = normalise(yolov8(planted=True))
    kind = next(iter(counted(activations(model))))
    into = "relu" if kind != "relu" else "silu"
    made, counts = swapped(model, read_swaps(f"{kind}={into}"))
    onnx.checker.check_model(made, full_check=True)
    assert counts[f"{kind}={into}"] == counted(activations(model))[kind]
    assert normalise(made).graph.output == model.graph.output


def test_a_function_that_is_not_there_is_answered_by_those_that_are():
    with pytest.raises(ModelError, match="no silu above its decode tail; it has 1 relu") as caught:
        swapped(network([FORMS["relu"][0]]), read_swaps("silu=relu"))
    assert caught.value.remedy == "try --swap relu=relu6"
    with pytest.raises(ModelError, match="no activation function"):
        swapped(network([[("Neg", "c")]]), read_swaps("silu=relu"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("silu", "write it as"),
        ("silu=", "write it as"),
        ("silu=relu=relu6", "write it as"),
        ("softmax=relu", "silu, hardswish, mish"),
        ("silu=mish", "relu, relu6, leakyrelu"),
        ("relu=relu", "name two"),
        ("silu=relu,swish=relu6", "each function once"),
        ("", "write it as"),
    ],
)
def test_what_can_not_be_meant_is_refused_with_what_can(text, said):
    with pytest.raises(UsageError) as caught:
        read_swaps(text)
    assert said in caught.value.remedy
