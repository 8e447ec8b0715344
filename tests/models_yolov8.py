"""YOLOv8-shaped test networks: detector, segmentation, pose, oriented boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from netbuilder import SIDES, Net
from netparts import (
    WIDTH,
    Size,
    Terms,
    class_terms,
    constant_grid,
    dynamic_grid,
    finish,
    flat,
    head,
    new_net,
)


def ultralytics_metadata(nc: int, size: Size, task: str = "detect") -> dict[str, str]:
    """The keys that Ultralytics' exporter writes."""
    names = {index: f"thing {index}" for index in range(nc)}
    return {
        "author": "Ultralytics",
        "task": task,
        "batch": "1",
        "stride": "32",
        "imgsz": str(list(size)),
        "names": str(names),
    }


def _dfl_head(net: Net, x: str, planted: bool, bins: int) -> str:
    """Logits [b, 4 * bins, h, w] over distances of 0 to bins - 1 cells."""
    if not planted:
        return head(net, x, [{} for _ in range(4 * bins)], 0.1)
    reach = net.op("Relu", head(net, x, [{"bias": 0.5, side: 1.0} for side in SIDES], 0.0))
    # softmax over i of k (i d - i^2 / 2) has its mean near d, and is linear in d
    k, i = 3.0, np.arange(bins)
    near = i < 8
    weight = np.kron(np.eye(4), np.where(near, k * i, 0.0)[:, None])
    bias = np.tile(np.where(near, -k * i**2 / 2, -60.0), 4)
    return net.conv(reach, weight[:, :, None, None], bias)


def _reach_terms(planted: bool) -> Terms:
    # a straight line through softplus^-1 of 0.5, 1.5, 2.5, 3.5 cells
    return [{"bias": -0.3, side: 1.3 if planted else 0.0} for side in SIDES]


def _ltrb(net: Net, maps: Sequence[str], dfl: bool, planted: bool, bins: int = 16) -> str:
    """Distances [b, 4, N] in cells: by DFL, or by softplus."""
    lit = [planted and level == 0 for level in range(len(maps))]
    if not dfl:
        heads = [
            head(net, x, _reach_terms(live), 0.0 if live else 0.05)
            for x, live in zip(maps, lit, strict=True)
        ]
        return net.op("Softplus", flat(net, heads, 4))
    heads = [_dfl_head(net, x, live, bins) for x, live in zip(maps, lit, strict=True)]
    logits = net.op("Reshape", flat(net, heads, 4 * bins), net.ints(0, 4, bins, -1))
    chances = net.op("Softmax", net.op("Transpose", logits, perm=[0, 3, 1, 2]), axis=3)
    chances = net.op("Transpose", chances, perm=[0, 3, 2, 1])  # [b, bins, 4, N]
    weights = np.arange(bins, dtype=np.float32).reshape(1, bins, 1, 1)
    return net.op("Reshape", net.conv(chances, weights), net.ints(0, 4, -1))


def _boxes(net: Net, reach: str, grid: str, strides: str) -> str:
    """Distances to cx, cy, w, h in pixels [b, 4, N]."""
    low = net.op("Sub", grid, net.slice(reach, 0, 2, 1))
    high = net.op("Add", grid, net.slice(reach, 2, 4, 1))
    centre = net.op("Mul", net.op("Add", low, high), net.const(0.5))
    return net.op("Mul", net.op("Concat", centre, net.op("Sub", high, low), axis=1), strides)


def _yolov8_parts(
    net: Net, size: Size, nc: int, *, dfl: bool, planted: bool, dynamic: str | None
) -> tuple[list[str], str, str, str, str]:
    maps = net.pyramid("images", WIDTH, 255.0, bgr=False)
    reach = _ltrb(net, maps, dfl, planted)
    grid, strides = (
        dynamic_grid(net, maps, 0.5) if dynamic == "size" else constant_grid(net, size, 0.5)
    )
    boxes = _boxes(net, reach, grid, strides)
    heads = [head(net, x, class_terms(nc, level, planted), 0.05) for level, x in enumerate(maps)]
    scores = net.op("Sigmoid", flat(net, heads, nc))
    return maps, boxes, scores, grid, strides


