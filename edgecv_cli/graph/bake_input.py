"""Give a network bytes: its preprocessing goes into the graph, and mostly into its first weights.

What stands before a network, (pixel / scale - mean) / std in some order of colours, is linear per
channel. Order and factor go into the first convolution; the mean does so only where that pads
nothing. Around its input a padding convolution has zeros, which stand for the mean: folded into
the bias, the mean would be missing there, so that a subtraction is left in the graph instead. A
network of Q/DQ pairs whose first grid is of uint8 takes the bytes as its first integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.tensors import is_nhwc
from edgecv_cli.graph.entry import Entry, branches, free_name, rename
from edgecv_cli.graph.normalise import MIN_OPSET, lifted
from edgecv_cli.graph.opset import at_least
from edgecv_cli.graph.pixel_folds import CannotFoldError, Channels, Folding
from edgecv_cli.graph.shapes import value_shape

Layout = Literal["nchw", "nhwc"]
_COLOURS = 3
_HALF, _FULL = TensorProto.FLOAT16, TensorProto.FLOAT


@dataclass(frozen=True)
class Preparation:
    """What pixels go through before they reach the network.

    Attributes:
        reversed_colours: the network takes the colours in the opposite order of its new input.
        scale: divides the pixel first.
        mean, std: then applied, per channel in the network's order.
    """

    reversed_colours: bool
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def gain(self) -> NDArray[np.float64]:
        """What a pixel is multiplied by, per channel of the network."""
        return 1.0 / (self.scale * np.asarray(self.std, np.float64))

    @property
    def shift(self) -> NDArray[np.float64]:
        """What is added then."""
        return -np.asarray(self.mean, np.float64) / np.asarray(self.std, np.float64) + 0.0

    @property
    def order(self) -> NDArray[np.int64]:
        """Which channel of the new input each channel of the network is."""
        return np.arange(_COLOURS)[:: -1 if self.reversed_colours else 1]


@dataclass(frozen=True)
class Baked:
    """A network that takes bytes.

    Attributes:
        model: with a uint8 input of the old one's name, [N, 3, H, W] or [N, H, W, 3].
        left: operators that are left before the network, in order; empty: the bytes are its
            first integers.
        layout: of its input.
        why: why colours, scale or mean stayed outside of the weights; empty where none did.
    """

    model: onnx.ModelProto
    left: tuple[str, ...]
    layout: Layout
    why: tuple[str, ...]


@dataclass(frozen=True)
class _Attempt:
    """How much is folded; the rest is computed before the network.

    Attributes:
        whole: no Cast: the bytes are the integers of the first grid.
    """

    order: bool
    gain: bool
    shift: bool
    whole: bool = False


_ATTEMPTS = (
    _Attempt(order=True, gain=True, shift=True, whole=True),
    _Attempt(order=True, gain=True, shift=True),
    _Attempt(order=True, gain=True, shift=False),
    _Attempt(order=False, gain=True, shift=True, whole=True),
    _Attempt(order=False, gain=True, shift=True),
    _Attempt(order=False, gain=True, shift=False),
    _Attempt(order=True, gain=False, shift=False),
    _Attempt(order=False, gain=False, shift=False),
)


def baked(
    model: onnx.ModelProto, name: str, preparation: Preparation, layout: Layout | None = None
) -> Baked:
    """Return a copy that does its own preprocessing.

    Args:
        model: a checked model; it is not changed.
        name: of the input that takes the picture, float32 or float16.
        preparation: what stands before the network by now.
        layout: of the new input; None: as the network has it.

    Raises:
        ModelError: the input is of no such type, or it is an output as well.
    """
    work = lifted(at_least(model, MIN_OPSET))
    image = _image(work, name)
    had: Layout = "nhwc" if is_nhwc(value_shape(image) or ()) else "nchw"
    half = image.type.tensor_type.elem_type == _HALF
    wanted = layout or had
    why: dict[str, None] = {}
    for attempt in _ATTEMPTS:
        if half and attempt.gain:
            continue  # weights of 1/255 would leave what float16 holds
        try:
            folding = _folded(work, name, preparation, attempt, had)
        except CannotFoldError as error:
            if not attempt.whole:
                why[str(error)] = None
            continue
        _store(work, folding)
        left = _enter(work, image, preparation, attempt, (had, wanted))
        return Baked(work, left, wanted, tuple(why))
    raise AssertionError("nothing is folded by the last attempt")


def bytes_as_integers(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return a copy of a Q/DQ model that takes bytes in which these are its first integers.

    The model itself is returned where something other than a Cast and a grid of uint8 stands
    between the two.
    """
    image = next((value for value in model.graph.input if value.name == name), None)
    at = [index for index, node in enumerate(model.graph.node) if name in node.input]
    if image is None or image.type.tensor_type.elem_type != TensorProto.UINT8 or len(at) != 1:
        return model
    work = onnx.ModelProto()
    work.CopyFrom(model)
    cast = work.graph.node[at[0]]
    if cast.op_type != "Cast":
        return model
    layout: Layout = "nhwc" if is_nhwc(value_shape(image) or ()) else "nchw"
    plain = Preparation(False, 1.0, (0.0,) * 3, (1.0,) * 3)
    try:
        folding = _folded(work, cast.output[0], plain, _ATTEMPTS[0], layout)
    except CannotFoldError:
        return model
    _store(work, folding)
    rename(work.graph.node, cast.output[0], name)
    work.graph.node.remove(cast)
    return work


