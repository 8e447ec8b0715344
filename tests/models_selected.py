"""Networks of object queries, and networks that select boxes inside the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from models_other import centre_terms
from netbuilder import Net, head_weights
from netparts import WIDTH, Size, Terms, class_terms, constant_grid, flat, head, new_net
from onnx import TensorProto, helper

_TYPES = {"float": TensorProto.FLOAT, "int64": TensorProto.INT64, "int32": TensorProto.INT32}
KEPT = 20
SELECTED = ("ultralytics", "yolov7", "paddle", "mmdeploy", "torchvision", "tensorflow", "rtdetr")


def _build(
    net: Net, inputs: Mapping[str, Any], outputs: Mapping[str, tuple[str, list[Any]]]
) -> onnx.ModelProto:
    def info(name: str, kind: str, shape: list[Any]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, _TYPES[kind], shape)

    graph = helper.make_graph(
        net.nodes,
        "net",
        [info(name, *entry) for name, entry in inputs.items()],
        [info(name, *entry) for name, entry in outputs.items()],
        net.initializers,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", net.opset)], ir_version=8
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _pixels(net: Net, mean: Any, std: Any) -> str:
    """The image before its normalisation, so that the planted stem reads chroma."""
    shape = (1, 3, 1, 1)
    whole = net.op("Mul", "images", net.const(np.reshape(std, shape)))
    return net.op("Add", whole, net.const(np.reshape(mean, shape)))


def _imagenet(net: Net) -> str:
    return _pixels(net, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _linear(net: Net, x: str, weight: Any, bias: Any) -> str:
    """A layer of rows, as transformers spell it."""
    return net.op("Add", net.op("MatMul", x, net.const(weight)), net.const(bias))


def _queries(
    net: Net, image: str, size: Size, nc: int, planted: bool, softmax: bool
) -> tuple[str, str, np.ndarray]:
    """Boxes' and classes' layers [1, Q, 4] and [1, Q, nc], a query a cell of stride 8.

    Returns the cells' centres and sizes in 0..1 as well, [Q, 4].
    """
    x = net.pyramid(image, WIDTH, 255.0, bgr=False)[0]
    classes: Terms = class_terms(nc, 0, planted, 2.4)
    if softmax:
        classes = [*classes[: nc - 1], {"bias": 0.0}]
    terms = [*centre_terms(planted, 0.5), *classes]
    weight, bias = head_weights(net.rng, WIDTH, terms, 0.0 if planted else 0.05)
    seen = net.op("Reshape", net.conv(x, weight), net.ints(0, 4 + nc, -1))
    rows = net.op("Transpose", seen, perm=[0, 2, 1])
    eye = np.eye(4 + nc, dtype=np.float32)
    boxes = _linear(net, rows, eye[:, :4], bias[:4])
    scores = _linear(net, rows, eye[:, 4:], bias[4:])
    height, width = size[0] // 8, size[1] // 8
    ys, xs = np.mgrid[:height, :width].reshape(2, -1)
    cells = np.stack([xs / width, ys / height], 1)
    if not planted:  # learned ones lie in no grid
        cells = net.rng.uniform(0.1, 0.9, cells.shape)
    sides = np.tile([1 / width, 1 / height], (len(cells), 1))
    return boxes, scores, np.concatenate([cells, sides], 1)


def _query_boxes(net: Net, raw: str, refs: np.ndarray, relative: bool) -> str:
    """Boxes cx, cy, w, h in 0..1 of references [Q, 4] and a layer's answer."""
    if not relative:
        inverse = np.log(refs + 0.01) - np.log(1.01 - refs)
        return net.op("Sigmoid", net.op("Add", raw, net.const(inverse[None])))
    centre, extent = net.const(refs[None, :, :2]), net.const(refs[None, :, 2:])
    middle = net.op("Add", net.op("Mul", net.slice(raw, 0, 2, 2), extent), centre)
    sides = net.op("Mul", net.op("Exp", net.slice(raw, 2, 4, 2)), extent)
    return net.op("Concat", middle, sides, axis=2)


