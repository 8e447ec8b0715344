"""What --fix rewrites: fewer findings, and the numbers that were there before."""

import models
import models_tensorrt as trt
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from target_plans import plan_for, seen, session

from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.targets import resolve_target
from edgecv_cli.core.errors import ModelError, UsageError
from edgecv_cli.graph.dequantise import dequantised
from edgecv_cli.graph.io import serialize, with_metadata
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.tensorrt.grids import refit_integers, refit_range
from edgecv_cli.graph.tensorrt.pair_repairs import SPARED
from edgecv_cli.graph.tensorrt.preflight import preflight
from edgecv_cli.graph.tensorrt.repair import repaired
from edgecv_cli.graph.tensorrt.target import target_of
from edgecv_cli.graph.topology import Topology

RTX = target_of("rtx", None)
node = helper.make_node
EXACT = {
    "bias": lambda: trt.layer(bias="int32"),
    "unsigned grid around 128": lambda: trt.pair(np.uint8(128)),
    "unsigned weights around 128": lambda: trt.layer(
        weights=np.random.default_rng(1).integers(1, 256, (4, 3, 3, 3)).astype(np.uint8),
        points=np.full(4, 128, np.uint8),
    ),
    "shifted weights": lambda: trt.layer(
        weights=np.random.default_rng(1).integers(-90, 100, (4, 3, 3, 3)).astype(np.int8),
        points=np.array([0, 5, -5, 20], np.int8),
    ),
    "axis": lambda: trt.layer(
        axis=None, scales=np.full(3, 0.01, np.float32), points=np.zeros(3, np.int8)
    ),
    "pair before Relu": trt.split_activation,
    "unsorted TopK": lambda: trt.topk(10, sorted=0),
    "indices": lambda: trt.pooled(indices=True),
}


def picture(model, seed=0):
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def outputs(model, image):
    runner = session(model, exact=True)
    return runner.run([model.graph.output[0].name], {"x": image})[0]


def ops(model):
    return [entry.op_type for entry in model.graph.node]


@pytest.mark.parametrize("name", sorted(EXACT))
def test_exact_repairs_change_no_number(name):
    model = EXACT[name]()
    fixed, mended = repaired(model, RTX)
    assert mended
    assert all(one.exact for one in mended)
    assert not [one for one in preflight(fixed, RTX) if one.level == "error"]
    image = picture(model)
    ours, theirs = outputs(fixed, image), outputs(model, image)
    if name == "unsorted TopK":  # in which order is nobody's business
        theirs = -np.sort(-theirs)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def two_layers(point, scale=0.02, *, pads=0, **attributes):
    """A layer, Q/DQ around ``point``, and a convolution by 1 with a bias."""
    weights = np.random.default_rng(2).normal(0, 1, (2, 4, 1, 1)).astype(np.float32)
    return trt.layer(
        after=[
            node("QuantizeLinear", ["c", "s2", "u"], ["cq"], name="Q2"),
            node("DequantizeLinear", ["cq", "s2", "u"], ["cd"]),
            node("Conv", ["cd", "wd2", "b2"], ["e"], pads=[pads] * 4, **attributes),
            node("Sigmoid", ["e"], ["y"]),
        ],
        more={
            "u": point,
            "s2": np.float32(scale),
            "wd2": weights / 4,
            "b2": np.array([0.5, -1], np.float32),
        },
    )


def test_a_grid_from_0_on_was_a_clamp_which_comes_back():
    model = two_layers(np.uint8(0), pads=1)
    fixed, mended = repaired(model, RTX)
    assert "Relu" in ops(fixed)
    assert {(one.rule, one.exact) for one in mended} == {("uint8", False)}
    image = picture(model)
    # the grid of 255 steps became one of 127: half a new step for each of 4 summed channels
    far = np.abs(outputs(fixed, image) - outputs(model, image)).max()
    assert 1e-4 < far < 4 * 0.02 * 255 / 127 / 2 + 1e-3


