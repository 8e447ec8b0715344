"""TensorRT's calibration cache, from the scales that Q/DQ pairs hold.

Releases up to 10.x can build int8 from a float graph and such a cache, which is what DLA cores
take; 11 has no calibration. The format: text, ``TRT-<release>-EntropyCalibration2`` on the first
line, then ``tensor: 8 hex digits``, the big-endian float32 of the scale, amax / 127 (the forum of
NVIDIA's developers, 56161; read back by ``ReadDynamicRange`` of ONNX Runtime's TensorRT provider).
A release refuses the cache of another, so the number is filled in on the device.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import onnx

from edgecv_cli.graph.dequantise import dequantised
from edgecv_cli.graph.tensorrt.view import QUANTIZE, View

RELEASE = "@RELEASE@"
"""What stands for the release until it is known."""


def float_form(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, float]]:
    """Return the float graph of a Q/DQ model, and the scales of its tensors by name.

    Args:
        model: symmetric int8, as TensorRT takes it; it is not changed.

    Raises:
        ModelError: the pairs can't be taken out.
    """
    plain = dequantised(model)
    there = {value.name for value in (*plain.graph.input, *plain.graph.output)}
    there |= {name for node in plain.graph.node for name in node.output}
    found = {name: scale for name, scale in _scales(model).items() if name in there}
    return plain, found


def _scales(model: onnx.ModelProto) -> dict[str, float]:
    """Return the scale of each tensor that is quantized as a whole around 0."""
    view = View(model)
    found: dict[str, float] = {}
    for node in view.of(QUANTIZE):
        scale, point = view.value(view.part(node, 1)), view.value(view.part(node, 2))
        if scale is None or scale.size != 1 or (point is not None and point.any()):
            continue
        found[str(node.input[0])] = float(scale.reshape(()))
    return found


def cache_text(scales: Mapping[str, float]) -> str:
    """Return the cache, with :data:`RELEASE` where the release's number goes.

    A name that would break its line is left out: that tensor runs in float.
    """
    lines = [f"TRT-{RELEASE}-EntropyCalibration2"]
    for name, scale in sorted(scales.items()):
        if name and name.isprintable():
            lines.append(f"{name}: {struct.pack('>f', scale).hex()}")
    return "\n".join(lines) + "\n"
