"""Give a graph another input size: follow every shape, and make anew what was baked for the old.

The graph is walked once. Each axis is known by what it is made of (``reshape_axes``), so targets
of Reshape, bounds of Slice and Split, sizes of Resize and whole-map pooling are worked out from
the shapes at both sizes, and constants as large as a map are continued (``reshape_grids``).
Whatever can't be worked out is refused by node and constant.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, shape_inference

from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.tensors import is_nhwc
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.reshape_axes import (
    Axes,
    Axis,
    between,
    changes,
    joined,
    moved,
    new_shape,
    old_shape,
    old_size,
    plain,
    regroup,
)
from edgecv_cli.graph.reshape_grids import (
    UnfollowedError,
    continued,
    continued_in_parts,
    parts_of_picture,
    steps_of,
)
from edgecv_cli.graph.reshape_nodes import attribute, every, inherited, types, unlike
from edgecv_cli.graph.shapes import image_input, infer_shapes, value_shape

_REMEDY = "export the model at the size you want; edgecv does not guess what stands there"
_ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Where", "Concat"})
_END = np.iinfo(np.int64).max


def resized(model: onnx.ModelProto, size: tuple[int, int]) -> onnx.ModelProto:
    """Return a normalised copy of a detector whose input is [height, width] ``size``.

    Args:
        model: a checked model; it is not changed. One that takes any size is fixed at this one.
        size: the new input size in pixels.

    Raises:
        ModelError: something that was baked for the old size can't be made for the new one.
    """
    value = image_input(model)
    shape = None if value is None else value_shape(value)
    axes = (1, 2) if shape is not None and is_nhwc(shape) else (2, 3)
    if shape is not None and any(shape[axis] is None for axis in axes):
        return normalise(model, input_size=size)
    work = normalise(model)
    return _Walk(work, size).run()


class _Walk:
    """One walk over a graph; it changes the model that it is given."""

    def __init__(self, model: onnx.ModelProto, size: tuple[int, int]) -> None:
        self._model, self._size = model, size
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self._old = infer_shapes(model)
        self._types = types(model)
        self._axes: dict[str, Axes] = {}
        self._opset = [one for one in model.opset_import if one.domain in ("", "ai.onnx")]
        self._baked: list[tuple[onnx.NodeProto, int, Axes]] = []
        self._count = 0
        image = image_input(model)
        assert image is not None
        self._image = image
        self._before = self._sides()

    def run(self) -> onnx.ModelProto:
        dims = self._image.type.tensor_type.shape.dim
        first = 1 if is_nhwc(value_shape(self._image) or ()) else 2
        self._axes[self._image.name] = tuple(
            plain(
                dim.dim_value,
                self._size[place - first] if first <= place < first + 2 else dim.dim_value,
            )
            for place, dim in enumerate(dims)
        )
        for place, side in enumerate(self._size):
            dims[first + place].dim_value = side
        for node in self._model.graph.node:
            self._follow(node)
        self._continue_baked()
        return self._closed()

    def _sides(self) -> tuple[int, int]:
        shape = value_shape(self._image) or ()
        first = 1 if is_nhwc(shape) else 2
        height, width = shape[first : first + 2]
        assert height is not None
        assert width is not None
        return height, width

    def _follow(self, node: onnx.NodeProto) -> None:
        fed = [self._known(name) for name in node.input]
        if not any(axes and any(changes(axis) for axis in axes) for axes in fed):
            for name in node.output:
                self._axes[name] = self._unchanged(name)
            return
        handler: Callable[[onnx.NodeProto], tuple[Axes, ...]] | None
        handler = getattr(self, f"_{node.op_type.lower()}", None)
        made = handler(node) if handler else self._other(node)
        for name, axes in zip(node.output, made, strict=False):
            old = self._old.get(name)
            if old is not None and None not in old and old_shape(axes) != old:
                raise self._refused(node, f"its output '{name}' is {list(old)}, which does not fit")
            self._axes[name] = axes

    def _known(self, name: str) -> Axes:
        if name in self._axes:
            return self._axes[name]
        return self._unchanged(name) if name else ()

    def _unchanged(self, name: str) -> Axes:
        shape = self._old.get(name) or ()
        return tuple(plain(size or 1, size or 1) for size in shape)

    def _reshape(self, node: onnx.NodeProto) -> tuple[Axes, ...]:
        target = self._old.get(node.output[0])
        found = None
        if target is not None and None not in target:
            found = regroup(self._known(node.input[0]), [size or 1 for size in target])
        if found is None or node.input[1] not in self._stored:
            raise self._refused(node, f"its target is {list(target or ())}")
        self._store(node, 1, np.asarray(new_shape(found), np.int64))
        return (found,)

    def _transpose(self, node: onnx.NodeProto) -> tuple[Axes, ...]:
        axes = self._known(node.input[0])
        order = attribute(node, "perm", list(range(len(axes)))[::-1])
        return (tuple(axes[place] for place in order),)

    def _concat(self, node: onnx.NodeProto) -> tuple[Axes, ...]:
        fed = [self._known(name) for name in node.input]
        along = int(attribute(node, "axis", 0)) % len(fed[0])
        like = max(fed, key=lambda axes: sum(map(changes, axes)))
        for place, name in enumerate(node.input):
            if name in self._stored:
                fed[place] = tuple(
                    axis if n == along else other
                    for n, (axis, other) in enumerate(zip(fed[place], like, strict=True))
                )
                self._bake(node, place, fed[place])
        for axes in fed:
            apart = [n for n, axis in enumerate(axes) if n != along and unlike(axis, like[n])]
            if apart:
                raise self._refused(node, f"it joins {new_shape(axes)} and {new_shape(like)}")
        rest = [
            axis if n != along else joined([axes[along] for axes in fed])
            for n, axis in enumerate(like)
        ]
        return (tuple(rest),)

    def _split(self, node: onnx.NodeProto) -> tuple[Axes, ...]:
        axes = self._known(node.input[0])
        along = int(attribute(node, "axis", 0)) % len(axes)
        sizes = [(self._old[name] or ())[along] or 0 for name in node.output]
        ends = [int(end) for end in np.cumsum(sizes)]
        parts = [
            self._cut(node, axes[along], start, end)
            for start, end in zip([0, *ends[:-1]], ends, strict=True)
        ]
        if changes(axes[along]) and len(node.input) > 1:
            news = [new_shape((part,))[0] for part in parts]
            self._store(node, 1, np.asarray(news, np.int64))
        return tuple(
            tuple(part if n == along else axis for n, axis in enumerate(axes)) for part in parts
        )

    def _cut(self, node: onnx.NodeProto, axis: Axis, start: int, end: int) -> Axis:
        if not changes(axis):
            return plain(end - start, end - start)
        if moved(axis, start) is None or moved(axis, end) is None:
            raise self._refused(node, f"it cuts {start}..{end} out of {old_size(axis)}")
        return between(axis, start, end)

    def _slice(self, node: onnx.NodeProto) -> tuple[Axes, ...]:
        axes = list(self._known(node.input[0]))
        if any(name and name not in self._stored for name in node.input[1:]):
            raise self._refused(node, "its bounds are computed")
        starts, ends = (self._value(node, place) for place in (1, 2))
        along = self._value(node, 3, np.arange(len(starts)))
        steps = self._value(node, 4, np.ones(len(starts), np.int64))
        for place, (start, end, axis, step) in enumerate(
            zip(starts.tolist(), ends.tolist(), along.tolist(), steps.tolist(), strict=True)
        ):
            old = old_size(axes[axis])
            if not changes(axes[axis]):
                kept = len(range(*slice(start, end, step).indices(old)))
                axes[axis] = plain(kept, kept)
            elif step > 0 and end >= old and (step > 1 or start == 0):
                ends[place] = _END
                axes[axis] = every(axes[axis], start, step)
            elif step == 1 and start >= 0:
                stop = min(end, old) if end >= 0 else old + end
                part = self._cut(node, axes[axis], start, stop)
                starts[place] = moved(axes[axis], start) or 0
                ends[place] = moved(axes[axis], stop) or 0
                axes[axis] = part
            else:
                raise self._refused(node, f"it takes {start}..{end} by {step} of {old}")
        self._store(node, 1, starts)
        self._store(node, 2, ends)
        return (tuple(axes),)

    def _resize(self, node: onnx.NodeProto) -> tuple[Axes, ...]:
        if len(node.input) < 4 or not node.input[3]:
            return self._other(node)
        before = self._known(node.input[0])
        old = [size or 1 for size in self._old[node.output[0]]]
        made = []
        for axis, size in zip(before, old, strict=True):
            ratio = Fraction(size, old_size(axis)) * new_shape((axis,))[0]
            if ratio.denominator != 1:
                raise self._refused(node, f"its size is {old}")
            made.append(plain(size, int(ratio)))
        self._store(node, 3, np.asarray(new_shape(tuple(made)), np.int64))
        return (tuple(made),)

    def _averagepool(self, node: onnx.NodeProto) -> tuple[Axes, ...]:
        """A window as large as the map is a pool over all of it, and stays one."""
        axes = self._known(node.input[0])
        padded = any(attribute(node, "pads", [0]))
        for entry in node.attribute:
            whole = tuple(entry.ints) == old_shape(axes[2:]) and not padded
            if entry.name == "kernel_shape" and whole:
                entry.ints[:] = new_shape(axes[2:])
        return self._other(node)

    _maxpool = _averagepool

    def _other(self, node: onnx.NodeProto) -> tuple[Axes, ...]:
        fed = [self._known(name) for name in node.input]
        for place, name in enumerate(node.input):
            if name in self._stored and node.op_type in _ELEMENTWISE:
                fed[place] = self._aligned(place, fed)
                if any(changes(axis) for axis in fed[place]):
                    self._bake(node, place, fed[place])
        shapes = self._inferred(node, fed)
        found = []
        for name, new in zip(node.output, shapes, strict=False):
            old = self._old.get(name)
            if old is None or None in old or len(old) != len(new):
                raise self._refused(node, f"the shape of '{name}' is not known")
            if min(new, default=1) < 1:
                raise self._refused(node, "nothing would be left of the map")
            found.append(inherited([size or 1 for size in old], new, fed))
        return tuple(found)

    def _aligned(self, place: int, fed: list[Axes]) -> Axes:
        """Return a constant's axes, those as long as a changed one of the others changed too."""
        axes = list(fed[place])
        for n in range(1, len(axes) + 1):
            others = [other[-n] for k, other in enumerate(fed) if k != place and len(other) >= n]
            for other in others:
                if changes(other) and old_size(other) == old_size(axes[-n]) > 1:
                    axes[-n] = other
        return tuple(axes)

    def _bake(self, node: onnx.NodeProto, place: int, axes: Axes) -> None:
        if any(changes(axis) for axis in axes):
            self._baked.append((node, place, axes))

    def _continue_baked(self) -> None:
        found = []
        for node, place, axes in self._baked:
            values = numpy_helper.to_array(self._stored[node.input[place]])
            with _Refusing(partial(self._refused, node)):
                found.append((node, place, axes, values, steps_of(values, axes)))
        parts = parts_of_picture([step for entry in found for step in entry[4]])
        for node, place, axes, values, _ in found:
            with _Refusing(partial(self._refused, node)):
                if parts:
                    ratio = self._before[0] / self._size[0], self._before[1] / self._size[1]
                    self._store(node, place, continued_in_parts(values, axes, ratio))
                else:
                    self._store(node, place, continued(values, axes))

    def _inferred(self, node: onnx.NodeProto, fed: list[Axes]) -> list[tuple[int, ...]]:
        fed_types = {
            name: onnx.helper.make_tensor_type_proto(self._types.get(name, 1), new_shape(axes))
            for name, axes in zip(node.input, fed, strict=True)
            if name
        }
        data = {
            name: self._stored[name]
            for name in node.input
            if name in self._stored and len(self._stored[name].dims) < 2
        }
        try:
            schema = onnx.defs.get_schema(node.op_type, self._opset[0].version, node.domain)
            made = shape_inference.infer_node_outputs(
                schema, node, fed_types, data, opset_imports=list(self._opset)
            )
        except (shape_inference.InferenceError, onnx.defs.SchemaError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise self._refused(node, reason) from error
        found = []
        for name in node.output:
            shape = made[name].tensor_type.shape if name in made else None
            found.append(tuple(dim.dim_value for dim in shape.dim) if shape is not None else ())
        return found

    def _value(
        self, node: onnx.NodeProto, place: int, default: NDArray[Any] | None = None
    ) -> NDArray[np.int64]:
        if len(node.input) <= place or not node.input[place]:
            assert default is not None
            return default.astype(np.int64)
        return numpy_helper.to_array(self._stored[node.input[place]]).astype(np.int64)

    def _store(self, node: onnx.NodeProto, place: int, array: NDArray[Any]) -> None:
        """Give a node a constant of its own; the old one may serve others."""
        tensor = self._stored[node.input[place]]
        if np.array_equal(numpy_helper.to_array(tensor), array):
            return
        name = f"{node.input[place]}_{self._count}_at_{self._size[0]}x{self._size[1]}"
        self._count += 1
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        made = numpy_helper.from_array(np.ascontiguousarray(array.astype(kind)), name)
        self._model.graph.initializer.append(made)
        self._stored[name] = made
        node.input[place] = name

    def _closed(self) -> onnx.ModelProto:
        graph = self._model.graph
        read = {name for node in graph.node for name in node.input}
        read |= {output.name for output in graph.output}
        kept = [tensor for tensor in graph.initializer if tensor.name in read]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        del graph.value_info[:]
        for output in graph.output:
            shape = new_shape(self._known(output.name))
            kind = output.type.tensor_type.elem_type
            output.CopyFrom(onnx.helper.make_tensor_value_info(output.name, kind, shape))
        infer_shapes(self._model)
        return self._model

    def _refused(self, node: onnx.NodeProto, why: str) -> ModelError:
        height, width = self._size
        name = node.name or node.output[0]
        stored = [
            f"'{one}' {list(self._stored[one].dims)}" for one in node.input if one in self._stored
        ]
        said = f" (constant {', '.join(stored)})" if stored else ""
        return ModelError(
            f"node '{name}' ({node.op_type}) can't be taken to {height}x{width}{said}: {why}",
            remedy=_REMEDY,
        )


class _Refusing:
    """Turns what a constant does not tell into a refusal that names it."""

    def __init__(self, refused: Callable[[str], ModelError]) -> None:
        self._refused = refused

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UnfollowedError):
            raise self._refused(str(error)) from error
