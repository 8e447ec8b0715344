"""Baked networks give on bytes what the original gives on prepared pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.bake_input import Baked, Preparation, baked, bytes_as_integers

SIDE = 12
Array = NDArray[Any]
PLAIN = Preparation(False, 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
UNIT = Preparation(True, 255.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
IMAGENET = Preparation(True, 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
preparations = st.builds(
    Preparation,
    st.booleans(),
    st.sampled_from([1.0, 255.0, 128.0]),
    st.one_of(st.just((0.0, 0.0, 0.0)), st.tuples(*[st.floats(-2.0, 130.0)] * 3)),
    st.one_of(st.just((1.0, 1.0, 1.0)), st.tuples(*[st.floats(0.2, 60.0)] * 3)),
)


class Net:
    """A graph written one operator after the other."""

    def __init__(self, seed: int = 0, *, nhwc: bool = False, half: bool = False) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[onnx.TensorProto] = []
        self.kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
        self.shape = [1, SIDE, SIDE, 3] if nhwc else [1, 3, SIDE, SIDE]

    def keep(self, value: Array) -> str:
        name = f"stored{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def op(self, kind: str, *inputs: str | Array, **attributes: Any) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        names = [one if isinstance(one, str) else self.keep(one) for one in inputs]
        self.nodes.append(helper.make_node(kind, names, [name], name=name, **attributes))
        return name

    def weights(self, *shape: int) -> Array:
        kind = np.float16 if self.kind == TensorProto.FLOAT16 else np.float32
        return self.random.normal(size=shape).astype(kind)

    def conv(self, source: str, inputs: int = 3, outputs: int = 6, **more: Any) -> str:
        told = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], **more}
        weight = self.weights(outputs, inputs // told.get("group", 1), *told["kernel_shape"])
        return self.op("Conv", source, weight, self.weights(outputs), **told)

    def model(self, output: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("images", self.kind, self.shape)],
            [helper.make_tensor_value_info(output, self.kind, [None] * 4)],
            self.stored,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(made, full_check=True)
        return made


def run(model: onnx.ModelProto, picture: Array) -> Array:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # as the graph is written: fused integer kernels round in their own way
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    answer: Array = session.run(None, {"images": picture})[0]
    return answer


def pixels(seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (1, 3, SIDE, SIDE), np.uint8)


def prepared(raw: Array, how: Preparation) -> Array:
    """Do by hand what stands before the network; [1, 3, H, W]."""
    ordered = raw[:, ::-1] if how.reversed_colours else raw
    mean, std = (np.reshape(part, (1, 3, 1, 1)) for part in (how.mean, how.std))
    made: Array = (ordered.astype(np.float64) / how.scale - mean) / std
    return made


def check(model: onnx.ModelProto, how: Preparation, tolerance: float = 1e-5, **more: Any) -> Baked:
    """Compare on random pixels and on what is brightest at the border."""
    made = baked(model, "images", how, **more)
    onnx.checker.check_model(made.model, full_check=True)
    kind = made.model.graph.input[0].type.tensor_type
    assert kind.elem_type == TensorProto.UINT8
    nhwc_before, nhwc_after = (
        one.graph.input[0].type.tensor_type.shape.dim[3].dim_value == 3
        for one in (model, made.model)
    )
    half = model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT16
    bright = np.full((1, 3, SIDE, SIDE), 255, np.uint8)
    for raw in (pixels(), bright):
        given_ = prepared(raw, how).astype(np.float16 if half else np.float32)
        before = run(model, np.ascontiguousarray(_turned(given_, nhwc_before)))
        after = run(made.model, np.ascontiguousarray(_turned(raw, nhwc_after)))
        # float32 sums of up to 108 products, of terms that are larger than the sum
        largest = max(float(np.abs(before).max()), _largest_term(how))
        np.testing.assert_allclose(after, before, rtol=0, atol=tolerance * largest)
    return made


def _turned(value: Array, nhwc: bool) -> Array:
    turned: Array = value.transpose(0, 2, 3, 1) if nhwc else value
    return turned


def _largest_term(how: Preparation) -> float:
    return float(np.max((255 / how.scale + np.abs(how.mean)) / np.asarray(how.std)))


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@given(
    preparations,
    st.integers(0, 2**16),
    st.sampled_from([[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1], [2, 0, 1, 3]]),
    st.integers(1, 3),
    st.sampled_from([1, 3]),
)
@settings(max_examples=40, deadline=None)
def test_a_convolution_of_any_kind_gives_the_same(
    how: Preparation, seed: int, pads: list[int], stride: int, group: int
) -> None:
    net = Net(seed)
    made = check(
        net.model(net.conv("images", pads=pads, strides=[stride, stride], group=group)), how
    )
    assert ("Gather" in made.left) == (group == 3 and how.reversed_colours)
    assert "Mul" not in made.left


def test_scale_and_colours_leave_only_a_cast() -> None:
    net = Net()
    made = check(net.model(net.conv("images")), UNIT)
    assert (made.left, made.why) == (("Cast",), ())


def test_the_mean_is_subtracted_where_a_border_is_padded_and_folded_where_none_is() -> None:
    padded, bare = Net(), Net()
    left = check(padded.model(padded.conv("images")), IMAGENET)
    assert left.left == ("Cast", "Sub")
    assert "stand for the mean" in left.why[0]
    assert check(bare.model(bare.conv("images", pads=[0] * 4)), IMAGENET).left == ("Cast",)


def test_same_padding_counts_as_padding() -> None:
    net = Net()
    weight = net.weights(4, 3, 3, 3)
    made = check(net.model(net.op("Conv", "images", weight, auto_pad="SAME_UPPER")), IMAGENET)
    assert made.left == ("Cast", "Sub")


@given(preparations)
@settings(max_examples=10, deadline=None)
def test_a_focus_of_slices_is_gone_through(how: Preparation) -> None:
    net = Net()
    whole = np.asarray([SIDE], np.int64)
    parts = []
    for row, column in ((0, 0), (1, 0), (0, 1), (1, 1)):
        half = net.op("Slice", "images", *_ends(row, whole, 2))
        parts.append(net.op("Slice", half, *_ends(column, whole, 3)))
    made = check(net.model(net.conv(net.op("Concat", *parts, axis=1), inputs=12)), how)
    assert not {"Gather", "Mul"} & set(made.left)


def _ends(start: int, whole: Array, axis: int) -> list[Array]:
    return [np.asarray([start]), whole, np.asarray([axis]), np.asarray([2])]


@given(preparations, st.sampled_from(["BatchNormalization", "Sub", "Add", "Mul", "Div"]))
@settings(max_examples=25, deadline=None)
def test_numbers_per_channel_take_it_in(how: Preparation, kind: str) -> None:
    net = Net()
    if kind == "BatchNormalization":
        spread = np.abs(net.weights(3)) + np.float32(0.5)
        numbers: list[Array] = [net.weights(3), net.weights(3), net.weights(3), spread]
    else:
        numbers = [np.abs(net.weights(1, 3, 1, 1)) + np.float32(0.5)]
    made = check(net.model(net.conv(net.op(kind, "images", *numbers), pads=[0] * 4)), how)
    assert made.left == ("Cast",)


def test_in_graph_subtraction_takes_the_mean_though_the_convolution_pads() -> None:
    net = Net()
    moved = net.op("Sub", "images", np.full((1, 3, 1, 1), 0.25, np.float32))
    assert check(net.model(net.conv(moved)), IMAGENET).left == ("Cast",)


def test_a_pad_of_zeros_lets_scale_through_and_holds_the_mean_back() -> None:
    for how, left in ((UNIT, ("Cast",)), (IMAGENET, ("Cast", "Sub"))):
        net = Net()
        wide = net.op("Pad", "images", np.asarray([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
        assert check(net.model(net.conv(wide, pads=[0] * 4)), how).left == left


def test_pictures_with_channels_last_are_taken_in_either_layout() -> None:
    for how in (UNIT, IMAGENET):
        net = Net(nhwc=True)
        model = net.model(net.conv(net.op("Transpose", "images", perm=[0, 3, 1, 2])))
        assert "Transpose" not in check(model, how).left
        assert check(model, how, layout="nchw").left[1] == "Transpose"
    net = Net()
    assert check(net.model(net.conv("images")), IMAGENET, layout="nhwc").left[:2] == (
        "Cast",
        "Transpose",
    )


def test_what_can_not_be_folded_is_computed_first() -> None:
    net = Net()
    model = net.model(net.conv(net.op("Tanh", "images")))
    made = check(model, IMAGENET, tolerance=1e-4)
    assert made.left == ("Cast", "Gather", "Sub", "Mul")
    assert "Tanh reads the picture" in made.why


def test_two_readers_both_take_it_or_neither() -> None:
    net = Net()
    both = net.op("Add", net.conv("images"), net.conv("images"))
    assert check(net.model(both), UNIT).left == ("Cast",)
    net = Net()
    both = net.op("Add", net.conv("images", outputs=3), "images")
    assert check(net.model(both), UNIT).left == ("Cast", "Gather", "Mul")


def test_a_weight_that_others_read_stays_theirs() -> None:
    net = Net()
    weight = net.keep(net.weights(3, 3, 1, 1))
    first = net.op("Conv", "images", weight, kernel_shape=[1, 1])
    check(net.model(net.op("Conv", first, weight, kernel_shape=[1, 1])), UNIT)


def test_float16_keeps_its_weights() -> None:
    for how, left in ((UNIT, ("Cast", "Mul", "Cast")), (PLAIN, ("Cast",))):
        net = Net(half=True)
        model = net.model(net.conv("images"))
        made = check(model, how, tolerance=2e-3)
        assert made.left == left


def quantized(point: int, scale: float, kind: Any = np.uint8) -> onnx.ModelProto:
    net = Net()
    step: Array = np.asarray(scale, np.float32)
    zero = np.asarray(point, kind)
    grid = net.op("QuantizeLinear", "images", step, zero)
    restored = net.op("DequantizeLinear", grid, step, zero)
    whole = net.random.integers(-127, 128, (6, 3, 3, 3)).astype(np.int8)
    scales = np.full(6, 0.01, np.float32)
    none = np.zeros(6, np.int8)
    weight = net.op("DequantizeLinear", whole, scales, none, axis=0)
    steps = net.random.integers(-4000, 4000, 6).astype(np.int32)
    bias = net.op("DequantizeLinear", steps, scales * step, np.zeros(6, np.int32), axis=0)
    return net.model(net.op("Conv", restored, weight, bias, pads=[1] * 4, kernel_shape=[3, 3]))


def test_bytes_are_the_first_integers_of_a_quantized_network() -> None:
    model = quantized(0, 1 / 255)
    made = check(model, UNIT)
    assert made.left == ()
    assert "QuantizeLinear" not in kinds(made.model)


def test_a_grid_that_is_nearly_that_of_bytes_becomes_theirs() -> None:
    scale = 0.97 / 255
    model = quantized(0, scale)
    made = check(model, UNIT, tolerance=0.3)  # the old grid clipped what is brightest
    assert made.left == ()
    exact = prepared(pixels(), UNIT).astype(np.float32)
    kept = run(_without_first_grid(model), np.ascontiguousarray(exact))
    np.testing.assert_allclose(run(made.model, pixels()), kept, atol=3e-3)


def _without_first_grid(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.node[:2]
    copy.graph.node[-1].input[0] = "images"
    return copy


def test_a_mean_that_is_a_pixel_becomes_the_zero_point() -> None:
    how = Preparation(False, 1.0, (128.0,) * 3, (64.0,) * 3)
    assert check(quantized(128, 1 / 64), how).left == ()
    between = Preparation(False, 1.0, (127.5,) * 3, (64.0,) * 3)
    assert check(quantized(128, 1 / 64), between).left == ("Cast", "Sub")


def test_a_signed_grid_keeps_its_integers() -> None:
    made = check(quantized(-128, 1 / 255, np.int8), UNIT)
    assert made.left == ("Cast",)
    assert "QuantizeLinear" in kinds(made.model)


def test_integer_weights_refuse_a_scale_for_each_channel() -> None:
    made = check(quantized(-128, 1 / 50, np.int8), IMAGENET, tolerance=0.05)
    assert made.left == ("Cast", "Sub", "Mul")


def test_a_model_quantized_after_baking_takes_bytes_as_they_are() -> None:
    net = Net()
    model = quantized(0, 1.0)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    cast = helper.make_node("Cast", ["images"], ["real"], to=TensorProto.FLOAT)
    model.graph.node[0].input[0] = "real"
    model.graph.node.insert(0, cast)
    made = bytes_as_integers(model, "images")
    assert kinds(made)[0] == "DequantizeLinear"
    np.testing.assert_allclose(run(made, pixels()), run(model, pixels()), rtol=1e-5, atol=1e-3)
    plain = net.model(net.conv("images"))
    assert bytes_as_integers(plain, "images") is plain


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.DOUBLE])
def test_an_input_that_takes_no_real_numbers_is_refused(kind: int) -> None:
    net = Net()
    model = net.model(net.conv("images"))
    model.graph.input[0].type.tensor_type.elem_type = kind
    with pytest.raises(ModelError, match="nothing to bake in"):
        baked(model, "images", UNIT)
