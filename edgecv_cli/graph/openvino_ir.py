"""Read the facts of an OpenVINO IR: an XML file that names layers, with weights beside it.

Source: docs.openvino.ai, "Intermediate Representation Format" (net/layers/layer, net/edges,
net/rt_info). What a frontend keeps of a file's own key/value strings stands in
``rt_info/framework``: a model that was converted from ONNX brings its metadata along.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.files import sha256_file
from edgecv_cli.core.tensors import Shape, TensorSpec
from edgecv_cli.graph.facts import GraphFacts
from edgecv_cli.graph.facts import input_size as size_of_input

_MAX_BYTES = 256 * 1024**2  # it only names layers; a longer file ends amid its text
_KINDS = {"f": "float", "fp": "float", "i": "int", "u": "uint"}
_INTEGERS = {"i4", "u4", "i8", "u8"}
_HALVES = {"f16"}
_METADATA = ["rt_info", "framework"]
_OWN = "edgecv."  # as graph/io.py's METADATA_PREFIX, without loading onnx for it
_REMEDY = "save it again with openvino.save_model, or give the .onnx file that it was made from"


@dataclass
class _Layer:
    name: str
    kind: str
    data: Mapping[str, str] = field(default_factory=dict)
    precision: str = ""
    dims: list[int] = field(default_factory=list)


def read_ir(path: Path, *, input_size: tuple[int, int] | None = None) -> GraphFacts:
    """Look at an IR's interface; its graph is not run, so there is no probed tail.

    Args:
        path: the ``.xml`` file.
        input_size: [height, width] for a graph that takes any size.

    Raises:
        ModelError: the file can't be read or is no IR.
        UsageError: ``input_size`` contradicts the graph.
    """
    reader = _Reader()
    _parse(path, reader)
    layers, metadata = reader.layers, reader.metadata
    inputs = tuple(_input(layer) for layer in layers if layer.kind == "Parameter")
    outputs = tuple(_output(layer) for layer in layers if layer.kind == "Result")
    if not inputs or not outputs:
        raise ModelError(f"'{path}' is no OpenVINO model: no inputs or outputs", remedy=_REMEDY)
    constants = [layer.data for layer in layers if layer.kind == "Const"]
    return GraphFacts(
        inputs=inputs,
        outputs=outputs,
        input_size=size_of_input(inputs, input_size),
        opset=0,
        precision=_precision(constants),
        parameters=sum(_elements(data) for data in constants),
        macs=None,
        op_counts=dict(Counter(layer.kind for layer in layers)),
        metadata=metadata,
        tail=None,
        tail_problem="an OpenVINO model's decoding is not looked into",
    )


def weights_file(path: Path) -> Path:
    """Return where an IR's weights stand: OpenVINO looks for them under the name of the model."""
    return path.with_suffix(".bin")


def ir_digest(path: Path) -> str:
    """Return sha256 over an IR without edgecv's own metadata; its weights count by their bytes.

    Raises:
        ModelError: the file can't be read or is no IR, or its weights are missing.
    """
    hashed = _Hasher()
    _parse(path, hashed)
    weights = weights_file(path)
    if not weights.is_file():
        raise ModelError(f"'{path}' has no weights beside it ('{weights.name}')", remedy=_REMEDY)
    hashed.digest.update(sha256_file(weights).encode())
    return hashed.digest.hexdigest()


class _Hasher:
    """Digests what streams by, but for edgecv's entries and the space between tags."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self._tags: list[str] = []
        self._left_out = 0  # depth at which an entry of edgecv's began; 0: in none

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._tags.append(tag)
        entry = len(self._tags) == 4 and self._tags[1:3] == _METADATA
        if entry and attributes.get("name", tag).startswith(_OWN):
            self._left_out = 4
        if not self._left_out:
            self.digest.update(repr((tag, sorted(attributes.items()))).encode())

    def end(self, tag: str) -> None:
        if not self._left_out:
            self.digest.update(f"/{tag}".encode())
        if len(self._tags) == self._left_out:
            self._left_out = 0
        self._tags.pop()

    def text(self, text: str) -> None:
        if text.strip() and not self._left_out:
            self.digest.update(text.strip().encode())


class _Reader:
    """Collects layers and metadata while the file streams by."""

    def __init__(self) -> None:
        self.layers: list[_Layer] = []
        self.metadata: dict[str, str] = {}
        self._tags: list[str] = []
        self._text: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._tags.append(tag)
        self._text = []
        where = self._tags[1:]
        if where == ["layers", "layer"]:
            self.layers.append(_Layer(attributes.get("name", ""), attributes.get("type", "")))
        elif where == ["layers", "layer", "data"]:
            self.layers[-1].data = attributes
        elif where == ["layers", "layer", "input", "port"]:
            self.layers[-1].precision = attributes.get("precision", "")
        elif where[:2] == _METADATA and len(where) == 3:
            self.metadata[attributes.get("name", tag)] = attributes.get("value", "")

    def end(self, _tag: str) -> None:
        if self._tags[1:] == ["layers", "layer", "input", "port", "dim"]:
            self.layers[-1].dims.append(int("".join(self._text)))
        self._tags.pop()

    def text(self, text: str) -> None:
        self._text.append(text)


def _refuse_doctype(*_: object) -> None:
    raise ValueError("it declares a document type")  # no IR has one, and entities can explode


def _parse(path: Path, reader: _Reader | _Hasher) -> None:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        with path.open("rb") as file:
            parser.Parse(file.read(_MAX_BYTES), True)
    except (OSError, ValueError, expat.ExpatError) as error:
        raise ModelError(f"'{path}' is no OpenVINO model: {error}", remedy=_REMEDY) from error


def _input(layer: _Layer) -> TensorSpec:
    return TensorSpec(layer.name, _shape(layer.data), _dtype(layer.data.get("element_type", "")))


def _output(layer: _Layer) -> TensorSpec:
    shape = tuple(size if size >= 0 else None for size in layer.dims)
    return TensorSpec(layer.name.removesuffix("/sink_port_0"), shape, _dtype(layer.precision))


def _dtype(kind: str) -> str:
    """Return numpy's name of an element type, written ``f32`` at a layer and ``FP32`` at a port."""
    kind = kind.lower()
    letters = kind.rstrip("0123456789")
    if kind in ("boolean", "bool"):
        return "bool"
    return _KINDS[letters] + kind[len(letters) :] if letters in _KINDS else kind or "unknown"


def _shape(data: Mapping[str, str]) -> Shape:
    """Read ``1,3,?,?``; bounds such as ``1..8`` are open."""
    sizes = [size.strip() for size in data.get("shape", "").split(",")]
    return tuple(int(size) if size.isdecimal() else None for size in sizes if size)


def _elements(data: Mapping[str, str]) -> int:
    shape = _shape(data)
    return math.prod(size or 0 for size in shape) if shape else 0


def _precision(constants: list[Mapping[str, str]]) -> str:
    """Go by the type that most weights are stored in."""
    stored: Counter[str] = Counter()
    for data in constants:
        if len(_shape(data)) > 1:
            stored[data.get("element_type", "")] += _elements(data)
    most = stored.most_common(1)[0][0] if stored else ""
    if most in _INTEGERS:
        return "int8"
    return "fp16" if most in _HALVES else "fp32"