def detr(
    nc: int = 4,
    size: Size = (64, 64),
    opset: int = 17,
    *,
    seed: int = 0,
    relative: bool = True,
    softmax: bool = False,
    applied: bool = False,
    joint: bool = False,
    biased: bool = True,
    planted: bool = False,
    dynamic: bool = False,
) -> onnx.ModelProto:
    """images [1,3,H,W] RGB /255 -> boxes [1,Q,4] cx,cy,w,h in 0..1 and logits [1,Q,nc].

    With `softmax` the last of the nc classes is "no object"; `applied` puts sigmoid or softmax
    into the graph; `joint` gives one output [1,Q,4+nc]; without `biased`, the classes' biases
    say nothing; `relative` are boxes without a sigmoid (RF-DETR), which planting needs.
    """
    net = new_net(seed, opset, "silu")
    raw, logits, refs = _queries(net, _imagenet(net), size, nc, planted, softmax)
    if not biased:
        logits = _linear(net, logits, np.eye(nc), np.zeros(nc))
    boxes = _query_boxes(net, raw, refs, relative)
    if applied:
        kind = "Softmax" if softmax else "Sigmoid"
        logits = net.op(kind, logits, **({"axis": 2} if softmax else {}))
    batch, count = "batch" if dynamic else 1, len(refs)
    images = {"images": ("float", [batch, 3, *size])}
    if joint:
        net.op("Concat", boxes, logits, axis=2, out="output0")
        return _build(net, images, {"output0": ("float", [batch, count, 4 + nc])})
    net.op("Identity", boxes, out="boxes")
    net.op("Identity", logits, out="logits")
    outputs = {
        "logits": ("float", [batch, count, nc]),
        "boxes": ("float", [batch, count, 4]),
    }
    return _build(net, images, outputs)


def _maps(net: Net, kind: str) -> list[str]:
    """The pyramid behind the preprocessing that is usual for a kind."""
    if kind == "paddle":
        return net.pyramid(_imagenet(net), WIDTH, 255.0, bgr=False)
    if kind == "mmdeploy":
        image = _pixels(net, (103.53, 116.28, 123.675), (57.375, 57.12, 58.395))
        return net.pyramid(image, WIDTH, 1.0, bgr=True)
    return net.pyramid("images", WIDTH, 1.0 if kind == "tensorflow" else 255.0, bgr=False)


def _dense(net: Net, kind: str, size: Size, nc: int, planted: bool) -> tuple[str, str]:
    """Corners [1, N, 4] in pixels and scores [1, N, nc] of an anchor-free detector."""
    maps = _maps(net, kind)
    raw, scores = [], []
    for level, x in enumerate(maps):
        live = planted and level == 0
        noise = 0.0 if live else 0.05
        raw.append(head(net, x, centre_terms(live, 0.5), noise))
        scores.append(head(net, x, class_terms(nc, level, planted), noise))
    grid, strides = constant_grid(net, size, 0.0)
    boxes = flat(net, raw, 4)
    middle = net.op("Mul", net.op("Add", net.slice(boxes, 0, 2, 1), grid), strides)
    half = net.op("Mul", net.op("Exp", net.slice(boxes, 2, 4, 1)), strides)
    half = net.op("Mul", half, net.const(0.5))
    corners = net.op("Concat", net.op("Sub", middle, half), net.op("Add", middle, half), axis=1)
    chances = net.op("Sigmoid", flat(net, scores, nc))
    return (
        net.op("Transpose", corners, perm=[0, 2, 1]),
        net.op("Transpose", chances, perm=[0, 2, 1]),
    )


