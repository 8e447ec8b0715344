"""A small ONNX graph builder for tests: seeded weights, opset 11 to 21."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

GAIN = 8.0  # planted features run 0..8, where SiLU is nearly the identity
REACH = 3  # cells that a planted box branch looks to each side
SIDES = ("left", "up", "right", "down")
COLOURS = 3  # planted features: chroma of red, green, blue


class Net:
    """Collects nodes and initializers; every method returns the name of a new tensor."""

    def __init__(self, *, seed: int, opset: int, activation: str, depthwise: bool) -> None:
        self.rng = np.random.default_rng(seed)
        self.opset = opset
        self.activation = activation
        self.depthwise = depthwise
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        name = out or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def const(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"const_{len(self.initializers)}"
        array = np.asarray(value, dtype)
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def ints(self, *values: int) -> str:
        return self.const(values, np.int64)

    def slice(self, x: str, start: int, stop: int, axis: int, step: int = 1) -> str:
        return self.op(
            "Slice", x, self.ints(start), self.ints(stop), self.ints(axis), self.ints(step)
        )

    def act(self, x: str) -> str:
        if self.activation == "relu":
            return self.op("Relu", x)
        return self.op("Mul", x, self.op("Sigmoid", x))

    def conv(
        self,
        x: str,
        weight: NDArray[Any],
        bias: NDArray[Any] | None = None,
        *,
        stride: int = 1,
        group: int = 1,
    ) -> str:
        pad = weight.shape[2] // 2
        names = [x, self.const(weight)]
        if bias is not None:
            names.append(self.const(bias))
        return self.op(
            "Conv",
            *names,
            kernel_shape=list(weight.shape[2:]),
            strides=[stride, stride],
            pads=[pad] * 4,
            group=group,
        )

    def stage(self, x: str, inputs: int, outputs: int) -> str:
        """Halve the map. The first COLOURS channels pass on as exact 2x2 means."""
        mean = np.zeros((3, 3), np.float32)
        mean[1:, 1:] = 0.25
        mix = self.rng.normal(0, 1 / np.sqrt(inputs), (outputs, inputs)).astype(np.float32)
        mix[:COLOURS] = np.eye(COLOURS, inputs)
        if not self.depthwise:
            weight = mix[:, :, None, None] * mean
            return self.act(self.conv(x, weight, np.zeros(outputs), stride=2))
        spread = np.broadcast_to(mean, (inputs, 1, 3, 3))
        x = self.conv(x, spread, np.zeros(inputs), stride=2, group=inputs)
        return self.act(self.conv(x, mix[:, :, None, None], np.zeros(outputs)))

    def stem(self, image: str, width: int, scale: float, bgr: bool) -> str:
        """Turn pixels (0..255 divided by `scale`) into GAIN x chroma, halving the map."""
        chroma = np.eye(3) * 1.5 - 0.5
        if bgr:
            chroma = chroma[:, ::-1]
        mix = self.rng.normal(0, 1, (width, 3)).astype(np.float32)
        mix[:COLOURS] = chroma * GAIN
        mean = np.zeros((3, 3), np.float32)
        mean[1:, 1:] = 0.25
        weight = mix[:, :, None, None] * mean * (scale / 255.0)
        return self.act(self.conv(image, weight, np.zeros(width), stride=2))

    def residual(self, x: str, width: int) -> str:
        """Add two 3x3 convolutions to x; the planted channels get nothing added."""
        first = self.rng.normal(0, 0.1, (width, width, 3, 3)).astype(np.float32)
        second = self.rng.normal(0, 0.1, (width, width, 3, 3)).astype(np.float32)
        second[:COLOURS] = 0
        inner = self.act(self.conv(x, first, np.zeros(width)))
        return self.op("Add", x, self.conv(inner, second))

    def upsample(self, x: str) -> str:
        region = self.const([]) if self.opset < 13 else ""
        return self.op("Resize", x, region, self.const([1, 1, 2, 2]), mode="nearest")

    def pyramid(self, image: str, width: int, scale: float, bgr: bool) -> list[str]:
        """Maps of `width` channels at strides 8, 16, 32; the first sees the second."""
        x = self.stage(self.stem(image, width, scale, bgr), width, width)
        p3 = self.residual(self.stage(x, width, width), width)
        p4 = self.stage(p3, width, width)
        p5 = self.stage(p4, width, width)
        mixed = self.op("Concat", p3, self.upsample(p4), axis=1)
        mix = self.rng.normal(0, 0.3, (width, 2 * width, 1, 1)).astype(np.float32)
        mix[:COLOURS] = np.eye(COLOURS, 2 * width)[:, :, None, None]
        return [self.act(self.conv(mixed, mix)), p4, p5]

    def build(
        self,
        inputs: Mapping[str, Sequence[Any]],
        outputs: Mapping[str, Sequence[Any]],
        metadata: Mapping[str, str],
    ) -> onnx.ModelProto:
        def infos(shapes: Mapping[str, Sequence[Any]]) -> list[onnx.ValueInfoProto]:
            return [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
                for name, shape in shapes.items()
            ]

        graph = helper.make_graph(
            self.nodes, "net", infos(inputs), infos(outputs), self.initializers
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8
        )
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return model


def head_weights(
    rng: np.random.Generator, width: int, terms: Sequence[Mapping[str, float]], noise: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights [len(terms), width, 7, 7] (1, 1 if no neighbour counts) and biases of a head.

    A term maps what a row reads to a factor: `left`, `up`, `right`, `down` are the lit cells
    on that side, `colour0`.. the cell's own chroma, `bias` a constant; all in units of cells.
    """
    sided = any(key in SIDES for term in terms for key in term)
    c = REACH if sided else 0
    size = 2 * c + 1
    weight = np.zeros((len(terms), width, size, size), np.float32)
    weight[:, COLOURS:, c, c] = rng.normal(0, noise, (len(terms), width - COLOURS))
    bias = np.zeros(len(terms), np.float32)
    sides = {
        "left": (c, slice(0, c)),
        "right": (c, slice(c + 1, size)),
        "up": (slice(0, c), c),
        "down": (slice(c + 1, size), c),
    }
    for row, term in enumerate(terms):
        for key, factor in term.items():
            if key == "bias":
                bias[row] = factor
            elif key.startswith("colour"):
                weight[row, int(key[6:]), c, c] = factor / GAIN
            else:
                weight[(row, slice(0, COLOURS), *sides[key])] = factor / GAIN
    return weight, bias
