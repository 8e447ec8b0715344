"""What edgecv keeps inside a .tflite file: its interface, its spec, and the decoding.

The files of a zip archive are appended to the model, as LiteRT's own metadata does with label
files: interpreters ignore what follows a flatbuffer, and ``unzip model.tflite`` shows them.

- ``edgecv.json``: a :class:`Bundle`;
- ``decode.onnx``: from the raw heads to the outputs, where that stands outside of the model;
- ``labels.txt``: class names, one a line.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.tensors import TensorSpec

BUNDLE, DECODE, LABELS = "edgecv.json", "decode.onnx", "labels.txt"
_MOST_BYTES = {BUNDLE: 8_000_000, DECODE: 256_000_000}
_MOST_FILES = 64
_OWN = "edgecv."
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same model and options give the same bytes
_REMEDY = "take the file from its source again, or convert the .onnx again"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Port(_Frozen):
    """A tensor of the original network, and where it stands in the file.

    Attributes:
        shape: of the original, batch first.
        position: among the interpreter's inputs, or outputs.
        order: the axes of the file's tensor, in the original's order: what the interpreter gives,
            transposed by this, is the original's tensor; what is fed is transposed back.
    """

    name: str
    shape: tuple[int, ...] = Field(max_length=8)
    dtype: str = "float32"
    position: int = Field(ge=0, le=1024)
    order: tuple[int, ...] = Field(max_length=8)

    @property
    def spec(self) -> TensorSpec:
        """The original's tensor."""
        return TensorSpec(self.name, self.shape, self.dtype)


class Result(_Frozen):
    """An output of the original network."""

    name: str
    shape: tuple[int, ...] = Field(max_length=8)
    dtype: str = "float32"


class Bundle(_Frozen):
    """How a file of another layout stands for the original network.

    Attributes:
        metadata: key/value strings as an ONNX file has them: the spec and lineage among them.
        heads: what the interpreter gives: the outputs, or what ``decode.onnx`` makes them of.
        outputs: the original's.
    """

    kind: Literal["edgecv.litert/1"] = "edgecv.litert/1"
    metadata: dict[str, str] = Field(default_factory=dict)
    inputs: tuple[Port, ...] = Field(min_length=1, max_length=64)
    heads: tuple[Port, ...] = Field(min_length=1, max_length=256)
    outputs: tuple[Result, ...] = Field(min_length=1, max_length=64)


def write_bundle(
    model: Path, target: Path, bundle: Bundle, decode: bytes | None, labels: tuple[str, ...]
) -> None:
    """Write a copy of a plain .tflite file with the bundle appended."""
    shutil.copyfile(model, target)
    with zipfile.ZipFile(target, "a", zipfile.ZIP_STORED) as archive:
        for name, content in (
            (BUNDLE, bundle.model_dump_json(indent=1).encode()),
            (DECODE, decode),
            (LABELS, "".join(f"{label}\n" for label in labels).encode()),
        ):
            if content is not None:
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)


def read_bundle(path: Path) -> Bundle | None:
    """Return what edgecv wrote into a file; None where it is another's.

    Raises:
        ModelError: it is there and can't be read.
    """
    content = _entry(path, BUNDLE)
    if content is None:
        return None
    try:
        return Bundle.model_validate_json(content)
    except ValidationError as error:
        raise ModelError(f"'{path}': its {BUNDLE} is damaged", remedy=_REMEDY) from error


def read_decode(path: Path) -> bytes | None:
    """Return the ONNX graph that decodes the heads, None where the file's outputs are decoded.

    Raises:
        ModelError: it is there and can't be read.
    """
    return _entry(path, DECODE)


def bundle_digest(path: Path) -> str:
    """Return sha256 over the model, its interface and its decoding, without edgecv's metadata."""
    digest = hashlib.sha256()
    size = _model_size(path)
    with path.open("rb") as file:
        while size > 0 and (chunk := file.read(min(size, 2**20))):
            digest.update(chunk)
            size -= len(chunk)
    bundle = read_bundle(path)
    if bundle is not None:
        kept = {key: text for key, text in bundle.metadata.items() if not key.startswith(_OWN)}
        plain = bundle.model_copy(update={"metadata": dict(sorted(kept.items()))})
        digest.update(plain.model_dump_json().encode())
        digest.update(read_decode(path) or b"")
    return digest.hexdigest()


def _model_size(path: Path) -> int:
    """Return where the appended archive begins, or the file's size."""
    whole = path.stat().st_size
    if not zipfile.is_zipfile(path):
        return whole
    try:
        with zipfile.ZipFile(path) as archive:
            return min((entry.header_offset for entry in archive.infolist()), default=whole)
    except (zipfile.BadZipFile, OSError, ValueError):
        return whole


def _entry(path: Path, name: str) -> bytes | None:
    try:
        if not zipfile.is_zipfile(path):
            return None
        with zipfile.ZipFile(path) as archive:
            return _stored(archive, name)
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, EOFError) as error:
        raise ModelError(f"'{path}': its {name} is damaged: {error}", remedy=_REMEDY) from error


def _stored(archive: zipfile.ZipFile, name: str) -> bytes | None:
    """Return an entry that is stored as it is; a compressed one could unpack to anything."""
    entries = archive.infolist()
    if len(entries) > _MOST_FILES:
        raise ValueError(f"{len(entries)} files in it")
    for entry in entries:
        if entry.filename != name:
            continue
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > _MOST_BYTES[name]:
            raise ValueError("it is compressed or too large")
        return archive.read(entry)
    return None
