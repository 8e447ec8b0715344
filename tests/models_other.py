"""YOLOX- and SSD-shaped test networks, and networks that are not read as detectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from netbuilder import COLOURS, SIDES, Net
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
from numpy.typing import NDArray


def centre_terms(planted: bool, offset: float) -> Terms:
    """Offsets of the centre from the cell (x, y) and log width, height, in cells.

    ln(w) is a straight line near enough for rectangles of 2 to 4 cells.
    """
    if not planted:
        return [{"bias": offset}, {"bias": offset}, {}, {}]
    return [
        {"bias": offset, "left": -0.5, "right": 0.5},
        {"bias": offset, "up": -0.5, "down": 0.5},
        {"bias": 0.4, "left": 0.35, "right": 0.35},
        {"bias": 0.4, "up": 0.35, "down": 0.35},
    ]


def _objectness_terms(planted: bool) -> Terms:
    if not planted:
        return [{"bias": -5.0}]
    return [{"bias": -14.0, **{f"colour{index}": 20.0 for index in range(COLOURS)}}]


def _focus(net: Net, image: str) -> str:
    """Space to depth by four strided slices, as YOLOX spells it: [1,3,H,W] -> [1,12,H/2,W/2]."""
    parts = []
    for row, column in ((0, 0), (1, 0), (0, 1), (1, 1)):
        rows = net.slice(image, row, 2**31 - 1, 2, 2)
        parts.append(net.slice(rows, column, 2**31 - 1, 3, 2))
    return net.op("Concat", *parts, axis=1)


def yolox(
    nc: int = 3,
    size: Size = (64, 64),
    opset: int = 17,
    *,
    seed: int = 0,
    focus: bool = True,
    depthwise: bool = True,
    planted: bool = False,
    decoded: bool = False,
    dynamic: str | None = None,
    channels_last: bool = True,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """YOLOX layout: images [1,3,H,W] BGR 0..255 -> output0 [1,N,5+nc].

    Raw boxes (cell offsets, log sizes), objectness and class scores after sigmoid; with
    `decoded` the boxes are cx, cy, w, h in pixels.
    """
    net = new_net(seed, opset, "silu", depthwise)
    image = "images"
    if focus:
        # fold the four phases back to three colours: the mean of each 2x2 block
        fold = np.tile(np.eye(3, dtype=np.float32) / 4, (1, 4))[:, :, None, None]
        image = net.upsample(net.conv(_focus(net, image), fold))
    maps = net.pyramid(image, WIDTH, 1.0, bgr=True)
    levels = []
    for level, x in enumerate(maps):
        live = planted and level == 0
        noise = 0.0 if live else 0.05
        boxes = head(net, x, centre_terms(live, 0.5), noise)
        found = net.op("Sigmoid", head(net, x, _objectness_terms(live), noise))
        classes = net.op("Sigmoid", head(net, x, class_terms(nc, level, planted, 6.0), noise))
        levels.append(net.op("Concat", boxes, found, classes, axis=1))
    both = flat(net, levels, 5 + nc)
    if decoded:
        both = _decode_yolox(net, both, size, nc)
    return finish(
        net, both, 5 + nc, size,
        dynamic=dynamic, channels_last=channels_last, metadata=metadata or {},
    )  # fmt: skip


def _decode_yolox(net: Net, both: str, size: Size, nc: int) -> str:
    grid, strides = constant_grid(net, size, 0.0)
    centres = net.op("Mul", net.op("Add", net.slice(both, 0, 2, 1), grid), strides)
    extents = net.op("Mul", net.op("Exp", net.slice(both, 2, 4, 1)), strides)
    return net.op("Concat", centres, extents, net.slice(both, 4, 5 + nc, 1), axis=1)


def priors(size: Size, anchors: int = 3) -> NDArray[np.float32]:
    """Anchors [N, 4] as cy, cx, h, w in 0..1, `anchors` a cell, strides 8, 16, 32."""
    shapes = [(3.0, 3.0), (2.1, 4.2), (4.2, 2.1), (4.5, 4.5)][:anchors]
    rows = []
    for stride in STRIDES:
        h, w = -(-size[0] // stride), -(-size[1] // stride)
        for y in range(h):
            for x in range(w):
                for tall, wide in shapes:
                    centre = ((y + 0.5) / h, (x + 0.5) / w)
                    rows.append((*centre, tall * stride / size[0], wide * stride / size[1]))
    return np.asarray(rows, np.float32)


def _ssd_box_terms(planted: bool, anchors: int) -> Terms:
    """ty, tx (tenths of the anchor), th, tw (fifths of a log) for every anchor of a cell."""
    first = [
        {"up": -0.5 / 0.3, "down": 0.5 / 0.3},
        {"left": -0.5 / 0.3, "right": 0.5 / 0.3},
        # 5 ln(cells / 3), with ln(cells) as the straight line 0.4 + 0.35 (cells - 1)
        {"bias": -3.49, "up": 1.75, "down": 1.75},
        {"bias": -3.49, "left": 1.75, "right": 1.75},
    ]
    plain: Terms = [{} for _ in range(4)]
    return (first if planted else plain) + plain * (anchors - 1)


def _ssd_score_terms(nc: int, level: int, planted: bool, anchors: int, softmax: bool) -> Terms:
    background: dict[str, float] = {"bias": 0.0}
    quiet = [background, *class_terms(nc, 1, planted=False)]
    live = [background, *class_terms(nc, level, planted)]
    del softmax  # a background of 0 serves both: sigmoid reads 0.5 there and nobody looks
    return live + quiet * (anchors - 1)


def ssd(
    nc: int = 3,
    size: Size = (64, 64),
    opset: int = 17,
    *,
    seed: int = 0,
    anchors: int = 3,
    softmax: bool = False,
    xyxy: bool = False,
    normalized: bool = True,
    planted: bool = False,
    dynamic: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """SSD layout: images [1,3,H,W] RGB (x-128)/128 -> boxes [1,N,4], scores [1,N,nc+1].

    Boxes are decoded corners (ymin, xmin, ymax, xmax, or xyxy), in 0..1 or pixels; class 0 of
    the scores is the background. `dynamic` is None or "batch".
    """
    net = new_net(seed, opset, "relu", False)
    # back to 0..255 so that the planted stem reads chroma
    pixels = net.op("Mul", net.op("Add", "images", net.const(1.0)), net.const(128.0))
    maps = net.pyramid(pixels, WIDTH, 1.0, bgr=False)
    boxes, scores = [], []
    for level, x in enumerate(maps):
        live = planted and level == 0
        noise = 0.0 if live else 0.05
        terms = _ssd_box_terms(live, anchors)
        boxes.append(_rows(net, head(net, x, terms, noise), 4))
        terms = _ssd_score_terms(nc, level, planted, anchors, softmax)
        scores.append(_rows(net, head(net, x, terms, noise), nc + 1))
    chances = net.op("Concat", *scores, axis=1)
    chances = net.op("Softmax", chances, axis=2) if softmax else net.op("Sigmoid", chances)
    net.op("Identity", chances, out="scores")
    _decode_ssd(net, net.op("Concat", *boxes, axis=1), size, anchors, xyxy, normalized)
    batch: Any = "batch" if dynamic else 1
    n = anchors * cell_count(size)
    outputs = {"boxes": [batch, n, 4], "scores": [batch, n, nc + 1]}
    return net.build({"images": image_shape(size, dynamic)}, outputs, metadata or {})


def _rows(net: Net, x: str, channels: int) -> str:
    """A map [b, anchors * channels, h, w] as rows [b, h * w * anchors, channels]."""
    x = net.op("Transpose", x, perm=[0, 2, 3, 1])
    return net.op("Reshape", x, net.ints(0, -1, channels))


def _decode_ssd(net: Net, raw: str, size: Size, anchors: int, xyxy: bool, normalized: bool) -> None:
    prior = priors(size, anchors)[None]
    centre, extent = net.const(prior[..., :2]), net.const(prior[..., 2:])
    shift = net.op("Mul", net.op("Mul", net.slice(raw, 0, 2, 2), net.const(0.1)), extent)
    middle = net.op("Add", shift, centre)
    grow = net.op("Exp", net.op("Mul", net.slice(raw, 2, 4, 2), net.const(0.2)))
    half = net.op("Mul", net.op("Mul", grow, extent), net.const(0.5))
    corners = net.op(
        "Concat", net.op("Sub", middle, half), net.op("Add", middle, half), axis=2
    )  # ymin, xmin, ymax, xmax
    if not normalized:
        corners = net.op("Mul", corners, net.const([*size, *size]))
    order = [1, 0, 3, 2] if xyxy else [0, 1, 2, 3]
    net.op("Gather", corners, net.ints(*order), axis=2, out="boxes")


def classifier(classes: int = 10, size: Size = (64, 64), opset: int = 17, *, seed: int = 0,
               softmax: bool = False) -> onnx.ModelProto:  # fmt: skip
    """images [1,3,H,W] -> logits or chances [1,classes]."""
    net = new_net(seed, opset, "relu")
    x = net.op("GlobalAveragePool", net.pyramid("images", WIDTH, 255.0, bgr=False)[2])
    weight = net.rng.normal(0, 0.1, (WIDTH, classes))
    x = net.op("Gemm", net.op("Flatten", x), net.const(weight), net.const(np.zeros(classes)))
    net.op("Softmax" if softmax else "Identity", x, out="output")
    return net.build({"images": [1, 3, *size]}, {"output": [1, classes]}, {})


def end_to_end(size: Size = (64, 64), opset: int = 17, *, rows: int = 20) -> onnx.ModelProto:
    """A detector with selection inside (YOLOv10): output0 [1,rows,6]: xyxy, score, class."""
    net = new_net(0, opset, "silu")
    maps = net.pyramid("images", WIDTH, 255.0, bgr=False)
    boxes = flat(net, [head(net, x, [{"bias": 1.0} for _ in SIDES], 0.1) for x in maps], 4)
    scores = net.op("Sigmoid", flat(net, [head(net, x, [{}], 0.1) for x in maps], 1))
    best = net.op("Reshape", scores, net.ints(0, -1))
    values, index = f"{best}_values", f"{best}_index"
    node = onnx.helper.make_node("TopK", [best, net.ints(rows)], [values, index], axis=1)
    net.nodes.append(node)
    wide = net.op("Reshape", index, net.ints(0, 1, -1))
    wide = net.op("Expand", wide, net.ints(1, 4, rows))
    picked = net.op("GatherElements", boxes, wide, axis=2)
    one = net.op("Reshape", values, net.ints(0, 1, -1))
    none = net.op("Mul", one, net.const(0.0))
    both = net.op("Concat", picked, one, none, axis=1)
    return finish(
        net, both, 6, size, dynamic=None, channels_last=True, metadata={}, candidates=rows
    )
