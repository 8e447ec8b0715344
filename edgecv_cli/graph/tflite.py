"""Read what a LiteRT (TensorFlow Lite) file holds: tensors, operators, inputs and outputs.

Source: the schema of the format, tensorflow/lite/schema/schema.fbs (file identifier TFL3). The
numbers below are the fields' positions in their tables there.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.require import require
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.graph.tflite_ops import CUSTOM, operator_name

_IDENTIFIER = b"TFL3"
_MOST_BYTES = 2**31
_MOST_ITEMS = 200_000
_MOST_AXES = 8
_DTYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "string", 6: "bool",
    7: "int16", 8: "complex64", 9: "int8", 10: "float64", 11: "complex128", 12: "uint64",
    13: "resource", 14: "variant", 15: "uint32", 16: "uint16", 17: "int4", 18: "bfloat16",
}  # fmt: skip
_REMEDY = "take the file from its source again, or convert the .onnx again"


@dataclass(frozen=True)
class LiteTensor:
    """One tensor.

    Attributes:
        spec: its name, shape (None where it is open) and numpy's name of its type.
        scale, zero_point: where one of each is stored: real = scale * (value - zero_point).
        scales: how many scales are stored; 0 where it is not quantized.
        stored: whether its values stand in the file.
    """

    spec: TensorSpec
    scale: float | None
    zero_point: int
    scales: int
    stored: bool


@dataclass(frozen=True)
class LiteOperator:
    """One operator: its name in the schema (or a custom one's own), and its tensors' indices."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class LiteModel:
    """The first subgraph of a file.

    Attributes:
        inputs, outputs: indices of tensors, in the order in which an interpreter has them.
        subgraphs: how many there are.
    """

    tensors: tuple[LiteTensor, ...]
    operators: tuple[LiteOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    subgraphs: int

    @property
    def counts(self) -> dict[str, int]:
        """Operator name to how often it occurs."""
        return dict(Counter(operator.name for operator in self.operators))

    @property
    def precision(self) -> str:
        """What most stored weights are: ``fp32``, ``fp16`` or ``int8``."""
        stored: Counter[str] = Counter()
        for tensor in self.tensors:
            if tensor.stored and len(tensor.spec.shape) > 1:
                stored[tensor.spec.dtype] += _elements(tensor)
        most = stored.most_common(1)[0][0] if stored else ""
        return {"int8": "int8", "uint8": "int8", "int4": "int8", "float16": "fp16"}.get(
            most, "fp32"
        )

    @property
    def parameters(self) -> int:
        """Elements of all stored float and 8-bit tensors."""
        return sum(
            _elements(tensor)
            for tensor in self.tensors
            if tensor.stored and tensor.spec.dtype in {"float32", "float16", "int8", "uint8"}
        )


def read_tflite(path: Path) -> LiteModel:
    """Read a file's tables.

    Raises:
        ModelError: it can't be read, is no LiteRT file, or its tables point anywhere.
        MissingDependencyError: the package flatbuffers is not installed.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES)
    except OSError as error:
        raise ModelError(f"'{path}' can't be read: {error.strerror}", remedy=_REMEDY) from error
    if data[4:8] != _IDENTIFIER:
        raise ModelError(f"'{path}' is no LiteRT (.tflite) file", remedy=_REMEDY)
    try:
        return _read(data)
    except (struct.error, IndexError, ValueError, TypeError, OverflowError) as error:
        raise ModelError(f"'{path}' is a damaged LiteRT file: {error}", remedy=_REMEDY) from error


def _read(data: bytes) -> LiteModel:
    root = _Table.root(data)
    codes = [_operator_code(code) for code in root.tables(1)]
    graphs = list(root.tables(2))
    filled = [buffer.length(0) > 0 or buffer.number(1, "<Q") > 1 for buffer in root.tables(4)]
    if not graphs:
        raise ValueError("it holds no graph")
    graph = graphs[0]
    tensors = tuple(_tensor(entry, filled) for entry in graph.tables(0))
    operators = tuple(
        LiteOperator(codes[entry.number(0, "<I")], entry.integers(1), entry.integers(2))
        for entry in graph.tables(3)
    )
    inputs, outputs = graph.integers(1), graph.integers(2)
    if not inputs or not outputs:
        raise ValueError("it has no inputs or no outputs")
    if any(not 0 <= index < len(tensors) for index in (*inputs, *outputs)):
        raise ValueError("an input or output is no tensor of it")
    return LiteModel(tensors, operators, inputs, outputs, len(graphs))


def _operator_code(code: _Table) -> str:
    old, new = code.number(0, "<b"), code.number(3, "<i")
    number = max(old, new)
    return code.text(1) or "CUSTOM" if number == CUSTOM else operator_name(number)


def _tensor(entry: _Table, filled: list[bool]) -> LiteTensor:
    sizes, open_sizes = entry.integers(0), entry.integers(7)
    if len(sizes) > _MOST_AXES or len(open_sizes) > _MOST_AXES:
        raise ValueError("a tensor has too many axes")
    shape = open_sizes if len(open_sizes) == len(sizes) else sizes
    kind = entry.number(1, "<b")
    buffer = entry.number(2, "<I")
    scale, zero, scales = None, 0, 0
    quantization = entry.table(4)
    if quantization is not None:
        scales = quantization.length(2)
        if scales == 1:
            scale, zero = quantization.first(2, "<f"), int(quantization.first(3, "<q"))
    return LiteTensor(
        TensorSpec(
            entry.text(3),
            tuple(size if size >= 0 else None for size in shape),
            _DTYPES.get(kind, f"type {kind}"),
        ),
        scale,
        zero,
        scales,
        stored=buffer < len(filled) and filled[buffer],
    )


def _elements(tensor: LiteTensor) -> int:
    count = 1
    for size in tensor.spec.shape:
        count *= size or 0
    return count


class _Table:
    """A table of a flatbuffer, by the numbers of its fields."""

    def __init__(self, table: Any) -> None:
        self._table = table

    @classmethod
    def root(cls, data: bytes) -> _Table:
        tables = require("flatbuffers.table", pip="flatbuffers", why="reading .tflite files")
        (position,) = struct.unpack_from("<I", data, 0)
        return cls(tables.Table(data, position))

    def number(self, field: int, form: str) -> int:
        """Return a scalar, 0 where it is left out."""
        place = self._place(field)
        return int(struct.unpack_from(form, self._table.Bytes, place)[0]) if place else 0

    def text(self, field: int) -> str:
        place = self._place(field)
        if not place:
            return ""
        found: bytes = self._table.String(place)
        return found[:4096].decode("utf-8", errors="replace")

    def length(self, field: int) -> int:
        offset = self._offset(field)
        return int(self._table.VectorLen(offset)) if offset else 0

    def first(self, field: int, form: str) -> float:
        """Return the first number of a vector, 0 where it is empty."""
        offset = self._offset(field)
        if not offset or not self._table.VectorLen(offset):
            return 0
        start = self._table.Vector(offset)
        return float(struct.unpack_from(form, self._table.Bytes, start)[0])

    def integers(self, field: int) -> tuple[int, ...]:
        """Return a vector of 32-bit integers."""
        count = self._bounded(field)
        if not count:
            return ()
        start = self._table.Vector(self._offset(field))
        return struct.unpack_from(f"<{count}i", self._table.Bytes, start)

    def table(self, field: int) -> _Table | None:
        place = self._place(field)
        return self._at(self._table.Indirect(place)) if place else None

    def tables(self, field: int) -> Iterator[_Table]:
        """Yield the tables of a vector."""
        count = self._bounded(field)
        start = self._table.Vector(self._offset(field)) if count else 0
        for index in range(count):
            yield self._at(self._table.Indirect(start + 4 * index))

    def _at(self, position: int) -> _Table:
        return _Table(type(self._table)(self._table.Bytes, position))

    def _bounded(self, field: int) -> int:
        count = self.length(field)
        if count > _MOST_ITEMS:
            raise ValueError(f"a list of {count} entries")
        return count

    def _offset(self, field: int) -> int:
        return int(self._table.Offset(4 + 2 * field))

    def _place(self, field: int) -> int:
        offset = self._offset(field)
        return int(self._table.Pos) + offset if offset else 0