def yolov8(
    nc: int = 3,
    size: Size = (64, 64),
    opset: int = 17,
    *,
    seed: int = 0,
    dfl: bool = True,
    activation: str = "silu",
    depthwise: bool = False,
    planted: bool = False,
    dynamic: str | None = None,
    channels_last: bool = False,
    ultralytics: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """YOLOv8/11 layout: images [1,3,H,W] RGB 0..1 -> output0 [1,4+nc,N], decoded.

    `dynamic` is None, "batch" or "size" (batch and size).
    """
    net = new_net(seed, opset, activation, depthwise)
    _, boxes, scores, _, _ = _yolov8_parts(net, size, nc, dfl=dfl, planted=planted, dynamic=dynamic)
    props = {**(ultralytics_metadata(nc, size) if ultralytics else {}), **(metadata or {})}
    both = net.op("Concat", boxes, scores, axis=1)
    return finish(
        net, both, 4 + nc, size, dynamic=dynamic, channels_last=channels_last, metadata=props
    )


def segmenter(nc: int = 3, size: Size = (64, 64), opset: int = 17, *, seed: int = 0,
              ultralytics: bool = False) -> onnx.ModelProto:  # fmt: skip
    """YOLOv8-seg: output0 [1,4+nc+32,N] and prototypes [1,32,H/4,W/4]."""
    net = new_net(seed, opset, "silu")
    maps, boxes, scores, _, _ = _yolov8_parts(net, size, nc, dfl=True, planted=False, dynamic=None)
    heads = [head(net, x, [{} for _ in range(32)], 0.1) for x in maps]
    rows = net.rng.normal(0, 0.1, (32, WIDTH, 1, 1))
    net.op("Identity", net.act(net.conv(net.upsample(maps[0]), rows)), out="output1")
    both = net.op("Concat", boxes, scores, flat(net, heads, 32), axis=1)
    props = ultralytics_metadata(nc, size, "segment") if ultralytics else {}
    return finish(
        net, both, 4 + nc + 32, size, dynamic=None, channels_last=False, metadata=props,
        others={"output1": [1, 32, size[0] // 4, size[1] // 4]},
    )  # fmt: skip


def pose(size: Size = (64, 64), opset: int = 17, *, seed: int = 0,
         ultralytics: bool = False) -> onnx.ModelProto:  # fmt: skip
    """YOLOv8-pose: output0 [1,4+1+17*3,N]: x, y in pixels and visibility of 17 points."""
    net = new_net(seed, opset, "silu")
    maps, boxes, scores, grid, strides = _yolov8_parts(
        net, size, 1, dfl=True, planted=False, dynamic=None
    )
    heads = [head(net, x, [{} for _ in range(51)], 0.1) for x in maps]
    points = net.op("Reshape", flat(net, heads, 51), net.ints(0, 17, 3, -1))
    twice = net.op("Mul", net.slice(points, 0, 2, 2), net.const(2.0))
    corner = net.op("Reshape", net.op("Sub", grid, net.const(0.5)), net.ints(1, 1, 2, -1))
    step = net.op("Reshape", strides, net.ints(1, 1, 1, -1))
    xy = net.op("Mul", net.op("Add", twice, corner), step)
    seen = net.op("Sigmoid", net.slice(points, 2, 3, 2))
    rows = net.op("Reshape", net.op("Concat", xy, seen, axis=2), net.ints(0, 51, -1))
    both = net.op("Concat", boxes, scores, rows, axis=1)
    props = ultralytics_metadata(1, size, "pose") if ultralytics else {}
    return finish(net, both, 56, size, dynamic=None, channels_last=False, metadata=props)


def oriented(nc: int = 3, size: Size = (64, 64), opset: int = 17, *, seed: int = 0,
             ultralytics: bool = False) -> onnx.ModelProto:  # fmt: skip
    """YOLOv8-obb: output0 [1,4+nc+1,N]; the last channel is an angle in radians."""
    net = new_net(seed, opset, "silu")
    maps, boxes, scores, _, _ = _yolov8_parts(net, size, nc, dfl=True, planted=False, dynamic=None)
    heads = [head(net, x, [{}], 0.1) for x in maps]
    turn = net.op("Sub", net.op("Sigmoid", flat(net, heads, 1)), net.const(0.25))
    both = net.op("Concat", boxes, scores, net.op("Mul", turn, net.const(np.pi)), axis=1)
    props = ultralytics_metadata(nc, size, "obb") if ultralytics else {}
    return finish(net, both, 5 + nc, size, dynamic=None, channels_last=False, metadata=props)