@pytest.mark.parametrize(
    "point", [np.uint8(0), np.uint8(77), np.uint8(255), np.int8(-128), np.int8(40)]
)
def test_a_layer_without_padding_takes_the_zero_point_into_its_bias(point):
    model = two_layers(point, scale=0.013)
    fixed, mended = repaired(model, RTX)
    assert [one.exact for one in mended] == [True]
    assert "its zero point went into the biases" in mended[0].did
    assert {one.level for one in preflight(fixed, RTX)} <= {"info"}
    image = picture(model)
    ours, theirs = outputs(fixed, image), outputs(model, image)
    # what lies between two steps may round either way now: hardly anything does
    assert np.mean(np.abs(ours - theirs) > 1e-5) < 0.01
    # the clamp stands in the graph, not in the grid: it survives that the grid is taken away
    np.testing.assert_allclose(
        outputs(dequantised(fixed), image), outputs(dequantised(model), image), atol=1e-4
    )


@pytest.mark.parametrize(
    "unlike",
    [
        {"pads": 1},
        {"auto_pad": "SAME_UPPER"},
        {"point": np.uint8(0), "scale": np.float32([0.02] * 4)},
    ],
)
def test_a_zero_point_stays_out_of_biases_that_can_not_make_up_for_it(unlike):
    asked = {"point": np.uint8(3), **unlike}
    padded = asked.pop("pads", 0)
    fixed, mended = repaired(two_layers(asked.pop("point"), **asked, pads=padded), RTX)
    assert "Sub" not in ops(fixed)
    assert not any("biases" in one.did for one in mended)


def test_layers_go_back_to_float_where_their_grid_would_be_coarser():
    model = two_layers(np.uint8(0), scale=0.1, pads=1)  # wide enough that nothing saturates
    fixed, mended = repaired(model, RTX, sparing=True)
    assert [one.did for one in mended] == [SPARED]
    assert ops(fixed).count("QuantizeLinear") == 1
    assert {one.level for one in preflight(fixed, RTX)} <= {"info"}
    image = picture(model)
    exact = outputs(fixed, image)
    far = [np.abs(outputs(one, image) - exact).mean() for one in (model, repaired(model, RTX)[0])]
    assert 0 < 1.5 * far[0] < far[1]
    plain = trt.residual(quantized=False)
    assert repaired(plain, RTX, sparing=True) == (plain, ())


def test_a_layer_that_goes_back_to_float_takes_its_weights_along():
    model = trt.layer()
    for one in model.graph.node:
        if one.name in ("Q", "DQ"):
            one.input[2] = "u"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.uint8(9), "u"))
    fixed, _ = repaired(model, RTX, sparing=True)
    assert ops(fixed) == ["Conv"]
    assert not preflight(fixed, RTX)


def test_a_second_reader_that_is_no_layer_keeps_its_own_numbers():
    model = two_layers(np.uint8(9))
    model.graph.node.insert(-1, node("Mul", ["cd", "cd"], ["square"]))
    model.graph.output.add(name="square").type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    fixed, mended = repaired(model, RTX)
    (one,) = mended
    assert "biases" in one.did
    assert not one.exact
    maker = {name: entry for entry in fixed.graph.node for name in entry.output}
    assert maker[maker["square"].input[0]].op_type == "Conv"


def test_pairs_before_another_pair_are_left_out():
    """Two pairs, Concat, and the pair that the layer reads: TensorRT takes that one forward."""
    grid = ["s", "u"]
    model = trt.layer(
        after=[
            node("QuantizeLinear", ["c", *grid], ["cq"]),
            node("DequantizeLinear", ["cq", *grid], ["cd"]),
            node("Relu", ["c"], ["r"]),
            node("QuantizeLinear", ["r", *grid], ["rq"]),
            node("DequantizeLinear", ["rq", *grid], ["rd"]),
            node("Concat", ["cd", "rd"], ["k"], axis=1),
            node("QuantizeLinear", ["k", *grid], ["kq"]),
            node("DequantizeLinear", ["kq", *grid], ["kd"]),
            node("Conv", ["kd", "wd2"], ["y"]),
        ],
        more={"u": np.uint8(100), "wd2": np.ones((2, 8, 1, 1), np.float32)},
    )
    fixed, _ = repaired(model, RTX)
    order = ops(fixed)
    assert order.count("QuantizeLinear") == 2
    assert order[order.index("Concat") :] == [
        *("Concat", "Sub", "QuantizeLinear", "DequantizeLinear", "Conv")
    ]


