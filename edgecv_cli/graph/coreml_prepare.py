"""Make a detector's graph one that Core ML takes: a picture in, and names that are identifiers.

Core ML hands a picture over as planes of 0 to 255 in a fixed colour order. What a network wants
of them (a factor and an offset per channel, channels last, bytes) is put into the graph, in front
of it: coremltools' own ``ImageType(scale=, bias=)`` makes the same two operations of a program,
but has one factor for all channels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.tensors import TensorSpec, is_nhwc
from edgecv_cli.graph.coreml_facts import Interface, Picture, Port

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")
_FLOAT = onnx.TensorProto.FLOAT


@dataclass(frozen=True)
class Prepared:
    """A graph as the converter takes it, and what its tensors are in the original."""

    model: onnx.ModelProto
    interface: Interface


def prepared(
    model: onnx.ModelProto,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    pictures: Mapping[str, Picture],
    *,
    called: Mapping[str, str] | None = None,
) -> Prepared:
    """Return a copy that takes pictures.

    Args:
        model: a normalised graph; it is not changed.
        inputs, outputs: the original's, as it declares them, with all sizes fixed.
        pictures: inputs to feed as pictures, by name; each is [1, 3, H, W] or [1, H, W, 3].
        called: what inputs are to be called in the package, by name; others keep theirs.

    Raises:
        ModelError: an input that is fed as a picture is none, or does arithmetic on bytes.
    """
    work = onnx.ModelProto()
    work.CopyFrom(model)
    names = _Names(work)
    ports_in = []
    for spec in inputs:
        feature = names.identifier((called or {}).get(spec.name, spec.name), own=spec.name)
        picture = pictures.get(spec.name)
        if picture is not None:
            _picture(work, spec, picture, feature, names)
        elif feature != spec.name:
            _renamed_input(work, spec.name, feature)
        ports_in.append(_port(spec, feature, picture))
    ports_out = []
    for spec in outputs:
        feature = names.identifier(spec.name)
        if feature != spec.name:
            _renamed_output(work, spec.name, feature)
        ports_out.append(_port(spec, feature, None))
    _check(work)
    return Prepared(work, Interface(inputs=tuple(ports_in), outputs=tuple(ports_out)))


def _port(spec: TensorSpec, feature: str, picture: Picture | None) -> Port:
    shape = tuple(size or 1 for size in spec.shape)
    return Port(name=spec.name, shape=shape, dtype=spec.dtype, feature=feature, picture=picture)


class _Names:
    """Names that are in use, and new ones."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self._used = {name for node in graph.node for name in (*node.input, *node.output)}
        self._used |= {one.name for one in (*graph.input, *graph.output, *graph.initializer)}

    def identifier(self, name: str, *, own: str | None = None) -> str:
        """Return the name, or one like it that Core ML takes; ``own``: what it is called now."""
        clean = _NOT_IN_NAMES.sub("_", name)
        if clean[:1].isdigit() or not clean:
            clean = f"_{clean}"
        return name if clean == name == (own or name) else self.free(clean)

    def free(self, name: str) -> str:
        """Return a name that nothing has, and take it."""
        while name in self._used:
            name += "_"
        self._used.add(name)
        return name


def _picture(
    model: onnx.ModelProto, spec: TensorSpec, picture: Picture, feature: str, names: _Names
) -> None:
    """Feed an input from a picture [1, 3, H, W] of 0..255."""
    value = next(one for one in model.graph.input if one.name == spec.name)
    shape = [one.dim_value for one in value.type.tensor_type.shape.dim]
    last = is_nhwc(tuple(shape))
    height, width = shape[1:3] if last else shape[2:4]
    if shape[0] != 1:
        raise ModelError(
            f"the network takes {shape[0]} pictures at a time, and Core ML one",
            remedy="export it with batch 1",
        )
    inside = names.free(f"{feature}_scaled")
    _rewire(model.graph, spec.name, inside)
    chain, now = [], feature
    for kind, constant in (("Mul", picture.scale), ("Add", picture.offset)):
        if any(number != (kind == "Mul") for number in constant):
            stored = names.free(f"{feature}_{kind.lower()}")
            array = np.asarray(constant, np.float32).reshape(1, 3, 1, 1)
            model.graph.initializer.append(numpy_helper.from_array(array, stored))
            after = names.free(f"{feature}_{kind.lower()}ed")
            chain.append(helper.make_node(kind, [now, stored], [after], name=after))
            now = after
    if last:
        node = helper.make_node("Transpose", [now], [inside], perm=[0, 2, 3, 1], name=inside)
    else:
        node = helper.make_node("Identity", [now], [inside], name=inside)
    for place, one in enumerate([*chain, node]):
        model.graph.node.insert(place, one)
    value.CopyFrom(helper.make_tensor_value_info(feature, _FLOAT, [1, 3, height, width]))
    del model.graph.value_info[:]  # what followed bytes follows floats now


def _rewire(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == old:
                node.input[place] = new


def _renamed_input(model: onnx.ModelProto, old: str, new: str) -> None:
    _rewire(model.graph, old, new)
    next(one for one in model.graph.input if one.name == old).name = new


def _renamed_output(model: onnx.ModelProto, old: str, new: str) -> None:
    graph = model.graph
    _rewire(graph, old, new)
    for node in graph.node:
        for place, name in enumerate(node.output):
            if name == old:
                node.output[place] = new
    for one in (*graph.output, *graph.value_info):
        if one.name == old:
            one.name = new


def _check(model: onnx.ModelProto) -> None:
    try:
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise ModelError(
            f"the graph can't take a picture of floats: {str(error).splitlines()[0][:200]}",
            remedy="feed it as it is with --feed tensor",
        ) from error
