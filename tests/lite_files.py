"""Tiny .tflite files, and an interpreter that stands in for LiteRT's where that is not installed.

The files hold tensors and operators as the schema has them. The stand-in keeps the contract of
``ai_edge_litert.interpreter.Interpreter`` and works the numbers out with an ONNX network that a
test put beside the file: a converter's work, done by its definition.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

FLOAT32, FLOAT16, INT32, UINT8, INT64, INT8 = 0, 1, 2, 3, 4, 9
CONCATENATION, CONV_2D, MAX_POOL_2D, SOFTMAX, LEAKY_RELU, CUSTOM = 2, 3, 17, 25, 98, 32


@dataclass
class Tensor:
    name: str
    shape: Sequence[int]
    kind: int = FLOAT32
    scale: float | None = None
    zero: int = 0
    stored: bool = False
    open: Sequence[int] = ()


@dataclass
class Operator:
    code: int
    inputs: Sequence[int]
    outputs: Sequence[int]
    custom: str = ""


@dataclass
class File:
    tensors: Sequence[Tensor]
    operators: Sequence[Operator]
    inputs: Sequence[int]
    outputs: Sequence[int]
    codes: list[tuple[int, str]] = field(default_factory=list)

    def content(self) -> bytes:
        """The flatbuffer, table by table from the leaves up."""
        b = flatbuffers.Builder(1024)
        self.codes = sorted({(one.code, one.custom) for one in self.operators})
        codes = _vector(b, [_code(b, *one) for one in self.codes])
        buffers = [_buffer(b, b"")]
        buffers += [_buffer(b, b"\x01" if one.stored else b"") for one in self.tensors]
        tensors = _vector(b, [_tensor(b, t, i + 1) for i, t in enumerate(self.tensors)])
        operators = [self._operator(b, one) for one in self.operators]
        parts = {
            0: tensors,
            1: _integers(b, self.inputs),
            2: _integers(b, self.outputs),
            3: _vector(b, operators),
        }
        graph = _table(b, 5, parts)
        graphs, stored = _vector(b, [graph]), _vector(b, buffers)
        b.StartObject(8)
        b.PrependUint32Slot(0, 3, 0)
        for slot, offset in {1: codes, 2: graphs, 4: stored}.items():
            b.PrependUOffsetTRelativeSlot(slot, offset, 0)
        b.Finish(b.EndObject(), b"TFL3")
        return bytes(b.Output())

    def _operator(self, b: Any, one: Operator) -> int:
        inputs, outputs = _integers(b, one.inputs), _integers(b, one.outputs)
        b.StartObject(9)
        b.PrependUint32Slot(0, self.codes.index((one.code, one.custom)), 0)
        b.PrependUOffsetTRelativeSlot(1, inputs, 0)
        b.PrependUOffsetTRelativeSlot(2, outputs, 0)
        return b.EndObject()

    def write(self, path: Path) -> Path:
        path.write_bytes(self.content())
        return path


def _table(b: Any, slots: int, parts: dict[int, int]) -> int:
    b.StartObject(slots)
    for slot, offset in parts.items():
        b.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return b.EndObject()


def _vector(b: Any, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()


def _integers(b: Any, values: Sequence[int]) -> int:
    b.StartVector(4, len(values), 4)
    for value in reversed(values):
        b.PrependInt32(value)
    return b.EndVector()


def _code(b: Any, code: int, custom: str) -> int:
    name = b.CreateString(custom) if custom else None
    b.StartObject(4)
    b.PrependInt8Slot(0, min(code, 127), 0)
    if name is not None:
        b.PrependUOffsetTRelativeSlot(1, name, 0)
    b.PrependInt32Slot(3, code, 0)
    return b.EndObject()


def _buffer(b: Any, data: bytes) -> int:
    offset = b.CreateByteVector(data) if data else None
    b.StartObject(3)
    if offset is not None:
        b.PrependUOffsetTRelativeSlot(0, offset, 0)
    return b.EndObject()


def _tensor(b: Any, tensor: Tensor, buffer: int) -> int:
    name, shape = b.CreateString(tensor.name), _integers(b, tensor.shape)
    signature = _integers(b, tensor.open) if tensor.open else None
    quantization = _quantization(b, tensor) if tensor.scale is not None else None
    b.StartObject(8)
    b.PrependUOffsetTRelativeSlot(0, shape, 0)
    b.PrependInt8Slot(1, tensor.kind, 0)
    b.PrependUint32Slot(2, buffer, 0)
    b.PrependUOffsetTRelativeSlot(3, name, 0)
    for slot, offset in {4: quantization, 7: signature}.items():
        if offset is not None:
            b.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return b.EndObject()


def _quantization(b: Any, tensor: Tensor) -> int:
    b.StartVector(4, 1, 4)
    b.PrependFloat32(tensor.scale)
    scale = b.EndVector()
    b.StartVector(8, 1, 8)
    b.PrependInt64(tensor.zero)
    zero = b.EndVector()
    return _table(b, 7, {2: scale, 3: zero})


def of_network(network: onnx.ModelProto, *, to_int8: float | None = None) -> File:
    """A file with a network's interface, channels last, as converters write it.

    to_int8: the scale of inputs and outputs, where they are int8.
    """
    kind = INT8 if to_int8 else FLOAT32
    tensors, places = [], []
    for values in (network.graph.input, network.graph.output):
        for value in values:
            shape = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
            tensors.append(Tensor(value.name, last(shape), kind, to_int8))
        places.append(len(tensors))
    tensors.append(Tensor("weights", (8, 3, 3, 3), kind, 0.01 if to_int8 else None, stored=True))
    inputs, outputs = range(places[0]), range(places[0], places[1])
    joined = [Operator(CONV_2D, [0, places[1]], [one]) for one in outputs]
    return File(tensors, joined, list(inputs), list(outputs))


def last(shape: Sequence[int]) -> list[int]:
    """A shape with its channels moved to the end."""
    return [shape[0], *shape[2:], shape[1]] if len(shape) > 2 else list(shape)


class Interpreter:
    """Stands in for LiteRT's: has the file's interface, runs ``*.stands-for.onnx`` beside it."""

    def __init__(
        self,
        model_path: str,
        num_threads: int | None = None,
        experimental_preserve_all_tensors: bool = False,
    ) -> None:
        from edgecv_cli.graph.tflite import read_tflite

        assert num_threads is None or num_threads >= 1
        self._model = read_tflite(Path(model_path))
        self._allocated = False
        self._values: dict[int, Any] = {}
        beside = sorted(Path(model_path).parent.glob("*.stands-for.onnx"))
        if len(beside) != 1:
            raise ValueError("Didn't find op for builtin opcode")
        self._network = onnx.load(beside[0])

    def allocate_tensors(self) -> None:
        self._allocated = True

    def _details(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        found = []
        for index in indices:
            tensor = self._model.tensors[index]
            found.append(
                {
                    "name": tensor.spec.name,
                    "index": index,
                    "shape": np.asarray(tensor.spec.shape),
                    "dtype": np.dtype(tensor.spec.dtype).type,
                    "quantization": (tensor.scale or 0.0, tensor.zero_point),
                }
            )
        return found

    def get_input_details(self) -> list[dict[str, Any]]:
        return self._details(self._model.inputs)

    def get_output_details(self) -> list[dict[str, Any]]:
        return self._details(self._model.outputs)

    def get_tensor_details(self) -> list[dict[str, Any]]:
        return self._details(range(len(self._model.tensors)))

    def set_tensor(self, index: int, value: Any) -> None:
        tensor = self._model.tensors[index]
        assert value.dtype == np.dtype(tensor.spec.dtype), "Cannot set tensor: got another type"
        assert value.shape == tensor.spec.shape
        self._values[index] = value.copy()

    def invoke(self) -> None:
        assert self._allocated
        feeds = {}
        for value, index in zip(self._network.graph.input, self._model.inputs, strict=True):
            tensor, given = self._model.tensors[index], self._values[index]
            if tensor.scale:
                given = (given.astype(np.float32) - tensor.zero_point) * np.float32(tensor.scale)
            feeds[value.name] = np.moveaxis(given, -1, 1) if given.ndim > 2 else given
        outputs = ReferenceEvaluator(self._network).run(None, feeds)
        for index, output in zip(self._model.outputs, outputs, strict=True):
            tensor = self._model.tensors[index]
            value = np.moveaxis(output, 1, -1) if output.ndim > 2 else output
            if tensor.scale:
                value = np.clip(np.rint(value / tensor.scale) + tensor.zero_point, -128, 127)
            self._values[index] = value.astype(np.dtype(tensor.spec.dtype))

    def get_tensor(self, index: int) -> Any:
        if index not in self._values:
            raise ValueError("Tensor data is null. Run allocate_tensors() first")
        return self._values[index].copy()


def stand_in(monkeypatch: Any) -> None:
    """Put the stand-in where LiteRT would be, whether that is installed or not."""
    module = types.ModuleType("ai_edge_litert.interpreter")
    module.Interpreter = Interpreter  # type: ignore[attr-defined]
    package = types.ModuleType("ai_edge_litert")
    package.interpreter = module  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ai_edge_litert", package)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)
    import importlib.metadata

    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata,
        "version",
        lambda name: "0.0.stand-in" if name == "ai-edge-litert" else real(name),
    )