def _top(net: Net, boxes: str, scores: str, nc: int, kept: int) -> tuple[str, str, str]:
    """The best of all scores: boxes [1, K, 4], scores [1, K], labels [1, K] int64."""
    every = net.op("Flatten", scores, axis=1)
    values, index = f"{every}_values", f"{every}_index"
    node = helper.make_node("TopK", [every, net.ints(kept)], [values, index], axis=1)
    net.nodes.append(node)
    many = net.const([nc], np.int64)
    row = net.op("Div", index, many)
    label = net.op("Sub", index, net.op("Mul", row, many))
    wide = net.op("Expand", net.op("Reshape", row, net.ints(1, -1, 1)), net.ints(1, kept, 4))
    return net.op("GatherElements", boxes, wide, axis=1), values, label


def _kept(net: Net, boxes: str, scores: str) -> tuple[str, str, str]:
    """What NMS keeps: boxes [M, 4], scores [M], labels [M] int64."""
    chosen = net.op(
        "NonMaxSuppression",
        boxes,
        net.op("Transpose", scores, perm=[0, 2, 1]),
        net.const([100], np.int64),
        net.const([0.45]),
        net.const([0.2]),
    )
    label = net.op("Squeeze", net.slice(chosen, 1, 2, 1), *_axes(net, 1), **_attribute(net, 1))
    image_box = net.op("Gather", chosen, net.ints(0, 2), axis=1)
    found = net.op("GatherND", boxes, image_box)
    place = net.op("Gather", chosen, net.ints(0, 2, 1), axis=1)
    return found, net.op("GatherND", scores, place), label


def _axes(net: Net, *axes: int) -> list[str]:
    return [net.ints(*axes)] if net.opset >= 13 else []


def _attribute(net: Net, *axes: int) -> dict[str, Any]:
    return {} if net.opset >= 13 else {"axes": list(axes)}


def _column(net: Net, x: str) -> str:
    """[M] of any type as float [M, 1]."""
    return net.op("Reshape", net.op("Cast", x, to=1), net.ints(-1, 1))


def selected(
    kind: str = "ultralytics",
    nc: int = 3,
    size: Size = (64, 64),
    opset: int = 17,
    *,
    seed: int = 0,
    planted: bool = False,
    height_first: bool = False,
) -> onnx.ModelProto:
    """A detector that selects boxes itself, in the layout of an exporter of SELECTED.

    | kind | outputs |
    |---|---|
    | ultralytics | [1,K,6]: x1,y1,x2,y2, score, label, by TopK (YOLOv10, YOLO26, nms=True) |
    | yolov7 | [M,7]: image, x1,y1,x2,y2, label, score, by NMS |
    | paddle | [M,6]: label, score, x1,y1,x2,y2, and a count; second input scale_factor |
    | mmdeploy | dets [1,M,5]: x1,y1,x2,y2, score, and labels [1,M] int64 |
    | torchvision | boxes [M,4], labels [M] int64 from 1, scores [M] |
    | tensorflow | boxes [1,K,4] y,x,y,x in 0..1, scores, classes from 1 [1,K] float, count [1] |
    | rtdetr | labels [1,K] int64, boxes [1,K,4], scores [1,K]; input orig_target_sizes [1,2] |

    `height_first` makes rtdetr's second input height and width.
    """
    net = new_net(seed, opset, "silu")
    images: dict[str, tuple[str, list[Any]]] = {"images": ("float", [1, 3, *size])}
    if kind == "rtdetr":
        return _rtdetr(net, nc, size, planted, height_first)
    boxes, scores = _dense(net, kind, size, nc, planted)
    if kind in ("ultralytics", "tensorflow"):
        found, values, label = _top(net, boxes, scores, nc, KEPT)
        return (
            _ultralytics(net, images, found, values, label)
            if kind == "ultralytics"
            else (_tensorflow(net, images, size, found, values, label))
        )
    found, values, label = _kept(net, boxes, scores)
    if kind == "yolov7":
        image = net.op("Mul", _column(net, label), net.const(0.0))
        net.op(
            "Concat", image, found, _column(net, label), _column(net, values), axis=1, out="output"
        )
        return _build(net, images, {"output": ("float", ["kept", 7])})
    if kind == "paddle":
        images["scale_factor"] = ("float", [1, 2])
        twice = net.op("Gather", "scale_factor", net.ints(1, 0, 1, 0), axis=1)
        boxes = net.op("Div", found, twice)
        net.op("Concat", _column(net, label), _column(net, values), boxes, axis=1, out="table")
        size_of = net.op("Shape", values)
        net.op("Cast", size_of, out="count", to=TensorProto.INT32)
        return _build(net, images, {"table": ("float", ["kept", 6]), "count": ("int32", [1])})
    if kind == "mmdeploy":
        rows = net.op("Concat", found, _column(net, values), axis=1)
        net.op("Reshape", rows, net.ints(1, -1, 5), out="dets")
        net.op("Reshape", label, net.ints(1, -1), out="labels")
        outputs = {"dets": ("float", [1, "kept", 5]), "labels": ("int64", [1, "kept"])}
        return _build(net, images, outputs)
    net.op("Identity", found, out="boxes")
    net.op("Add", label, net.const([1], np.int64), out="labels")
    net.op("Identity", values, out="scores")
    outputs = {"boxes": ("float", ["kept", 4]), "labels": ("int64", ["kept"])}
    return _build(net, images, {**outputs, "scores": ("float", ["kept"])})


