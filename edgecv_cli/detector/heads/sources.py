"""Whose export selected boxes are: their preprocessing, class names, and second inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.classes import BACKGROUND, COCO91, default_classes
from edgecv_cli.detector.heads.selections import Selection
from edgecv_cli.detector.heads.views import image_tensor
from edgecv_cli.detector.probing import Array
from edgecv_cli.detector.spec import DetectorSpec, Fed
from edgecv_cli.graph.facts import GraphFacts

_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_MMDET = {
    "color": "bgr",
    "scale": 1.0,
    "mean": (103.53, 116.28, 123.675),
    "std": (57.375, 57.12, 58.395),
    "resize": "letterbox-topleft",
}
_STRETCHED = {"resize": "stretch"}


def names_of(selection: Selection) -> tuple[tuple[str, ...], int | None, dict[str, str]]:
    """Return class names, the background's index, and what that assumes."""
    background = 0 if selection.from_one else None
    words = {}
    if selection.from_one:
        words["background"] = "labels count from 1: 0 is the background"
    if selection.classes is None:
        return ("object",), background, words
    count = selection.classes
    if count == len(COCO91):
        names, naming = default_classes(count)
        return names, 0, {**words, "classes": naming}
    if selection.from_one and count > 1:
        names, naming = default_classes(count - 1)
        return (BACKGROUND, *names), 0, {**words, "classes": naming}
    names, naming = default_classes(count)
    seen = f"{count} of them, as the layers that say the scores have channels"
    return names, background, {**words, "classes": f"{naming}; {seen}"}


def preprocessed(
    defaults: DetectorSpec, selection: Selection, facts: GraphFacts
) -> tuple[DetectorSpec, str]:
    """Return the preprocessing of the exporter that writes such outputs, and its name."""
    changes, source = _usual(selection, facts)
    image = {**defaults.input.model_dump(), **changes}
    return defaults.replace(input=image), source


def _usual(selection: Selection, facts: GraphFacts) -> tuple[Mapping[str, object], str]:
    first = selection.parts[0]
    sizes = [tensor for tensor in facts.inputs if _is_size(tensor)]
    if first.holds[:2] == ("label", "score"):
        changes = _STRETCHED if len(sizes) > 1 else {**_STRETCHED, **_IMAGENET}
        return changes, "the usual PaddleDetection export"
    if first.holds == ("boxes", "score"):
        return _MMDET, "the usual RTMDet export by mmdeploy"
    if selection.corners.layout == "cxcywh" or any(t.dtype.startswith("int") for t in sizes):
        return _STRETCHED, "the usual RT-DETR export"
    if first.holds == ("boxes",) and selection.corners.layout == "yxyx":
        return {**_STRETCHED, "scale": 1.0}, "the usual TensorFlow Object Detection export"
    if first.holds == ("boxes",) and selection.from_one:
        return _STRETCHED, "the usual torchvision export"
    return {}, "the usual YOLO export"


def _is_size(tensor: TensorSpec) -> bool:
    return len(tensor.shape) == 2 and tensor.shape[1] == 2


@dataclass
class Feeding:
    """What the inputs beside the image are fed.

    Attributes:
        fed: by input; ``assumed``: in words, by spec key; ``seen``: what the probe showed.
        scaled: whether boxes come in whatever unit a fed size has.
    """

    fed: dict[str, Fed] = field(default_factory=dict)
    assumed: dict[str, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    scaled: bool = False


def feeding_of(selection: Selection, facts: GraphFacts) -> Feeding:
    """Work out what the other inputs are fed.

    A size multiplies the boxes' coordinates, a scale divides them: which of them, is seen where
    the probe doubles an input's first number.
    """
    image = image_tensor(facts).name
    feeding = Feeding()
    for tensor in facts.inputs:
        if tensor.name == image:
            continue
        ratios = _ratios(selection, facts, tensor.name)
        if ratios is not None:
            fed = _fed_of(*ratios, selection.corners.layout)
            feeding.fed[tensor.name] = fed
            feeding.scaled |= fed != "ones"
            feeding.seen.append(
                f"doubling the first number of input '{tensor.name}' multiplies the boxes' "
                f"columns by {ratios[0]:.2g} and {ratios[1]:.2g}: fed {fed}"
            )
        elif len(tensor.shape) == 3 or tensor.dtype.startswith("float"):
            feeding.fed[tensor.name] = "ones"
            words = f"input '{tensor.name}' is fed ones: a scale, or a mask"
            feeding.assumed["extra_inputs"] = words
        elif _is_size(tensor):
            feeding.fed[tensor.name] = "input-wh"
            words = f"input '{tensor.name}' is the input's width and height"
            feeding.assumed["extra_inputs"] = words
            feeding.scaled = True
    return feeding


def _ratios(selection: Selection, facts: GraphFacts, name: str) -> tuple[float, float] | None:
    """Return by what doubling an input's first number multiplies the boxes' columns 0 and 1."""
    if facts.tail is None or name not in facts.tail.doubled:
        return None
    part = selection.parts[0]
    start = 0
    for role in part.holds[: part.holds.index("boxes")]:
        start += 4 if role == "boxes" else 1
    before, after = facts.tail.rest[part.name], facts.tail.doubled[name][part.name]
    if before.shape != after.shape:
        return None
    first, second = (_ratio(before, after, start + axis) for axis in range(2))
    return None if abs(first - 1) < 0.1 and abs(second - 1) < 0.1 else (first, second)


def _ratio(before: Array, after: Array, column: int) -> float:
    """Return the median of after / before over a corner's two coordinates."""
    known = np.abs(before[..., [column, column + 2]]) > 1e-4
    if not known.any():
        return 1.0
    pair = [part[..., [column, column + 2]][known].astype(np.float64) for part in (after, before)]
    return float(np.median(pair[0] / pair[1]))


def _fed_of(first: float, second: float, layout: str) -> Fed:
    """Return what an input is whose first number multiplies the two coordinates so."""
    x, y = (second, first) if layout == "yxyx" else (first, second)
    if x > 1.5:
        return "input-wh"
    return "input-hw" if y > 1.5 else "ones"
