"""YOLOv5-, YOLOv6- and Yolo-FastestV2-shaped test networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from netbuilder import COLOURS, Net
from netparts import (
    STRIDES,
    WIDTH,
    Size,
    Terms,
    cell_count,
    class_terms,
    constant_grid,
    finish,
    flat,
    head,
    image_shape,
    new_net,
)

ANCHORS = {
    8: ((10, 13), (16, 30), (33, 23)),
    16: ((30, 61), (62, 45), (59, 119)),
    32: ((116, 90), (156, 198), (373, 326)),
}
FASTEST = {
    16: ((12.64, 19.39), (37.88, 51.48), (55.71, 138.31)),
    32: ((126.91, 78.23), (131.57, 214.55), (279.92, 258.87)),
}
_OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}


def middle_features(net: Net, x: str) -> tuple[str, list[str]]:
    """Colours, lit cells on each side, and how far beyond one cell a side outweighs its opposite.

    A sigmoid reaches only one cell beyond a centre: cells at the rim of a rectangle must not
    speak for it.
    """
    names = [f"colour{index}" for index in range(COLOURS)]
    terms: Terms = [{name: 1.0} for name in names]
    for side, other in _OPPOSITE.items():
        names += [side, f"rim {side}"]
        terms += [{side: 1.0}, {side: 1.0, other: -1.0, "bias": -1.0}]
    return net.op("Relu", head(net, x, terms, 0.0)), names


def read_features(net: Net, x: str, names: Sequence[str], terms: Terms) -> str:
    """A 1x1 layer over :func:`middle_features`."""
    weight = np.zeros((len(terms), len(names), 1, 1))
    bias = np.zeros(len(terms))
    for row, term in enumerate(terms):
        for key, factor in term.items():
            if key == "bias":
                bias[row] = factor
            else:
                weight[row, names.index(key)] = factor
    return net.conv(x, weight, bias)


def square_terms(anchor: Sequence[float], stride: int) -> Terms:
    """Logits of x, y, w, h of YOLOv5's code, near enough for rectangles of 2 to 4 cells."""
    terms: Terms = [{"left": -1.05, "right": 1.05}, {"up": -1.05, "down": 1.05}]
    for side, pair in zip(anchor, (("left", "right"), ("up", "down")), strict=True):
        two, four = (_logit(math.sqrt(cells * stride / side) / 2) for cells in (2, 4))
        slope = (four - two) / 2
        terms.append({"bias": two - slope, pair[0]: slope, pair[1]: slope})
    return terms


def _logit(chance: float) -> float:
    return math.log(chance / (1 - chance))


def lit_terms(live: bool) -> Terms:
    """A logit that is high in the middle of a lit rectangle."""
    if not live:
        return [{"bias": -14.0}]
    colours = {f"colour{index}": 20.0 for index in range(COLOURS)}
    return [{"bias": -14.0, **colours, **{f"rim {side}": -14.0 for side in _OPPOSITE}}]


def _anchor_head(
    net: Net, x: str, nc: int, stride: int, planted: bool = False, extra: int = 0
) -> str:
    """One layer of 3 x (5 + nc + extra) channels; the third anchor is planted."""
    if not planted:
        return head(net, x, [{} for _ in range(3 * (5 + nc + extra))], 0.1)
    features, names = middle_features(net, x)
    terms: Terms = []
    for index, anchor in enumerate(ANCHORS[stride]):
        live = stride == STRIDES[0] and index == 2
        boxes = square_terms(anchor, stride) if live else [{} for _ in range(4)]
        terms += boxes + lit_terms(live) + class_terms(nc, 0 if live else 1, live)
    return read_features(net, features, names, terms)


def _decode(net: Net, raw: str, nc: int, stride: int, size: Size, shift: float) -> list[str]:
    """Boxes in pixels, objectness and scores [b, 3, h, w, .] from logits [b, 3, h, w, 5 + nc]."""
    h, w = size[0] // stride, size[1] // stride
    y = net.op("Sigmoid", raw)
    ys, xs = np.mgrid[:h, :w] - 0.5 + shift
    grid = net.const(np.stack([xs, ys], -1)[None, None])
    xy = net.op("Add", net.op("Mul", net.slice(y, 0, 2, 4), net.const(2.0)), grid)
    xy = net.op("Mul", xy, net.const(float(stride)))
    twice = net.op("Mul", net.slice(y, 2, 4, 4), net.const(2.0))
    anchors = net.const(np.array(ANCHORS[stride]).reshape(1, 3, 1, 1, 2))
    wh = net.op("Mul", net.op("Mul", twice, twice), anchors)
    return [net.op("Concat", xy, wh, axis=4), net.slice(y, 4, 5, 4), net.slice(y, 5, 5 + nc, 4)]


