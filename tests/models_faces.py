"""UltraFace-, RetinaFace- and YuNet-shaped test networks; a face is a red rectangle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from netbuilder import Net
from netparts import STRIDES, WIDTH, Size, Terms, head, image_shape, new_net
from numpy.typing import NDArray

ULTRAFACE = {8: (10, 16, 24), 16: (32, 48), 32: (64, 96), 64: (128, 192, 256)}
RETINAFACE = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
_LIT: dict[str, float] = {"colour0": 20.0, "bias": -14.0}


def _rows(net: Net, x: str, channels: int) -> str:
    """A map [b, priors * channels, h, w] as rows [b, h * w * priors, channels]."""
    return net.op("Reshape", net.op("Transpose", x, perm=[0, 2, 3, 1]), net.ints(0, -1, channels))


def _box_terms(side: int, live: bool) -> Terms:
    """Tenths of a prior's side, and fifths of a log: near enough for rectangles of 2 to 4 cells."""
    if not live:
        return [{} for _ in range(4)]
    shift = 8 / 2 / (0.1 * side)
    # 5 ln(8 cells / side), with ln(cells) as the straight line 0.4 + 0.35 (cells - 1)
    grow = {"bias": 5 * (0.4 + math.log(8 / side))}
    return [
        {"left": -shift, "right": shift},
        {"up": -shift, "down": shift},
        {**grow, "left": 1.75, "right": 1.75},
        {**grow, "up": 1.75, "down": 1.75},
    ]


def square_priors(size: Size, ultraface: bool) -> NDArray[np.float64]:
    """Priors [N, 4] as cx, cy, w, h in 0..1."""
    rows = []
    for stride, sides in (ULTRAFACE if ultraface else RETINAFACE).items():
        h, w = math.ceil(size[0] / stride), math.ceil(size[1] / stride)
        for y in range(h):
            for x in range(w):
                for side in sides:
                    if ultraface:
                        row = ((x + 0.5) / w, (y + 0.5) / h, side / size[1], side / size[0])
                        rows.append(tuple(min(1.0, part) for part in row))
                    else:
                        centre = ((x + 0.5) * stride / size[1], (y + 0.5) * stride / size[0])
                        rows.append((*centre, side / size[1], side / size[0]))
    return np.asarray(rows)


def retina(
    size: Size = (64, 64),
    opset: int = 17,
    *,
    seed: int = 0,
    ultraface: bool = False,
    decoded: bool = False,
    softmax: bool = True,
    landmarks: bool | None = None,
    planted: bool = False,
    dynamic: str | None = None,
) -> onnx.ModelProto:
    """RetinaFace: images [1,3,H,W] BGR less a mean -> loc [1,N,4], conf [1,N,2], landms [1,N,10].

    UltraFace: RGB (x-127)/128 -> boxes and scores, without key points.
    """
    sides = ULTRAFACE if ultraface else RETINAFACE
    net = new_net(seed, opset, "relu")
    if ultraface:
        scaled = net.op("Mul", "images", net.const(128.0))
        pixels = net.op("Add", scaled, net.const(127.0))
    else:
        mean = np.reshape([104.0, 117.0, 123.0], (1, 3, 1, 1))
        pixels = net.op("Add", "images", net.const(mean))
    maps = net.pyramid(pixels, WIDTH, 1.0, bgr=not ultraface)
    maps += [net.stage(maps[-1], WIDTH, WIDTH) for _ in list(sides)[3:]]
    parts: list[list[str]] = [[], [], []]
    for x, (stride, row) in zip(maps, sides.items(), strict=True):
        lives = [planted and stride == 8 and index == 0 for index in range(len(row))]
        boxes = [t for side, live in zip(row, lives, strict=True) for t in _box_terms(side, live)]
        scores = [t for live in lives for t in ({}, _LIT if live else {"bias": -9.0})]
        points: Terms = [{} for _ in range(10 * len(row))]
        noise = 0.0 if planted else 0.05
        for part, terms, width in zip(parts, (boxes, scores, points), (4, 2, 10), strict=True):
            part.append(_rows(net, head(net, x, terms, noise), width))
    raw, chances, points_out = (net.op("Concat", *part, axis=1) for part in parts)
    net.op("Softmax" if softmax else "Identity", chances, out="conf", **_axis(softmax))
    prior = square_priors(size, ultraface)
    if decoded:
        _decode(net, raw, prior, corners=ultraface)
    else:
        net.op("Identity", raw, out="loc")
    batch: Any = "batch" if dynamic else 1
    outputs = {"loc": [batch, len(prior), 4], "conf": [batch, len(prior), 2]}
    if landmarks if landmarks is not None else not ultraface:
        net.op("Identity", points_out, out="landms")
        outputs["landms"] = [batch, len(prior), 10]
    return net.build({"images": image_shape(size, dynamic)}, outputs, {})


