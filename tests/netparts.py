"""Parts that the test detectors share: heads, grids, interfaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from netbuilder import COLOURS, Net, head_weights

STRIDES = (8, 16, 32)
WIDTH = 8
Size = tuple[int, int]
Terms = list[dict[str, float]]


def renamed(model: onnx.ModelProto, prefix: str = "") -> onnx.ModelProto:
    """A copy whose tensors, inputs and outputs included, carry meaningless numeric names."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    names: dict[str, str] = {"": ""}

    def new(name: str) -> str:
        return names.setdefault(name, f"{prefix}{1000 + 7 * len(names)}")

    graph = copy.graph
    for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        value.name = new(value.name)
    for node in graph.node:
        node.input[:] = [new(name) for name in node.input]
        node.output[:] = [new(name) for name in node.output]
        node.name = ""
    return copy


def reordered(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with the graph outputs in reverse order."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    outputs = list(copy.graph.output)[::-1]
    del copy.graph.output[:]
    copy.graph.output.extend(outputs)
    return copy


def new_net(seed: int, opset: int, activation: str, depthwise: bool = False) -> Net:
    return Net(seed=seed, opset=opset, activation=activation, depthwise=depthwise)


def image_shape(size: Size, dynamic: str | None) -> list[Any]:
    batch: Any = "batch" if dynamic else 1
    return [batch, 3, "height", "width"] if dynamic == "size" else [batch, 3, *size]


def cell_count(size: Size) -> int:
    return sum(-(-size[0] // s) * -(-size[1] // s) for s in STRIDES)


def class_terms(nc: int, level: int, planted: bool, offset: float = 0.0) -> Terms:
    live = planted and level == 0
    terms: Terms = []
    for index in range(nc):
        lit = live and index < COLOURS
        terms.append({f"colour{index}": 20.0, "bias": -14.0} if lit else {"bias": -7.0 + offset})
    return terms


def head(net: Net, x: str, terms: Terms, noise: float) -> str:
    return net.conv(x, *head_weights(net.rng, WIDTH, terms, noise))


def flat(net: Net, maps: Sequence[str], channels: int) -> str:
    """Maps [b, channels, h, w] as one [b, channels, N]."""
    shape = net.ints(0, channels, -1)
    return net.op("Concat", *(net.op("Reshape", x, shape) for x in maps), axis=2)


def constant_grid(net: Net, size: Size, offset: float) -> tuple[str, str]:
    """Grid [1, 2, N] in cells (x, y) and strides [1, 1, N]."""
    points, strides = [], []
    for stride in STRIDES:
        h, w = -(-size[0] // stride), -(-size[1] // stride)
        ys, xs = np.mgrid[:h, :w].reshape(2, -1) + offset
        points.append(np.stack([xs, ys]))
        strides.append(np.full((1, h * w), stride))
    return net.const(np.concatenate(points, 1)[None]), net.const(np.concatenate(strides, 1)[None])


def dynamic_grid(net: Net, maps: Sequence[str], offset: float) -> tuple[str, str]:
    """The same, worked out from the shapes of the feature maps while running."""
    points, strides = [], []
    for x, stride in zip(maps, STRIDES, strict=True):
        shape = net.op("Shape", x)
        height = net.op("Gather", shape, net.const(2, np.int64), axis=0)
        width = net.op("Gather", shape, net.const(3, np.int64), axis=0)
        area = net.slice(shape, 2, 4, 0)
        zero, one = net.const(0, np.int64), net.const(1, np.int64)
        rows, columns = net.op("Range", zero, height, one), net.op("Range", zero, width, one)
        ys = net.op("Expand", net.op("Reshape", rows, net.ints(-1, 1)), area)
        xs = net.op("Expand", net.op("Reshape", columns, net.ints(1, -1)), area)
        flat = [net.op("Reshape", part, net.ints(1, 1, -1)) for part in (xs, ys)]
        cells = net.op("Cast", net.op("Concat", *flat, axis=1), to=1)
        points.append(net.op("Add", cells, net.const(offset)))
        same = net.op("Mul", net.slice(cells, 0, 1, 1), net.const(0.0))
        strides.append(net.op("Add", same, net.const(float(stride))))
    return net.op("Concat", *points, axis=2), net.op("Concat", *strides, axis=2)


def finish(
    net: Net,
    x: str,
    channels: int,
    size: Size,
    *,
    dynamic: str | None,
    channels_last: bool,
    metadata: Mapping[str, str],
    others: Mapping[str, Sequence[Any]] | None = None,
    candidates: int | None = None,
) -> onnx.ModelProto:
    batch: Any = "batch" if dynamic else 1
    n: Any = "candidates" if dynamic == "size" else candidates or cell_count(size)
    if channels_last:
        net.op("Transpose", x, perm=[0, 2, 1], out="output0")
    else:
        net.op("Identity", x, out="output0")
    shape = [batch, n, channels] if channels_last else [batch, channels, n]
    outputs = {"output0": shape, **(others or {})}
    return net.build({"images": image_shape(size, dynamic)}, outputs, metadata)