def yolov5(
    nc: int = 3,
    size: Size = (64, 64),
    opset: int = 17,
    *,
    seed: int = 0,
    planted: bool = False,
    normalized: bool = False,
    multiplied: bool = False,
    channels_last: bool = True,
    cells_first: bool = False,
    descending: bool = False,
    shift: float = 0.0,
    dynamic: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """YOLOv5, decoded: images RGB /255 -> output0 [1,3N,5+nc].

    With `multiplied` the objectness is in the scores: [1,3N,4+nc]. `cells_first` puts the
    anchors of a cell together, `shift` moves the boxes (in cells) to where no export has them.
    """
    net = new_net(seed, opset, "silu")
    maps = net.pyramid("images", WIDTH, 255.0, bgr=False)
    count = (4 if multiplied else 5) + nc
    levels = []
    for x, stride in zip(maps, STRIDES, strict=True):
        shape = net.ints(0, 3, 5 + nc, size[0] // stride, size[1] // stride)
        raw = net.op("Reshape", _anchor_head(net, x, nc, stride, planted), shape)
        raw = net.op("Transpose", raw, perm=[0, 1, 3, 4, 2])
        boxes, found, scores = _decode(net, raw, nc, stride, size, shift)
        parts = [net.op("Mul", found, scores)] if multiplied else [found, scores]
        both = net.op("Concat", boxes, *parts, axis=4)
        if cells_first:
            both = net.op("Transpose", both, perm=[0, 2, 3, 1, 4])
        levels.append(net.op("Reshape", both, net.ints(0, -1, count)))
    both = net.op("Concat", *(levels[::-1] if descending else levels), axis=1)
    if normalized:
        unit = [1 / size[1], 1 / size[0]] * 2 + [1.0] * (count - 4)
        both = net.op("Mul", both, net.const(unit))
    return finish(
        net, net.op("Transpose", both, perm=[0, 2, 1]), count, size, dynamic=dynamic,
        channels_last=channels_last, metadata=metadata or {}, candidates=3 * cell_count(size),
    )  # fmt: skip


def yolov5_relative(nc: int = 3, size: Size = (64, 64), *, masks: bool) -> onnx.ModelProto:
    """YOLOv5 with 32 mask coefficients beside [1,32,h,w] prototypes, or with 32 other numbers."""
    net = new_net(0, 17, "silu")
    maps = net.pyramid("images", WIDTH, 255.0, bgr=False)
    levels = []
    for x, stride in zip(maps, STRIDES, strict=True):
        shape = net.ints(0, 3, 37 + nc, size[0] // stride, size[1] // stride)
        raw = net.op("Reshape", _anchor_head(net, x, nc, stride, extra=32), shape)
        raw = net.op("Transpose", raw, perm=[0, 1, 3, 4, 2])
        parts = [*_decode(net, raw, nc, stride, size, 0.0), net.slice(raw, 5 + nc, 37 + nc, 4)]
        levels.append(net.op("Reshape", net.op("Concat", *parts, axis=4), net.ints(0, -1, 37 + nc)))
    net.op("Concat", *levels, axis=1, out="output0")
    outputs = {"output0": [1, 3 * cell_count(size), 37 + nc]}
    if masks:
        net.op("Identity", head(net, maps[0], [{} for _ in range(32)], 0.1), out="output1")
        outputs["output1"] = [1, 32, size[0] // 8, size[1] // 8]
    return net.build({"images": image_shape(size, None)}, outputs, {})


def unknown() -> onnx.ModelProto:
    """A detector that nobody reads: candidates of three anchors a cell, far from their cells."""
    return yolov5(shift=0.3)


def yolov5_raw(
    nc: int = 3,
    size: Size = (64, 64),
    opset: int = 17,
    *,
    seed: int = 0,
    axes: str = "b,a,h,w,c",
    activated: bool = False,
    planted: bool = False,
    batch: Any = 1,
    strides: Sequence[int] = STRIDES,
) -> onnx.ModelProto:
    """YOLOv5 before decoding: one output a stride, [1,3,h,w,5+nc] or as `axes` has it."""
    net = new_net(seed, opset, "silu")
    maps = net.pyramid("images", WIDTH, 255.0, bgr=False)
    maps = [*maps, net.stage(maps[-1], WIDTH, WIDTH)] if 64 in strides else maps
    outputs: dict[str, list[Any]] = {}
    for x, stride in zip(maps[-len(strides) :], strides, strict=True):
        raw = _anchor_head(net, x, nc, stride, planted)
        raw = net.op("Sigmoid", raw) if activated else raw
        sizes = {"b": 1, "a": 3, "c": 5 + nc, "h": size[0] // stride, "w": size[1] // stride}
        letters = axes.replace(",", "").replace("n", "hw")
        apart = net.op("Reshape", raw, net.ints(0, *(sizes[letter] for letter in "achw")))
        turned = net.op("Transpose", apart, perm=["bachw".index(letter) for letter in letters])
        groups = axes.replace("n", "hw").split(",")
        shape = [math.prod(sizes[letter] for letter in group) for group in groups]
        name = f"out_{stride}"
        net.op("Reshape", turned, net.ints(0, *shape[1:]), out=name)
        outputs[name] = [batch, *shape[1:]]
    return net.build({"images": [batch, 3, *size]}, outputs, {})


def yolov6(
    nc: int = 3, size: Size = (64, 64), opset: int = 17, *, seed: int = 0, score: float = 1.0
) -> onnx.ModelProto:
    """YOLOv6, decoded: outputs [1,N,5+nc] whose fifth column is always 1."""
    net = new_net(seed, opset, "relu")
    maps = net.pyramid("images", WIDTH, 255.0, bgr=False)
    sides = flat(net, [net.op("Relu", head(net, x, [{} for _ in range(4)], 0.1)) for x in maps], 4)
    scores = flat(net, [head(net, x, class_terms(nc, 0, planted=False), 0.1) for x in maps], nc)
    scores = net.op("Sigmoid", scores)
    grid, strides = constant_grid(net, size, 0.5)
    low = net.op("Sub", grid, net.slice(sides, 0, 2, 1))
    high = net.op("Add", grid, net.slice(sides, 2, 4, 1))
    centre = net.op("Mul", net.op("Add", low, high), net.const(0.5))
    boxes = net.op("Concat", centre, net.op("Sub", high, low), axis=1)
    boxes = net.op("Mul", boxes, strides)
    ones = net.const(np.full((1, 1, cell_count(size)), score))
    both = net.op("Concat", boxes, ones, scores, axis=1)
    return finish(net, both, 5 + nc, size, dynamic=None, channels_last=True, metadata={})


def yolo_fastestv2(
    nc: int = 3,
    size: Size = (64, 64),
    opset: int = 17,
    *,
    seed: int = 0,
    batch: bool = True,
    apart: bool = False,
    activated: bool = True,
    channels_last: bool = True,
    planted: bool = False,
) -> onnx.ModelProto:
    """Yolo-FastestV2: images BGR /255 -> strides 16 and 32, each [1,h,w,15+nc], or three outputs.

    Planted rectangles are twice as large: 32 to 64 pixels.
    """
    net = new_net(seed, opset, "relu")
    maps = net.pyramid("images", WIDTH, 255.0, bgr=True)[1:]
    outputs: dict[str, list[Any]] = {}
    for x, stride in zip(maps, FASTEST, strict=True):
        parts = _fastest_parts(net, x, nc, stride, planted)
        if activated:
            kinds = ("Sigmoid", "Sigmoid", "Softmax")
            ones = ({}, {}, {"axis": 1})
            parts = [
                net.op(kind, part, **more)
                for kind, part, more in zip(kinds, parts, ones, strict=True)
            ]
        if not apart:
            parts = [net.op("Concat", *parts, axis=1)]
        counts = (12, 3, nc) if apart else (15 + nc,)
        for part, count in zip(parts, counts, strict=True):
            h, w = size[0] // stride, size[1] // stride
            shape = [h, w, count] if channels_last else [count, h, w]
            perm = [0, 2, 3, 1] if channels_last else [0, 1, 2, 3]
            name = f"out_{len(outputs)}"
            turned = net.op("Transpose", part, perm=perm)
            net.op("Reshape", turned, net.ints(*([0] if batch else []), *shape), out=name)
            outputs[name] = [1, *shape] if batch else shape
    return net.build({"images": image_shape(size, None)}, outputs, {})


def _fastest_parts(net: Net, x: str, nc: int, stride: int, planted: bool) -> list[str]:
    """Box logits [b, 12, h, w], objectness logits [b, 3, h, w] and class logits [b, nc, h, w]."""
    if not planted:
        return [head(net, x, [{} for _ in range(count)], 0.1) for count in (12, 3, nc)]
    live = stride == 16
    features, names = middle_features(net, x)
    boxes: Terms = []
    found: Terms = []
    for index, anchor in enumerate(FASTEST[stride]):
        chosen = live and index == 1
        boxes += square_terms(anchor, stride) if chosen else [{} for _ in range(4)]
        found += lit_terms(chosen)
    classes = class_terms(nc, 0 if live else 1, live)
    return [read_features(net, features, names, terms) for terms in (boxes, found, classes)]
