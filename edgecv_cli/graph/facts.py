"""What a graph says of itself, structurally: never by node name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import UsageError
from edgecv_cli.core.tensors import TensorSpec, is_image, is_nhwc


@dataclass(frozen=True, eq=False)
class TailProbe:
    """How the decode tail answers when the network's last layers say given things.

    The *decode tail* is what stands between the last weighted ops (the *heads*) and the
    outputs. It is cut off, run alone and looked at from outside, so that the layout is read
    from what the graph does and not from how an exporter happened to spell it.

    Attributes:
        heads: output tensors of the last weighted ops, name to concrete shape (batch 1).
        rest: every graph output by name, with all heads at 0.
        high: the same with all heads at +8 (a sigmoid gives 0.99966).
        low: the same with all heads at -8.
        touched: head name -> output name -> bool array of the output's shape: the elements
            that move when that one head is set to seeded noise and all others stay at 0.
        noise: every graph output with all heads at seeded noise, N(0, 1).
        doubled: for every small input that decoding reads (a picture's size; it is fed ones
            otherwise), the outputs at rest with its first number doubled.
        bias: the stored bias of every head that has one, float64.
    """

    heads: Mapping[str, tuple[int, ...]]
    rest: Mapping[str, NDArray[Any]]
    high: Mapping[str, NDArray[Any]]
    low: Mapping[str, NDArray[Any]]
    touched: Mapping[str, Mapping[str, NDArray[np.bool_]]]
    noise: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    doubled: Mapping[str, Mapping[str, NDArray[Any]]] = field(default_factory=dict)
    bias: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class GraphFacts:
    """A graph's interface, size and decode tail.

    Attributes:
        inputs, outputs: as declared, with batch 1 and the given image size where those are
            open; an axis that stays open is None.
        input_size: [height, width] if the image input is static or was given, else None.
        opset: version of the default operator set.
        precision: ``fp32``, ``fp16``, ``int8`` (QDQ or QLinear ops) or ``mixed``.
        parameters: number of weight elements; ``macs``: multiply-accumulates of one image in
            Conv, ConvTranspose, Gemm and MatMul, or None where shapes are unknown.
        op_counts: operator name to how often it occurs.
        metadata: the model's own key/value strings.
        tail: the probed decode tail, or None, and then ``tail_problem`` says why.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    input_size: tuple[int, int] | None
    opset: int
    precision: str
    parameters: int
    macs: int | None
    op_counts: Mapping[str, int]
    metadata: Mapping[str, str]
    tail: TailProbe | None
    tail_problem: str | None = None


def input_size(
    inputs: Sequence[TensorSpec], asked: tuple[int, int] | None
) -> tuple[int, int] | None:
    """Return [height, width] of the picture that a file of fixed inputs takes.

    Args:
        inputs: of the file.
        asked: held against it, and the answer where it leaves the size open.

    Raises:
        UsageError: ``asked`` contradicts it.
    """
    image = next((spec for spec in inputs if is_image(spec.shape)), None)
    if image is None:
        return asked
    height, width = image.shape[1:3] if is_nhwc(image.shape) else image.shape[2:4]
    if height is None or width is None:
        return asked
    if asked not in (None, (height, width)):
        raise UsageError(
            f"--input-size contradicts the model, which runs at {height}x{width}",
            remedy="leave --input-size out",
        )
    return height, width
