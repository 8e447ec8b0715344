"""NanoDet-, PicoDet-, YOLOv6-lite- and FastestDet-shaped test networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from netbuilder import COLOURS, SIDES, Net
from netparts import WIDTH, Size, Terms, class_terms, head, image_shape, new_net

FOUR = (8, 16, 32, 64)
THREE = (8, 16, 32)
_BLUE_FIRST = ((103.53, 116.28, 123.675), (57.375, 57.12, 58.395))
_RED_FIRST = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _cells(size: Size, stride: int) -> tuple[int, int]:
    return -(-size[0] // stride), -(-size[1] // stride)


def _plain(net: Net, image: str, mean: Sequence[float], std: Sequence[float]) -> str:
    """Undo a normalisation, so that the planted stem reads chroma."""
    shape = (1, 3, 1, 1)
    scaled = net.op("Mul", image, net.const(np.reshape(std, shape)))
    return net.op("Add", scaled, net.const(np.reshape(mean, shape)))


def _maps(net: Net, image: str, scale: float, bgr: bool, strides: Sequence[int]) -> list[str]:
    maps = net.pyramid(image, WIDTH, scale, bgr=bgr)
    for _ in strides[3:]:
        maps.append(net.stage(maps[-1], WIDTH, WIDTH))
    return maps


def _reach(offset: float) -> Terms:
    """Cells from a centre to each side of a lit rectangle; the centre is `offset` into its cell."""
    inner = {"left": offset, "up": offset, "right": 1 - offset, "down": 1 - offset}
    return [{"bias": inner[side], side: 1.0} for side in SIDES]


def _bins(net: Net, x: str, offset: float, bins: int, live: bool) -> str:
    """Logits [b, 4 * bins, h, w] of distances in cells."""
    if not live:
        return head(net, x, [{} for _ in range(4 * bins)], 0.1)
    reach = net.op("Relu", head(net, x, _reach(offset), 0.0))
    # softmax over i of k (i d - i^2 / 2) has its mean near d
    k, i = 3.0, np.arange(bins)
    weight = np.kron(np.eye(4), (k * i)[:, None])
    return net.conv(reach, weight[:, :, None, None], np.tile(-k * i**2 / 2, 4))


def _parts(
    net: Net, x: str, nc: int, level: int, *, offset: float, bins: int, planted: bool, logits: bool
) -> tuple[str, str]:
    """Scores [b, nc, h, w] and distance logits [b, 4 * bins, h, w] of a level."""
    live = planted and level == 0
    if planted:
        raw = head(net, x, class_terms(nc, level, planted), 0.05)
        sides = _bins(net, x, offset, bins, live)
    else:  # one layer for both, as the shared heads of the originals have it
        both = head(net, x, class_terms(nc, level, False) + [{} for _ in range(4 * bins)], 0.1)
        raw, sides = net.slice(both, 0, nc, 1), net.slice(both, nc, nc + 4 * bins, 1)
    return raw if logits else net.op("Sigmoid", raw), sides


def _rows(net: Net, x: str, channels: int, out: str | None = None) -> str:
    flat = net.op("Reshape", x, net.ints(0, channels, -1))
    return net.op("Transpose", flat, perm=[0, 2, 1], out=out)


def nanodet(
    nc: int = 3,
    size: Size = (64, 64),
    opset: int = 17,
    *,
    seed: int = 0,
    bins: int = 8,
    joint: bool = True,
    logits: bool = False,
    planted: bool = False,
    dynamic: str | None = None,
    strides: Sequence[int] = THREE,
    offset: float = 0.5,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """NanoDet layout: data [1,3,H,W] BGR, normalised on 0..255.

    -> output [1,N,nc+4*bins], or cls_S [1,n,nc] and dis_S [1,n,4*bins] for each stride S.
    """
    net = new_net(seed, opset, "relu")
    maps = _maps(net, _plain(net, "data", *_BLUE_FIRST), 1.0, True, strides)
    parts = [
        _parts(net, x, nc, level, offset=offset, bins=bins, planted=planted, logits=logits)
        for level, x in enumerate(maps)
    ]
    counts = [int(np.prod(_cells(size, stride))) for stride in strides]
    batch: Any = "batch" if dynamic else 1
    outputs: dict[str, list[Any]] = {}
    if joint:
        shape = net.ints(0, nc + 4 * bins, -1)
        rows = [net.op("Reshape", net.op("Concat", *pair, axis=1), shape) for pair in parts]
        net.op("Transpose", net.op("Concat", *rows, axis=2), perm=[0, 2, 1], out="output")
        outputs["output"] = [batch, sum(counts), nc + 4 * bins]
    else:
        _apart(net, parts, ("cls", "dis"), strides)
        for name, channels in (("cls", nc), ("dis", 4 * bins)):
            for stride, count in zip(strides, counts, strict=True):
                outputs[f"{name}_{stride}"] = [batch, count, channels]
    return net.build({"data": image_shape(size, dynamic)}, outputs, metadata or {})


def _apart(
    net: Net, parts: Sequence[tuple[str, str]], names: tuple[str, str], strides: Sequence[int]
) -> None:
    """Name every level's two parts as outputs of rows."""
    for pair, stride in zip(parts, strides, strict=True):
        for x, name in zip(pair, names, strict=True):
            rows = net.op("Reshape", x, net.ints(0, 0, -1))
            net.op("Transpose", rows, perm=[0, 2, 1], out=f"{name}_{stride}")