def _ultralytics(
    net: Net, images: Mapping[str, Any], found: str, values: str, label: str
) -> onnx.ModelProto:
    score = net.op("Reshape", values, net.ints(1, KEPT, 1))
    index = net.op("Reshape", net.op("Cast", label, to=1), net.ints(1, KEPT, 1))
    net.op("Concat", found, score, index, axis=2, out="output0")
    return _build(net, images, {"output0": ("float", [1, KEPT, 6])})


def _tensorflow(
    net: Net, images: Mapping[str, Any], size: Size, found: str, values: str, label: str
) -> onnx.ModelProto:
    swapped = net.op("Gather", found, net.ints(1, 0, 3, 2), axis=2)
    net.op("Div", swapped, net.const([*size, *size]), out="boxes")
    net.op("Identity", values, out="scores")
    net.op("Add", net.op("Cast", label, to=1), net.const(1.0), out="classes")
    net.op("Add", net.op("Mul", net.slice(values, 0, 1, 1), net.const(0.0)), net.const(float(KEPT)),
           out="many")  # fmt: skip
    net.op("Reshape", "many", net.ints(1), out="count")
    outputs = {"boxes": ("float", [1, KEPT, 4]), "scores": ("float", [1, KEPT])}
    outputs |= {"classes": ("float", [1, KEPT]), "count": ("float", [1])}
    return _build(net, images, outputs)


def _rtdetr(net: Net, nc: int, size: Size, planted: bool, height_first: bool) -> onnx.ModelProto:
    raw, logits, refs = _queries(net, "images", size, nc, planted, softmax=False)
    boxes = _query_boxes(net, raw, refs, relative=planted)
    half = net.op("Mul", net.slice(boxes, 2, 4, 2), net.const(0.5))
    middle = net.slice(boxes, 0, 2, 2)
    corners = net.op("Concat", net.op("Sub", middle, half), net.op("Add", middle, half), axis=2)
    order = [1, 0, 1, 0] if height_first else [0, 1, 0, 1]
    unit = net.op("Cast", net.op("Gather", "orig_target_sizes", net.ints(*order), axis=1), to=1)
    corners = net.op("Mul", corners, net.op("Reshape", unit, net.ints(1, 1, 4)))
    found, values, label = _top(net, corners, net.op("Sigmoid", logits), nc, KEPT)
    for name, x in (("labels", label), ("boxes", found), ("scores", values)):
        net.op("Identity", x, out=name)
    inputs = {"images": ("float", [1, 3, *size]), "orig_target_sizes": ("int64", [1, 2])}
    outputs = {"labels": ("int64", [1, KEPT]), "boxes": ("float", [1, KEPT, 4])}
    return _build(net, inputs, {**outputs, "scores": ("float", [1, KEPT])})