def _image(model: onnx.ModelProto, name: str) -> onnx.ValueInfoProto:
    image: onnx.ValueInfoProto | None = next(
        (value for value in model.graph.input if value.name == name), None
    )
    remedy = "leave --bake-preprocess out"
    if image is None or len(value_shape(image) or ()) != 4:
        raise ModelError(f"the model has no image input '{name}'", remedy=remedy)
    if image.type.tensor_type.elem_type not in (_HALF, _FULL):
        raise ModelError(
            f"the input '{name}' takes no floating-point numbers: there is nothing to bake in",
            remedy=remedy,
        )
    if any(value.name == name for value in model.graph.output):
        raise ModelError(f"the input '{name}' is an output as well", remedy=remedy)
    return image


def _folded(
    model: onnx.ModelProto, name: str, preparation: Preparation, attempt: _Attempt, layout: Layout
) -> Folding:
    """Look at everything that reads the picture.

    Raises:
        CannotFoldError: something can't take the raw channels.
    """
    gain, shift = preparation.gain, preparation.shift
    ones, zeros = np.ones(_COLOURS), np.zeros(_COLOURS)
    if attempt.gain and not attempt.shift:
        shift = zeros  # what is subtracted before is in pixels
    state = Channels(
        axis=1 if layout == "nchw" else 3,
        rank=4,
        order=preparation.order if attempt.order else np.arange(_COLOURS),
        gain=gain if attempt.gain else ones,
        shift=shift if attempt.shift else zeros,
        raw_bytes=attempt.whole,
    )
    folding = Folding(_constants(model), _restored(model), seen={name: state})
    if not (attempt.order or attempt.gain):
        return Folding(folding.constants, folding.restored)
    for index, node in enumerate(model.graph.node):
        if any(part in folding.seen for part in node.input):
            folding.through(index, node)
        elif any(_reads(part, folding.seen) for part in branches(node)):
            raise CannotFoldError(f"{node.op_type} reads the picture inside of a branch")
    for value in model.graph.output:
        if value.name in folding.seen:
            raise CannotFoldError("the picture is an output")
    return folding


def _reads(graph: onnx.GraphProto, names: Sequence[str] | dict[str, Channels]) -> bool:
    return any(
        any(name in names for name in node.input)
        or any(_reads(part, names) for part in branches(node))
        for node in graph.node
    )


def _constants(model: onnx.ModelProto) -> dict[str, NDArray[np.generic]]:
    readers = {name for node in model.graph.node for name in node.input}
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.name in readers
    }


def _restored(model: onnx.ModelProto) -> dict[str, tuple[int, onnx.NodeProto]]:
    stored = {tensor.name for tensor in model.graph.initializer}
    reads: dict[str, int] = {}
    for node in model.graph.node:
        for name in node.input:
            reads[name] = reads.get(name, 0) + 1
    return {
        node.output[0]: (index, node)
        for index, node in enumerate(model.graph.node)
        if node.op_type == "DequantizeLinear"
        and node.input[0] in stored
        and reads.get(node.output[0]) == 1
    }