def test_pairs_that_no_layer_reads_are_left_out():
    """Conv, Q/DQ over uint8, SiLU, Q/DQ, Conv: integers pay at the convolutions alone."""
    model = trt.layer(
        after=[
            node("QuantizeLinear", ["c", "s", "u"], ["cq"]),
            node("DequantizeLinear", ["cq", "s", "u"], ["cd"]),
            node("Sigmoid", ["cd"], ["sig"]),
            node("Mul", ["cd", "sig"], ["silu"]),
            node("QuantizeLinear", ["silu", "s", "u"], ["mq"]),
            node("DequantizeLinear", ["mq", "s", "u"], ["md"]),
            node("Conv", ["md", "wd2"], ["y"]),
        ],
        more={"u": np.uint8(100), "wd2": np.ones((2, 4, 1, 1), np.float32)},
    )
    fixed, mended = repaired(model, RTX)
    assert mended[0].did == "left out: no layer reads it"
    by_output = {entry.output[0]: entry for entry in fixed.graph.node}
    (sigmoid,) = [entry for entry in fixed.graph.node if entry.op_type == "Sigmoid"]
    assert by_output[sigmoid.input[0]].op_type == "Conv"
    assert ops(fixed).count("QuantizeLinear") == 2


def test_a_pair_moves_behind_its_activation():
    fixed, _ = repaired(trt.split_activation("LeakyRelu"), RTX)
    order = ops(fixed)
    assert order[order.index("Conv") :] == [
        *("Conv", "LeakyRelu", "QuantizeLinear", "DequantizeLinear", "Sigmoid")
    ]


def test_a_skip_connection_gets_the_pair_that_it_has():
    fixed, mended = repaired(trt.residual(quantized=False), RTX)
    assert [(one.rule, one.node) for one in mended] == [("residual", "add")]
    (add,) = [entry for entry in fixed.graph.node if entry.op_type == "Add"]
    makers = {name: entry.op_type for entry in fixed.graph.node for name in entry.output}
    assert sorted(makers[name] for name in add.input) == ["Conv", "DequantizeLinear"]


def test_zero_points_take_the_shape_of_the_scales():
    fixed, mended = repaired(trt.layer(points=np.zeros(1, np.int8)), RTX)
    assert [(one.rule, one.exact) for one in mended] == [("zero-point-size", True)]
    assert not preflight(fixed, RTX)


def test_weights_of_minus_128_keep_their_values():
    weights = np.full((4, 3, 3, 3), -128, np.int8)
    weights[0] = 7
    model = trt.layer(weights=weights)
    fixed, mended = repaired(model, RTX)
    assert not preflight(fixed, RTX)
    assert [one.rule for one in mended] == ["weight-range"]
    image = picture(model)
    np.testing.assert_allclose(outputs(fixed, image), outputs(model, image), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: trt.pair(scale=np.float32(-1)),
        trt.computed_scale,
        lambda: trt.quantized_input("QLinearConv"),
        lambda: trt.bytes_inside(onnx.TensorProto.UINT8),
        lambda: trt.topk(3841),
    ],
)
def test_what_cannot_be_known_stays_a_finding(make):
    model = make()
    target = target_of("gpu", "10.3")
    fixed, mended = repaired(model, target)
    assert mended == ()
    assert fixed is model
    assert any(one.level == "error" for one in preflight(fixed, target))


def test_the_operator_set_is_converted_where_that_can_be():
    target = target_of("gpu", "8.6")
    old, new = trt.plain(opset=8), trt.plain(opset=19)
    for model in (old, new):
        fixed, mended = repaired(model, target)
        assert [one.rule for one in mended] == ["opset"]
        assert not preflight(fixed, target)


