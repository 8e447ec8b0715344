"""The preprocessings that detectors are trained with: what can be tried for one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.detector.spec import InputSpec

Key = Literal["scale", "color", "resize"]
KEYS: tuple[Key, ...] = ("scale", "color", "resize")

_PLAIN = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # torchvision, RGB, of 0..1
_PIXEL_MEAN = (123.675, 116.28, 103.53)  # the same mean of 0..255, as Caffe's nets subtract it
_SAME = 0.02  # of the range of values: no network tells these apart


class Choice(NamedTuple):
    """One way to feed a picture, and what it is called."""

    name: str
    input: InputSpec


def choices(current: InputSpec, key: Key) -> list[Choice]:
    """Return what differs from ``current`` in one thing, and is used in practice.

    ``scale`` stands for scale, mean and std together. None is offered for the scale of a uint8
    input, which is inside the graph. What gives nearly the same values is offered once.
    """
    made = {"scale": _scales, "color": _colors, "resize": _resizes}[key](current)
    kept: list[Choice] = []
    for choice in made:
        if not any(alike(choice.input, other) for other in (current, *(c.input for c in kept))):
            kept.append(choice)
    return kept


def alike(a: InputSpec, b: InputSpec) -> bool:
    """Whether two ways to feed a picture give nearly the same values in the same places."""
    if (a.color, a.resize) != (b.color, b.resize):
        return False
    ends = [_ends(spec) for spec in (a, b)]
    spans = [float(np.ptp(pair)) for pair in ends]
    return bool(np.abs(ends[0] - ends[1]).max() <= _SAME * max(spans))


def scale_words(spec: InputSpec) -> str:
    """Say what values a picture gets."""
    if spec.mean == _PLAIN[0] and spec.std == _PLAIN[1]:
        return "0..255" if spec.scale == 1 else f"0..{255 / spec.scale:.3g}"
    low, high = (part.round(2) for part in _ends(spec))
    if len(set(low)) == len(set(high)) == 1:
        return f"{low[0]:g}..{high[0]:g}"
    words = [",".join(f"{value:.4g}" for value in part) for part in (spec.mean, spec.std)]
    return f"/ {spec.scale:g}, - {words[0]}, / {words[1]}"


def _ends(spec: InputSpec) -> NDArray[np.float64]:
    """The values of pixels 0 and 255, per channel [2, 3]."""
    pixels = np.array([[0.0], [255.0]]) / spec.scale
    ends: NDArray[np.float64] = (pixels - np.asarray(spec.mean)) / np.asarray(spec.std)
    return ends


def _scales(current: InputSpec) -> Iterator[Choice]:
    if current.dtype == "uint8":
        return
    turn = slice(None, None, -1 if current.color == "bgr" else 1)
    for scale, mean, std in (
        (1.0, *_PLAIN),
        (255.0, *_PLAIN),
        (127.5, (1.0, 1.0, 1.0), _PLAIN[1]),
        (255.0, *_IMAGENET),
        (255.0, _IMAGENET[0][::-1], _IMAGENET[1][::-1]),
        (1.0, _PIXEL_MEAN, _PLAIN[1]),
    ):
        changes = {"scale": scale, "mean": mean[turn], "std": std[turn]}
        changed = current.model_copy(update=changes)
        yield Choice(scale_words(changed), changed)


def _colors(current: InputSpec) -> Iterator[Choice]:
    """The other order; means and deviations are those of colours and go with them."""
    other = "bgr" if current.color == "rgb" else "rgb"
    changes = {"color": other, "mean": current.mean[::-1], "std": current.std[::-1]}
    yield Choice(other, current.model_copy(update=changes))


def _resizes(current: InputSpec) -> Iterator[Choice]:
    for resize in ("letterbox", "letterbox-topleft", "stretch"):
        yield Choice(resize, current.model_copy(update={"resize": resize}))