def nanodet_plus(nc: int = 3, size: Size = (64, 64), opset: int = 17, **options: Any) -> (
    onnx.ModelProto
):  # fmt: skip
    """NanoDet-Plus layout: as NanoDet's, with a stride of 64 and centres at cells' corners."""
    return nanodet(nc, size, opset, strides=FOUR, offset=0.0, **options)


def picodet(
    nc: int = 3,
    size: Size = (64, 64),
    opset: int = 17,
    *,
    seed: int = 0,
    logits: bool = False,
    decoded: bool = False,
    second_inputs: Sequence[str] = (),
    planted: bool = False,
    dynamic: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """PicoDet layout: image [1,3,H,W] RGB, normalised on 0..1.

    -> scores_S [1,n,nc] and sides_S [1,n,32] for each stride S, all scores first; with
    `decoded` boxes [1,N,4], corners in pixels, and scores [1,nc,N]. `second_inputs` [1,2] are
    not read.
    """
    net = new_net(seed, opset, "silu")
    maps = _maps(net, _plain(net, "image", *_RED_FIRST), 255.0, False, FOUR)
    parts = [
        _parts(net, x, nc, level, offset=0.5, bins=8, planted=planted, logits=logits)
        for level, x in enumerate(maps)
    ]
    counts = [int(np.prod(_cells(size, stride))) for stride in FOUR]
    batch: Any = "batch" if dynamic else 1
    outputs: dict[str, list[Any]] = {}
    if decoded:
        _decode_picodet(net, parts, size, nc)
        outputs = {"boxes": [batch, sum(counts), 4], "scores": [batch, nc, sum(counts)]}
    else:
        _apart(net, parts, ("scores", "sides"), FOUR)
        for name, channels in (("scores", nc), ("sides", 32)):
            for stride, count in zip(FOUR, counts, strict=True):
                outputs[f"{name}_{stride}"] = [batch, count, channels]
    inputs = {"image": image_shape(size, dynamic), **{name: [batch, 2] for name in second_inputs}}
    return net.build(inputs, outputs, metadata or {})


def _grid(size: Size, strides: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Centres [N, 2] in cells (x, y) and strides [N, 1]."""
    points, steps = [], []
    for stride in strides:
        h, w = _cells(size, stride)
        ys, xs = np.mgrid[:h, :w].reshape(2, -1) + 0.5
        points.append(np.stack([xs, ys], 1))
        steps.append(np.full((h * w, 1), stride))
    return np.concatenate(points), np.concatenate(steps)


def _corners(net: Net, sides: str, size: Size, strides: Sequence[int]) -> str:
    """Distances [b, N, 4] in cells to corners in pixels."""
    points, steps = _grid(size, strides)
    low = net.op("Sub", net.const(points[None]), net.slice(sides, 0, 2, 2))
    high = net.op("Add", net.const(points[None]), net.slice(sides, 2, 4, 2))
    return net.op("Mul", net.op("Concat", low, high, axis=2), net.const(steps[None]))


def _decode_picodet(net: Net, parts: Sequence[tuple[str, str]], size: Size, nc: int) -> None:
    sides = net.op("Concat", *(_rows(net, part, 32) for _, part in parts), axis=1)
    logits = net.op("Reshape", sides, net.ints(0, -1, 4, 8))
    chances = net.op("Softmax", logits, axis=3)
    means = net.op("MatMul", chances, net.const(np.arange(8)))
    net.op("Identity", _corners(net, means, size, FOUR), out="boxes")
    flat = (net.op("Reshape", part, net.ints(0, nc, -1)) for part, _ in parts)
    net.op("Concat", *flat, axis=2, out="scores")


def yolov6_lite(
    nc: int = 3,
    size: Size = (64, 64),
    opset: int = 17,
    *,
    seed: int = 0,
    boxes_first: bool = False,
    channels_last: bool = False,
    decoded: bool = False,
    planted: bool = False,
    dynamic: str | None = None,
    strides: Sequence[int] = FOUR,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """YOLOv6-lite layout: images [1,3,H,W] RGB 0..1 -> out_S [1,nc+4,h,w] for each stride S.

    Scores, and left, top, right, bottom in strides; with `channels_last` [1,n,nc+4]; with
    `decoded` output [1,N,5+nc]: cx, cy, w, h in pixels, ones, and scores.
    """
    net = new_net(seed, opset, "silu")
    maps = _maps(net, "images", 255.0, False, strides)
    batch: Any = "batch" if dynamic else 1
    outputs: dict[str, list[Any]] = {}
    scores, sides = [], []
    for level, (x, stride) in enumerate(zip(maps, strides, strict=True)):
        live = planted and level == 0
        scores.append(net.op("Sigmoid", head(net, x, class_terms(nc, level, planted), 0.05)))
        sides.append(
            head(net, x, _reach(0.5) if live else [{"bias": 1.0}] * 4, 0.0 if live else 0.05)
        )
        pair = (sides[-1], scores[-1]) if boxes_first else (scores[-1], sides[-1])
        if not decoded:
            both = net.op("Concat", *pair, axis=1, out=None if channels_last else f"out_{stride}")
            h, w = _cells(size, stride)
            outputs[f"out_{stride}"] = [batch, nc + 4, h, w]
            if channels_last:
                _rows(net, both, nc + 4, f"out_{stride}")
                outputs[f"out_{stride}"] = [batch, h * w, nc + 4]
    if decoded:
        outputs["output"] = [batch, _decode_yolov6(net, scores, sides, size, strides, nc), 5 + nc]
    return net.build({"images": image_shape(size, dynamic)}, outputs, metadata or {})


def _decode_yolov6(
    net: Net, scores: Sequence[str], sides: Sequence[str], size: Size, strides: Sequence[int],
    nc: int,
) -> int:  # fmt: skip
    """Write `output`; returns the number of candidates."""
    reach = net.op("Concat", *(_rows(net, part, 4) for part in sides), axis=1)
    corners = _corners(net, reach, size, strides)
    low, high = net.slice(corners, 0, 2, 2), net.slice(corners, 2, 4, 2)
    centre = net.op("Mul", net.op("Add", low, high), net.const(0.5))
    found = net.op("Concat", *(_rows(net, part, nc) for part in scores), axis=1)
    count = sum(int(np.prod(_cells(size, stride))) for stride in strides)
    ones = net.const(np.ones((1, count, 1)))
    net.op("Concat", centre, net.op("Sub", high, low), ones, found, axis=2, out="output")
    return count


def fastestdet(
    nc: int = 3,
    size: Size = (64, 64),
    opset: int = 17,
    *,
    seed: int = 0,
    folded: bool = True,
    planted: bool = False,
    dynamic: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """FastestDet layout: images [1,3,H,W] BGR 0..1 -> output [1,5+nc,H/16,W/16].

    Objectness after sigmoid, raw tx, ty, tw, th, class chances after softmax. Planted ones find
    rectangles of 32 to 64 pixels. Without `folded` a BatchNormalization follows every head.
    """
    net = new_net(seed, opset, "relu")
    x = net.pyramid("images", WIDTH, 255.0, bgr=True)[1]
    if planted:
        raw = _fastest_planted(net, x, size, nc)
    else:
        raw = (
            head(net, x, [{"bias": -3.0}], 0.1),
            head(net, x, [{}] * 4, 0.1),
            head(net, x, [{}] * nc, 0.1),
        )
    if not folded:
        found, box, classes = (_normalised(net, part) for part in raw)
    else:
        found, box, classes = raw
    last = net.op("Transpose", classes, perm=[0, 2, 3, 1])
    chances = net.op("Transpose", net.op("Softmax", last, axis=3), perm=[0, 3, 1, 2])
    net.op("Concat", net.op("Sigmoid", found), box, chances, axis=1, out="output")
    batch: Any = "batch" if dynamic else 1
    outputs = {"output": [batch, 5 + nc, *_cells(size, 16)]}
    return net.build({"images": image_shape(size, dynamic)}, outputs, metadata or {})


def _normalised(net: Net, x: str) -> str:
    """A BatchNormalization with numbers that change nothing much, on a layer's output."""
    layer = next(node for node in net.nodes if node.output[0] == x)
    weight = next(tensor for tensor in net.initializers if tensor.name == layer.input[1])
    ones = np.ones(weight.dims[0])
    parts = [net.const(part) for part in (ones * 1.5, ones * -1.0, ones * 0.2, ones * 2.0)]
    return net.op("BatchNormalization", x, *parts)


def _fastest_planted(net: Net, x: str, size: Size, nc: int) -> tuple[str, str, str]:
    """Heads that box a lit rectangle from its middle cells, for the centre can't leave a cell far.

    tanh(0.55 + 0.55 d) is near 0.5 + d / 2 for d of -1 to 1; the logit of n cells of the
    picture is a straight line through those of 2 and 4.
    """
    lit = {f"colour{index}": 1.0 for index in range(COLOURS)}
    off = [
        {a: 1.0, b: -1.0, "bias": -1.2}
        for a, b in (("left", "right"), ("right", "left"), ("up", "down"), ("down", "up"))
    ]
    seen = net.op("Relu", head(net, x, [{"bias": 0.0, **lit}, *off], 0.0))
    weight = np.array([[20.0, -20.0, -20.0, -20.0, -20.0]])[:, :, None, None]
    found = net.conv(seen, weight, np.array([-14.0]))
    terms: Terms = []
    for low, high in (("left", "right"), ("up", "down")):
        terms.append({"bias": 0.55, low: -0.55, high: 0.55})
    for side, (low, high) in zip(size[::-1], (("left", "right"), ("up", "down")), strict=True):
        two, four = (np.log(n * 16 / (side - n * 16)) for n in (2, 4))
        slope = (four - two) / 2
        terms.append({"bias": two - slope, low: slope, high: slope})
    box = head(net, x, terms, 0.0)
    classes: Terms = [
        {f"colour{index}": 20.0} if index < COLOURS else {"bias": -7.0} for index in range(nc)
    ]
    return found, box, head(net, x, classes, 0.0)


def raw_yolox(
    nc: int = 3, size: Size = (64, 64), opset: int = 17, *, one_layer: bool = False
) -> onnx.ModelProto:
    """YOLOX before its grid, one output a stride: [1,5+nc,h,w], box, objectness, scores."""
    net = new_net(0, opset, "silu")
    outputs: dict[str, list[Any]] = {}
    for x, stride in zip(_maps(net, "images", 1.0, True, THREE), THREE, strict=True):
        parts = [head(net, x, [{}] * count, 0.1) for count in (4, 1, nc)]
        if one_layer:
            both = head(net, x, [{}] * (5 + nc), 0.1)
            parts = [net.slice(both, a, b, 1) for a, b in ((0, 4), (4, 5), (5, 5 + nc))]
        box, *rest = parts
        scores = [net.op("Sigmoid", part) for part in rest]
        net.op("Concat", box, *scores, axis=1, out=f"out_{stride}")
        outputs[f"out_{stride}"] = [1, 5 + nc, *_cells(size, stride)]
    return net.build({"images": image_shape(size, None)}, outputs, {})