def _axis(softmax: bool) -> dict[str, int]:
    return {"axis": 2} if softmax else {}


def _decode(net: Net, raw: str, prior: NDArray[np.float64], *, corners: bool) -> None:
    centre, extent = net.const(prior[None, :, :2]), net.const(prior[None, :, 2:])
    shift = net.op("Mul", net.op("Mul", net.slice(raw, 0, 2, 2), net.const(0.1)), extent)
    middle = net.op("Add", shift, centre)
    grow = net.op("Exp", net.op("Mul", net.slice(raw, 2, 4, 2), net.const(0.2)))
    whole = net.op("Mul", grow, extent)
    if not corners:
        net.op("Concat", middle, whole, axis=2, out="loc")
        return
    half = net.op("Mul", whole, net.const(0.5))
    low, high = net.op("Sub", middle, half), net.op("Add", middle, half)
    net.op("Concat", low, high, axis=2, out="loc")


def yunet(
    size: Size = (64, 64),
    opset: int = 17,
    *,
    seed: int = 0,
    maps: bool = False,
    points: bool = True,
    planted: bool = False,
    dynamic: str | None = None,
) -> onnx.ModelProto:
    """YuNet: input [1,3,H,W] BGR 0..255 -> cls_S, obj_S, bbox_S, kps_S of strides 8, 16, 32.

    [1,n,1], [1,n,1], [1,n,4] and [1,n,10]; with `maps` [1,channels,h,w].
    """
    net = new_net(seed, opset, "relu")
    levels = net.pyramid("input", WIDTH, 1.0, bgr=True)
    batch: Any = "batch" if dynamic else 1
    outputs: dict[str, list[Any]] = {}
    boxes: Terms = [
        {"bias": 0.5, "left": -0.5, "right": 0.5},
        {"bias": 0.5, "up": -0.5, "down": 0.5},
        {"bias": 0.4, "left": 0.35, "right": 0.35},
        {"bias": 0.4, "up": 0.35, "down": 0.35},
    ]
    for name, count in {"cls": 1, "obj": 1, "bbox": 4, "kps": 10 if points else 0}.items():
        for x, stride in zip(levels, STRIDES, strict=True):
            if not count:
                continue
            live = planted and stride == 8
            quiet: Terms = [{"bias": -9.0}] if count == 1 else [{} for _ in range(count)]
            terms = ({1: [_LIT], 4: boxes}.get(count, quiet)) if live else quiet
            y = head(net, x, terms, 0.0 if planted else 0.1)
            y = net.op("Sigmoid", y) if count == 1 else y
            h, w = size[0] // stride, size[1] // stride
            out = f"{name}_{stride}"
            if maps:
                net.op("Identity", y, out=out)
            else:
                net.op("Identity", _rows(net, y, count), out=out)
            outputs[out] = [batch, count, h, w] if maps else [batch, h * w, count]
    return net.build({"input": [batch, 3, *size]}, outputs, {})
