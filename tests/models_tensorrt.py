"""Tiny graphs for TensorRT's rules: for each rule one that breaks it, and one that keeps it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

node = helper.make_node
f32 = np.float32
INT8_PAIR = {"s": f32(0.02), "z": np.int8(0)}


def graph(
    nodes: Sequence[onnx.NodeProto],
    stored: dict[str, Any],
    *,
    x: Sequence[int | str] = (1, 3, 16, 16),
    kind: int = T.FLOAT,
    more: Sequence[tuple[str, int, Sequence[int]]] = (),
    outputs: Sequence[tuple[str, int]] = (("y", T.FLOAT),),
    opset: int = 13,
    domain: str = "",
) -> onnx.ModelProto:
    """A model with the input ``x`` and the output ``y``."""
    inputs = [("x", kind, list(x)), *more]
    made = helper.make_graph(
        list(nodes),
        "rule",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(name, of, None) for name, of in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    model = helper.make_model(made, opset_imports=opsets)
    model.ir_version = min(model.ir_version, 10)
    return model


def pair(
    point: Any = INT8_PAIR["z"],
    scale: Any = INT8_PAIR["s"],
    *,
    opset: int = 13,
    q: dict[str, Any] | None = None,
    both: dict[str, Any] | None = None,
) -> onnx.ModelProto:
    """Q and DQ over the input, then a Relu."""
    return graph(
        [
            node("QuantizeLinear", ["x", "s", "z"], ["q"], name="Q", **(q or {}), **(both or {})),
            node("DequantizeLinear", ["q", "s", "z"], ["d"], name="DQ", **(both or {})),
            node("Relu", ["d"], ["y"]),
        ],
        {"s": scale, "z": point},
        opset=opset,
    )


def layer(
    *,
    weights: Any = None,
    scales: Any = None,
    points: Any = None,
    axis: int | None = 0,
    bias: str = "float",
    data: bool = True,
    after: Sequence[onnx.NodeProto] = (),
    more: dict[str, Any] | None = None,
) -> onnx.ModelProto:
    """A quantized convolution of 3 to 4 channels; ``after`` reads ``c`` and makes ``y``."""
    if weights is None:
        weights = np.random.default_rng(0).integers(-100, 100, (4, 3, 3, 3)).astype(np.int8)
    stored = {
        **INT8_PAIR,
        "w": weights,
        "ws": np.full(4, 0.01, f32) if scales is None else scales,
        "wz": np.zeros(4, np.int8) if points is None else points,
        **(more or {}),
    }
    where = {} if axis is None else {"axis": axis}
    nodes = [node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], name="W", **where)]
    if data:
        nodes += [
            node("QuantizeLinear", ["x", "s", "z"], ["q"], name="Q"),
            node("DequantizeLinear", ["q", "s", "z"], ["d"], name="DQ"),
        ]
    operands = ["d" if data else "x", "wd", "b"]
    if bias == "int32":
        stored |= {
            "bi": np.arange(4, dtype=np.int32) * 1000,
            "bs": np.full(4, 0.0002, f32),
            "bz": np.zeros(4, np.int32),
        }
        nodes.append(node("DequantizeLinear", ["bi", "bs", "bz"], ["b"], name="B", axis=0))
    else:
        stored["b"] = np.linspace(-0.5, 0.5, 4, dtype=f32)
    out = "c" if after else "y"
    nodes.append(node("Conv", operands, [out], name="conv", pads=[1] * 4))
    return graph([*nodes, *after], stored)


def residual(*, quantized: bool) -> onnx.ModelProto:
    """A convolution whose output is added to its input, behind the pair or before it."""
    skip = "d" if quantized else "x"
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], name="Q"),
        node("DequantizeLinear", ["q", "s", "z"], ["d"], name="DQ"),
        node("DequantizeLinear", ["w", "s", "z"], ["wd"], name="W"),
        node("Conv", ["d", "wd"], ["c"], name="conv"),
        node("Add", ["c", skip], ["y"], name="add"),
    ]
    eye = np.eye(3, dtype=np.int8)[:, :, None, None] * np.int8(50)
    return graph(nodes, {**INT8_PAIR, "w": eye})


def split_activation(kind: str = "Relu") -> onnx.ModelProto:
    """A pair between a convolution and its activation."""
    return layer(
        after=[
            node("QuantizeLinear", ["c", "s", "z"], ["cq"], name="between"),
            node("DequantizeLinear", ["cq", "s", "z"], ["cd"]),
            node(kind, ["cd"], ["a"], name="act"),
            node("Sigmoid", ["a"], ["y"]),
        ]
    )


def quantized_input(operator: str) -> onnx.ModelProto:
    """QLinearConv and its like, or a float convolution."""
    if operator == "Conv":
        return graph([node("Conv", ["x", "w"], ["y"])], {"w": np.ones((4, 3, 3, 3), f32)})
    return graph(
        [
            node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            node("QLinearConv", ["q", *("s", "z", "w"), *("s", "z") * 2], ["c"], name="bad"),
            node("DequantizeLinear", ["c", "s", "z"], ["y"]),
        ],
        {**INT8_PAIR, "w": np.ones((4, 3, 3, 3), np.int8)},
    )


def topk(count: int, **attributes: Any) -> onnx.ModelProto:
    return graph(
        [node("TopK", ["x", "k"], ["y", "i"], name="top", **attributes)],
        {"k": np.array([count])},
        x=(1, 8400),
    )


def pooled(*, indices: bool = False, **attributes: Any) -> onnx.ModelProto:
    outputs = ["y", "i"] if indices else ["y"]
    return graph([node("MaxPool", ["x"], outputs, kernel_shape=[2, 2], **attributes)], {})


def resized(mode: str, transformation: str, **attributes: Any) -> onnx.ModelProto:
    made = node(
        "Resize",
        ["x", "", "s"],
        ["y"],
        mode=mode,
        coordinate_transformation_mode=transformation,
        **attributes,
    )
    return graph([made], {"s": np.array([1, 1, 2, 2], f32)}, opset=19)


def cut_by_data() -> onnx.ModelProto:
    """A Slice whose axis the picture decides."""
    return graph(
        [
            node("ReduceMax", ["x"], ["m"], keepdims=0),
            node("Cast", ["m"], ["mi"], to=T.INT64),
            node("Reshape", ["mi", "one"], ["axes"]),
            node("Slice", ["x", "low", "high", "axes"], ["y"], name="cut"),
        ],
        {"low": np.array([0]), "high": np.array([8]), "one": np.array([1])},
    )


def cut_by_shape() -> onnx.ModelProto:
    """A Slice whose axis a shape decides: that can be worked out before."""
    return graph(
        [
            node("Shape", ["x"], ["sh"]),
            node("Slice", ["sh", "low", "one", "low"], ["axes"]),
            node("Slice", ["x", "low", "high", "axes"], ["y"]),
        ],
        {"low": np.array([0]), "high": np.array([8]), "one": np.array([1])},
    )


def scattered(reduction: str) -> onnx.ModelProto:
    return graph(
        [node("ScatterND", ["x", "i", "u"], ["y"], reduction=reduction)],
        {"i": np.array([[0]]), "u": np.ones((1, 16), f32)},
        x=(4, 16),
        opset=16,
    )


def sampled(axes: int) -> onnx.ModelProto:
    sides = (2,) * (axes - 2)
    grid = np.zeros((1, *sides, axes - 2), f32)
    return graph(
        [node("GridSample", ["x", "g"], ["y"])],
        {"g": grid},
        x=(1, 3, *(4,) * (axes - 2)),
        opset=20,
    )


def bytes_inside(kind: int) -> onnx.ModelProto:
    return graph(
        [
            node("Cast", ["x"], ["u"], to=kind, name="cast"),
            node("Concat", ["u", "u"], ["v"], axis=1, name="join"),
            node("Cast", ["v"], ["y"], to=T.FLOAT),
        ],
        {},
    )


def plain(**settings: Any) -> onnx.ModelProto:
    return graph([node("Relu", ["x"], ["y"], name="relu")], {}, **settings)


def computed_scale() -> onnx.ModelProto:
    return graph(
        [
            node("ReduceMax", ["x"], ["s"], keepdims=0),
            node("QuantizeLinear", ["x", "s", "z"], ["q"], name="Q"),
            node("DequantizeLinear", ["q", "s", "z"], ["y"], name="DQ"),
        ],
        {"z": np.int8(0)},
    )


Make = Callable[[], onnx.ModelProto]


@dataclass(frozen=True)
class Case:
    """One way to break a rule.

    ``refused``: what TensorRT-RTX 1.7.1 does with it; None: it can't be asked.
    ``device``, ``release``, ``precision``: a target for which it breaks the rule.
    """

    rule: str
    name: str
    breaks: Make
    keeps: Make
    refused: bool | None
    device: str = "gpu"
    release: str | None = "10.1"
    precision: str | None = None
    level: str = "error"
    also: tuple[str, ...] = field(default=())


def _nonzero(point: int, kind: Any = np.int8) -> Make:
    return lambda: pair(kind(point))


CASES = (
    Case("zero-point", "int8 and 3", _nonzero(3), pair, True),
    Case("zero-point", "uint8 and 128", _nonzero(128, np.uint8), pair, True, also=("uint8",)),
    Case("uint8", "activation", _nonzero(0, np.uint8), pair, False),
    Case("uint8", "weights", lambda: layer(
        weights=np.ones((4, 3, 3, 3), np.uint8), points=np.zeros(4, np.uint8)
    ), layer, True),
    Case("scale-positive", "zero", lambda: pair(scale=f32(0)), pair, True),
    Case("scale-positive", "negative", lambda: pair(scale=f32(-1)), pair, True),
    Case("scale-positive", "not a number", lambda: pair(scale=f32("nan")), pair, True),
    Case("zero-point-size", "one for four", lambda: layer(points=np.zeros(1, np.int8)), layer,
         True),
    Case("scale-stored", "of the picture", computed_scale, pair, False),
    Case("axis", "three scales for four channels", lambda: layer(
        scales=np.full(3, 0.01, f32), points=np.zeros(3, np.int8)
    ), layer, True),
    Case("axis", "not written, fits 1", lambda: layer(
        axis=None, scales=np.full(3, 0.01, f32), points=np.zeros(3, np.int8)
    ), layer, False),
    Case("axis", "not written, fits 0", lambda: layer(axis=None), layer, True),
    Case("axis", "activation", lambda: pair(
        np.zeros(3, np.int8), np.full(3, 0.02, f32), both={"axis": 1}
    ), pair, False, level="warning"),
    Case("integer-type", "int16", lambda: pair(np.int16(0), opset=21), pair, True,
         release="11.1"),
    Case("integer-type", "uint16", lambda: pair(np.uint16(0), opset=21), pair, True,
         release="11.1"),
    Case("integer-type", "output_dtype", lambda: pair(opset=21, q={"output_dtype": T.UINT8}),
         lambda: pair(opset=21), True, release="11.1"),
    Case("opset", "8", lambda: plain(opset=8), plain, False),
    Case("opset", "21", lambda: plain(opset=21), plain, False),
    Case("operator", "QLinearConv", lambda: quantized_input("QLinearConv"),
         lambda: quantized_input("Conv"), True),
    Case("operator", "DynamicQuantizeLinear", lambda: graph(
        [node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
         node("DequantizeLinear", ["q", "s", "z"], ["y"])], {},
    ), plain, True, also=("uint8", "scale-stored", "zero-point")),
    Case("operator", "of nobody", lambda: graph(
        [node("Foo", ["x"], ["y"], domain="mine", name="foo")], {}, domain="mine"
    ), plain, True),
    Case("operator", "NonZero", lambda: graph(
        [node("NonZero", ["x"], ["n"]), node("Cast", ["n"], ["y"], to=T.FLOAT)], {}
    ), plain, True, device="rtx", release=None),
    Case("attribute", "TopK of 3841", lambda: topk(3841), lambda: topk(3840), True),
    Case("attribute", "TopK unsorted", lambda: topk(10, sorted=0), lambda: topk(10), False),
    Case("attribute", "MaxPool with indices", lambda: pooled(indices=True), pooled, True),
    Case("attribute", "MaxPool dilated", lambda: pooled(dilations=[2, 2]), pooled, True),
    Case("attribute", "Slice by data", cut_by_data, cut_by_shape, True),
    Case("attribute", "ScatterND that adds", lambda: scattered("add"), lambda: scattered("none"),
         True),
    Case("attribute", "GridSample in 5-D", lambda: sampled(5), lambda: sampled(4), False),
    Case("attribute", "Resize, cubic", lambda: resized("cubic", "half_pixel"),
         lambda: resized("linear", "half_pixel"), False),
    Case("attribute", "Resize, symmetric", lambda: resized("linear", "half_pixel_symmetric"),
         lambda: resized("linear", "asymmetric"), True),
    Case("attribute", "Resize, antialiased", lambda: resized("linear", "half_pixel", antialias=1),
         lambda: resized("linear", "half_pixel"), True),
    Case("uint8-inside", "cast", lambda: bytes_inside(T.UINT8), lambda: bytes_inside(T.INT32),
         True),
    Case("precision-flag", "int8 of a float graph", plain, layer, None, "rtx", None, "int8"),
    Case("precision-flag", "fp16 of a float graph", plain, lambda: bytes_inside(T.FLOAT16), None,
         "gpu", "11.1", "fp16"),
    Case("strongly-typed", "fp16 beside Q/DQ", layer, plain, None, "gpu", "10.3", "fp16"),
    Case("half-quantized", "weights alone", lambda: layer(data=False), layer, False,
         level="warning"),
    Case("residual", "float skip", lambda: residual(quantized=False),
         lambda: residual(quantized=True), False, level="warning"),
    Case("integer-bias", "int32", lambda: layer(bias="int32"), layer, True),
    Case("activation-split", "before Relu", split_activation, layer, False, level="warning"),
    Case("weight-range", "-128", lambda: layer(weights=np.full((4, 3, 3, 3), -128, np.int8)),
         layer, False, level="warning"),
    Case("static-shape", "open batch", lambda: plain(x=("n", 3, 16, 16)), plain, True,
         level="warning"),
    Case("static-shape", "wide, on a DLA core", lambda: plain(x=(1, 3, 1, 9000)), plain, None,
         "dla", "10.3", level="warning"),
    Case("dla-release", "11.1", plain, plain, None, "dla", "11.1"),
)  # fmt: skip


def named(case: Case) -> str:
    """A name for pytest."""
    return f"{case.rule}: {case.name}"