def test_an_open_batch_becomes_1_and_a_size_is_not_overruled():
    fixed, mended = repaired(trt.plain(x=("n", 3, 16, 16)), RTX)
    assert [one.rule for one in mended] == ["static-shape"]
    assert not preflight(fixed, RTX)
    with pytest.raises(UsageError, match="fixed at 16x16"):
        repaired(trt.plain(), RTX, input_size=(32, 32))


def test_a_damaged_graph_is_refused_in_words():
    model = trt.pair(np.uint8(128))
    model.graph.node[0].attribute.append(helper.make_attribute("axis", 1))
    model.graph.initializer[0].data_type = 99
    with pytest.raises(ModelError, match="can't be rewritten"):
        repaired(model, RTX)


def test_a_sound_model_stays_itself():
    for make in (trt.layer, trt.plain, models.yolov8):
        model = make()
        fixed, mended = repaired(model, RTX)
        assert fixed is model
        assert mended == ()


def quantized():
    topology = Topology.of(normalise(models.yolox(planted=True)))
    shape = [dim.dim_value for dim in topology.model.graph.input[0].type.tensor_type.shape.dim]
    noise = np.random.default_rng(1).random(shape, np.float32)
    plan = plan_for(topology, seen(topology, [noise]), resolve_target("cpu-x86"))
    return apply_normalised(topology, plan)


def test_the_same_model_gives_the_same_bytes_with_its_metadata_and_stays_unchanged():
    model = with_metadata(quantized(), {"edgecv.spec": "kept", "names": "too"})
    before = serialize(model)
    first, _ = repaired(model, RTX)
    second, _ = repaired(model, RTX)
    assert serialize(first) == serialize(second)
    assert serialize(model) == before
    assert {entry.key: entry.value for entry in first.metadata_props}["edgecv.spec"] == "kept"


def test_repairing_twice_repairs_nothing_more():
    once, _ = repaired(quantized(), RTX)
    again, mended = repaired(once, RTX)
    assert mended == ()
    assert again is once
    assert not [one for one in preflight(once, RTX) if one.level == "error"]


@given(st.floats(1e-6, 1e3), st.integers(0, 255), st.sampled_from([(0, 255), (-128, 127)]))
def test_a_refitted_range_covers_what_the_grid_held(scale, point, bounds):
    first, last = bounds
    point = min(max(point + first, first), last)
    found = refit_range(np.float32(scale), np.asarray(point), first, last)
    assert found is not None
    top = 128 if found.exact else 127
    new = float(found.scales)
    old = float(np.float32(scale))
    assert new * top * (1 + 1e-6) >= max(abs(first - point), abs(last - point)) * old * (127 / 128)
    if not found.exact:
        assert new * 127 == pytest.approx(max(abs(first - point), abs(last - point)) * old)


@given(st.data())
def test_refitted_integers_are_within_half_a_step(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    kind = data.draw(st.sampled_from([np.uint8, np.int8, np.int16]))
    bounds = np.iinfo(kind)
    integers = rng.integers(bounds.min, bounds.max, (3, 4), endpoint=True).astype(kind)
    points = rng.integers(bounds.min, bounds.max, 3, endpoint=True).astype(kind)
    scales = rng.uniform(1e-3, 1, 3).astype(np.float32)
    found = refit_integers(integers, scales, points, 0)
    assert found is not None
    assert found.integers is not None
    assert found.integers.min() >= -127
    steps = scales[:, None].astype(np.float64)
    real = (integers.astype(np.float64) - points[:, None]) * steps
    new = found.integers * found.scales[:, None].astype(np.float64)
    assert np.all(np.abs(new - real) <= found.scales[:, None] * 0.5 * (1 + 1e-4) + 1e-9)
    if found.exact:
        np.testing.assert_array_equal(new, real)


def test_ranges_that_are_unknown_are_not_refitted():
    assert refit_range(np.float32(0), np.asarray(0), 0, 255) is None
    weights = np.ones((2, 2), np.int8)
    assert refit_integers(weights, np.array([1, np.nan]), np.zeros(2), 0) is None
    found = refit_integers(np.zeros((2, 2), np.int8), np.zeros(2, np.float32), np.zeros(2), 0)
    assert found is not None
    assert np.all(found.scales > 0)