def _store(model: onnx.ModelProto, folding: Folding) -> None:
    """Store what changed under names of its own: others may read the old tensors."""
    graph = model.graph
    used = {name for node in graph.node for name in (*node.input, *node.output)}
    used |= {value.name for value in (*graph.input, *graph.output)}
    for (index, place), values in folding.edits.items():
        node = graph.node[index]
        while len(node.input) <= place:
            node.input.append("")
        old = folding.constants.get(node.input[place])
        first = folding.constants.get(node.input[1])
        like = old if old is not None else values if values.dtype == np.uint8 else first
        assert like is not None
        name = free_name(f"{node.output[0]}_baked_{place}", used)
        graph.initializer.append(numpy_helper.from_array(values.astype(like.dtype), name))
        node.input[place] = name
    for index in sorted(folding.skipped, reverse=True):
        node = graph.node[index]
        rename(graph.node, node.output[0], node.input[0])
        del graph.node[index]
    del graph.value_info[:]  # tensors before the first grid may be bytes now
    _drop_unread(model)


def _drop_unread(model: onnx.ModelProto) -> None:
    graph = model.graph
    read = {name for node in graph.node for name in node.input}
    read |= {name for node in graph.node for part in branches(node) for name in _inner(part)}
    read |= {value.name for value in graph.output}
    for tensor in [one for one in graph.initializer if one.name not in read]:
        graph.initializer.remove(tensor)


def _inner(graph: onnx.GraphProto) -> set[str]:
    names = {name for node in graph.node for name in node.input}
    names |= {value.name for value in graph.output}
    for node in graph.node:
        for part in branches(node):
            names |= _inner(part)
    return names


def _enter(
    model: onnx.ModelProto,
    image: onnx.ValueInfoProto,
    preparation: Preparation,
    attempt: _Attempt,
    layouts: tuple[Layout, Layout],
) -> tuple[str, ...]:
    """Put what was not folded before the network, and make the input one of bytes."""
    had, wanted = layouts
    half = image.type.tensor_type.elem_type == _HALF
    entry = Entry(model, image.name)
    steps = _arithmetic(preparation, attempt)
    if not attempt.whole:  # first: engines have little else for bytes
        entry.add("Cast", to=_HALF if half and not steps else _FULL)
    if wanted != had:
        entry.add("Transpose", perm=[0, 3, 1, 2] if had == "nchw" else [0, 2, 3, 1])
    if preparation.reversed_colours and not attempt.order:
        entry.add("Gather", np.arange(_COLOURS)[::-1], axis=1 if had == "nchw" else 3)
    spread = (1, _COLOURS, 1, 1) if had == "nchw" else (1, 1, 1, _COLOURS)
    for kind, values in steps:
        entry.add(kind, values.astype(np.float32).reshape(spread))
    if half and steps:
        entry.add("Cast", to=_HALF)
    entry.close()
    _retype(image, had, wanted)
    return tuple(node.op_type for node in entry.nodes)


def _arithmetic(
    preparation: Preparation, attempt: _Attempt
) -> list[tuple[str, NDArray[np.float64]]]:
    """Return what is left of the arithmetic, per channel as the network's first tensor has them."""
    order = preparation.order if attempt.order else np.arange(_COLOURS)
    gain = preparation.gain[np.argsort(order)]
    pixels = (-preparation.shift / preparation.gain)[np.argsort(order)]
    steps = []
    if np.any(pixels) and not attempt.shift:
        steps.append(("Sub", pixels))
    if np.any(gain != 1.0) and not attempt.gain:
        steps.append(("Mul", gain))
    return steps


def _retype(image: onnx.ValueInfoProto, had: Layout, wanted: Layout) -> None:
    kind = image.type.tensor_type
    kind.elem_type = TensorProto.UINT8
    if had == wanted:
        return
    dims = list(kind.shape.dim)
    del kind.shape.dim[:]
    turned = (0, 2, 3, 1) if wanted == "nhwc" else (0, 3, 1, 2)
    kind.shape.dim.extend([dims[axis] for axis in turned])
