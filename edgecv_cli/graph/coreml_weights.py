"""The weights of a Core ML package, read back as the numbers that they stand for.

The file of weights is MIL's "blob v2" storage: a header of 64 bytes, then for each constant an
entry of 64 bytes (sentinel, type, size, place of the data) and the data. Source:
apple/coremltools, mlmodel/src/MILBlob/Blob/StorageFormat.hpp and the operators ``constexpr_*``
of coremltools/converters/mil/mil/ops/defs.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.coreml_package import CorePackage, MilOperation, Stored

_SENTINEL = 0xDEADBEEF
_ENTRY = struct.Struct("<IIQQ")
_VERSION = 2
_WEIGHTED = {"conv": "weight", "conv_transpose": "weight", "linear": "weight", "matmul": "y"}
_AFFINE = "constexpr_affine_dequantize"
_PACKED = "packed"
_BLOCKWISE = "constexpr_blockwise_shift_scale"
Array = NDArray[Any]


class Weights:
    """The constants of a package, by the name under which operations read them."""

    def __init__(self, package: CorePackage) -> None:
        """Map the file of weights.

        Raises:
            ModelError: it is cut short or is none.
        """
        self._package = package
        self._blob = _Blob(package.weights)
        self._operations: Mapping[str, MilOperation] = {
            one.name: one
            for one in package.operations
            if one.kind == "const" or one.kind.startswith("constexpr_")
        }

    def layers(self) -> list[Array]:
        """Return the weights of every convolution and matrix product, in order, as floats."""
        return [self._real(name) for name in self._read_by_layers()]

    def elements(self) -> dict[str, int]:
        """Return how many weights of such layers are stored in which type, most first."""
        found: Counter[str] = Counter()
        for name in dict.fromkeys(self._read_by_layers()):
            dtype, count = self._kept(name)
            found[dtype] += count
        return dict(found.most_common())

    def stored_bytes(self) -> int:
        """Return the bytes that all constants take by their shapes and types."""
        each = {
            one.offset: _bytes(one)
            for operation in self._package.operations
            for one in operation.constants.values()
            if one.offset is not None
        }
        return sum(each.values())

    def _read_by_layers(self) -> list[str]:
        names = []
        for one in self._package.operations:
            bound = one.inputs.get(_WEIGHTED.get(one.kind, ""), ())
            if len(bound) == 1 and bound[0] in self._operations:
                names.append(bound[0])
        return names

    def _kept(self, name: str) -> tuple[str, int]:
        """Return in what a weight is stored, and how many numbers it has."""
        one = self._operations[name]
        if one.kind == "const":
            value = one.constants["val"]
            return value.dtype, math.prod(value.shape)
        if one.kind == "constexpr_lut_to_dense":
            bits, shape = self._palette(one)
            return f"{bits} bit", math.prod(shape)
        value = self._part(one, "quantized_data" if one.kind == _AFFINE else "data")
        return value.dtype, math.prod(value.shape)

    def _part(self, one: MilOperation, key: str) -> Stored:
        """Return a constant of an operation: its own, or one that it reads by name."""
        if key in one.constants:
            return one.constants[key]
        bound = one.inputs.get(key, ())
        if len(bound) == 1 and bound[0] in self._operations:
            return self._operations[bound[0]].constants["val"]
        raise self._refused(f"operation '{one.name}' ({one.kind}) has no '{key}'")

    def _real(self, name: str) -> Array:
        one = self._operations[name]
        if one.kind == "const":
            return self._array(one.constants["val"]).astype(np.float32)
        if one.kind == _AFFINE:
            return self._affine(one)
        if one.kind == "constexpr_lut_to_dense":
            return self._looked_up(one)
        if one.kind == _BLOCKWISE:
            data = self._array(self._part(one, "data")).astype(np.float32)
            scale = self._array(self._part(one, "scale")).astype(np.float32)
            if scale.ndim != data.ndim or any(
                size not in (1, there) for size, there in zip(scale.shape, data.shape, strict=True)
            ):
                raise self._refused(f"operation '{name}' is scaled in blocks")
            return data * scale
        raise self._refused(f"operation '{name}' ({one.kind}) is not known")

    def _affine(self, one: MilOperation) -> Array:
        data = self._array(self._part(one, "quantized_data")).astype(np.float32)
        axis = int(self._array(self._part(one, "axis")).ravel()[0])
        sides = [1] * data.ndim
        sides[axis] = -1
        scale, zero = (
            self._array(self._part(one, key)).astype(np.float32).ravel()
            for key in ("scale", "zero_point")
        )
        return (data - zero.reshape(sides)) * scale.reshape(sides)

    def _looked_up(self, one: MilOperation) -> Array:
        table = self._array(self._part(one, "lut")).astype(np.float32).ravel()
        bits, shape = self._palette(one)
        count = math.prod(shape)
        packed = self._array(replace(self._part(one, "indices"), dtype=_PACKED)).ravel()
        if table.size != 1 << bits or packed.size * 8 < count * bits:
            raise self._refused(f"operation '{one.name}' has no palette for the whole of it")
        unpacked = np.unpackbits(packed, count=count * bits, bitorder="little")
        return table[unpacked.reshape(count, bits) @ (1 << np.arange(bits))].reshape(shape)

    def _palette(self, one: MilOperation) -> tuple[int, tuple[int, ...]]:
        """Return the bits of an index, and the shape; before iOS 18 indices are mere bytes."""
        if "shape" in one.constants or "shape" in one.inputs:
            shape = self._array(self._part(one, "shape")).ravel()
            bits = (math.prod(self._part(one, "lut").shape) - 1).bit_length()
            return bits, tuple(int(size) for size in shape)
        indices = self._part(one, "indices")
        return _bits(indices.dtype), indices.shape

    def _array(self, value: Stored) -> Array:
        try:
            if value.offset is not None:
                return self._blob.read(value)
            return _immediate(value)
        except (ValueError, TypeError, struct.error) as error:
            raise self._refused(str(error)) from error

    def _refused(self, why: str) -> ModelError:
        return ModelError(
            f"the weights of '{self._package.path}' can't be read: {why}",
            remedy="convert the .onnx again",
        )


class _Blob:
    def __init__(self, path: Path | None) -> None:
        self._data: Array = np.zeros(0, np.uint8)
        if path is not None and path.stat().st_size:
            self._data = np.memmap(path, np.uint8, "r")

    def read(self, value: Stored) -> Array:
        """Return a constant, as it is stored.

        Raises:
            ValueError: the file does not hold it.
        """
        offset = value.offset or 0
        header = bytes(self._data[:8])
        if len(header) < 8 or struct.unpack("<II", header)[1] != _VERSION:
            raise ValueError("the file of weights is none")
        entry = bytes(self._data[offset : offset + _ENTRY.size])
        if len(entry) < _ENTRY.size:
            raise ValueError("the file of weights is cut short")
        sentinel, _, size, place = _ENTRY.unpack(entry)
        packed = value.dtype == _PACKED
        fits = packed or size == _bytes(value)
        if sentinel != _SENTINEL or not fits or place + size > self._data.size:
            raise ValueError(
                f"the file of weights holds no {value.dtype} {list(value.shape)} there"
            )
        raw = self._data[place : place + size]
        return raw if packed else raw.view(np.dtype(value.dtype)).reshape(value.shape)


def _bits(dtype: str) -> int:
    digits = dtype.lstrip("abcdefghijklmnopqrstuvwxyz")
    return int(digits) if digits else 8


def _bytes(value: Stored) -> int:
    """Return the bytes of a constant; narrow integers are packed."""
    return (math.prod(value.shape) * _bits(value.dtype) + 7) // 8


def _immediate(value: Stored) -> Array:
    tensor = value.values
    if value.dtype == _PACKED:
        return np.frombuffer(tensor.bytes.values, np.uint8)
    for field, kind in (("floats", np.float32), ("ints", np.int64), ("longInts", np.int64)):
        if tensor.HasField(field):
            return _shaped(np.asarray(getattr(tensor, field).values, kind), value.shape)
    return _shaped(np.frombuffer(tensor.bytes.values, np.dtype(value.dtype)), value.shape)


def _shaped(listed: Array, shape: tuple[int, ...]) -> Array:
    """One number may stand for all."""
    if listed.size == 1 and shape:
        return np.broadcast_to(listed, shape)
    return listed.reshape(shape)


def weighted_layers(model: Any) -> list[Array]:
    """Return the constant weights of an ONNX model's convolutions and matrix products, in order.

    Args:
        model: ``onnx.ModelProto``.
    """
    from onnx import numpy_helper

    stored = {one.name: one for one in model.graph.initializer}
    return [
        numpy_helper.to_array(stored[node.input[1]]).astype(np.float32)
        for node in model.graph.node
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul")
        and len(node.input) > 1
        and node.input[1] in stored
    ]


def nearest(wanted: Array, offered: Sequence[Array]) -> tuple[int, float] | None:
    """Return which of some arrays is ``wanted``, and the distance to it.

    A matrix may stand transposed.

    Returns:
        Index and |difference| / |wanted| (Euclidean); None where none has its shape.
    """
    best: tuple[int, float] | None = None
    norm = float(np.linalg.norm(wanted)) or 1.0
    for place, given in enumerate(offered):
        for form in (given, given.T) if given.ndim == 2 else (given,):
            if form.shape == wanted.shape:
                away = float(np.linalg.norm(form - wanted)) / norm
                if best is None or away < best[1]:
                    best = place, away
    return best
