"""Rounding that gradients pass: what integers make of activations and weights, in float."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from edgecv_cli.compress.training.values import Attributes, Op, Operands, operand

LEAST_FACTOR = 0.05


def _fake_quantize(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    """Round to a grid whose scale is ``scale`` times a factor that is learned, if one is given.

    The gradient passes rounding as it came (Bengio et al. 2013, "Estimating or Propagating
    Gradients Through Stochastic Neurons"), and reaches the factor as in Esser et al. 2020,
    "Learned Step Size Quantization", section 2.
    """
    data, factor = x[0], operand(x, 1)
    scale = a["scale"]
    if factor is not None:
        part = 1 / math.sqrt(data.numel() * (a["last"] - a["first"]))
        scale = scale * _same(bounded(torch, factor, a["most"]), part)
    inside = torch.clamp(data / scale, a["first"] - a["zero"], a["last"] - a["zero"])
    return (torch.round(inside).detach() + (inside - inside.detach())) * scale


def bounded(torch: ModuleType, factor: Any, most: float) -> Any:
    """Return a factor within what a scale may become."""
    return torch.clamp(factor, LEAST_FACTOR, most)


def _same(value: Any, part: float) -> Any:
    """Return a tensor of the same value through which only a part of the gradient passes."""
    passed = value * part
    return value.detach() + (passed - passed.detach())


def _fake_weights(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    """Return a layer's weights, and its bias if any, as its integers stand for them."""
    weight, bias, factor = x[0], operand(x, 1), operand(x, 2)
    scale = a["scale"]
    if factor is not None:
        scale = float(scale * bounded(torch, factor.detach(), a["most"]))
    rounded = a["rounder"](weight, bias, scale)
    made = [
        torch.as_tensor(value, device=weight.device) + (float_ - float_.detach())
        for value, float_ in zip(rounded, (weight, bias), strict=True)
        if value is not None and float_ is not None
    ]
    return tuple(made)


QUANTIZING: Mapping[str, Op] = {"FakeQuantize": _fake_quantize, "FakeWeights": _fake_weights}
"""Put into a program by :mod:`edgecv_cli.compress.training.fake_quant`; no model holds them."""
