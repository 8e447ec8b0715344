"""Read and write ONNX models as hostile input and as reproducible output.

A model file comes from anywhere. Before any library interprets it, its size, its tensors'
claims and the places that it points to are checked here: a header must not make us allocate
more than the file holds, and external data must lie beside the model, as a plain file.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import external_data_helper, numpy_helper

from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.claims import tensors, wrong_claim

METADATA_PREFIX = "edgecv."
_MAX_BYTES = 2 * 1024**3 - 1  # protobuf's own limit on one message
_REAL = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
_FOUR_BITS = (onnx.TensorProto.INT4, onnx.TensorProto.UINT4)
_BESIDE = "put the data file beside the model, as a plain file, or export with weights inside"
_REASON_CHARACTERS = 300  # the checker quotes names, and a hostile file's are long
_EXPORT_AGAIN = "export the model again, or check that the file was copied whole"


def load_model(path: Path) -> onnx.ModelProto:
    """Read an ONNX model with all its weights in memory, and check it.

    Raises:
        ModelError: the file is missing, is not ONNX, is cut short, contradicts itself, or
            refers to external data that is missing or lies outside of the model's folder.
    """
    model = _parse(path)
    _load_external(model, path)
    for tensor in tensors(model.graph):
        _check_tensor(tensor, path)
    _check(model, path)
    claim = wrong_claim(model)
    if claim is not None:
        raise ModelError(f"'{path}': {claim}", remedy=_EXPORT_AGAIN)
    _check_numbers(model, path)
    return model


def external_files(path: Path) -> tuple[str, ...]:
    """Return the names of the files that hold a model's weights beside it, as the model has them.

    Raises:
        ModelError: the file can't be read, or one of them is missing, a link, or outside of the
            model's folder.
    """
    found: dict[str, None] = {}
    for tensor in tensors(_parse(path).graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _check_location(tensor, path)
            entries = {entry.key: entry.value for entry in tensor.external_data}
            found[Path(entries["location"]).as_posix()] = None
    return tuple(found)


def _check_numbers(model: onnx.ModelProto, path: Path) -> None:
    """Refuse weights that are not numbers: nothing would be found, and nothing would say why.

    Infinity is left alone: masks and limits are written with it.
    """
    for tensor in tensors(model.graph):
        if tensor.data_type not in _REAL:
            continue
        broken = int(np.isnan(numpy_helper.to_array(tensor)).sum())
        if broken:
            raise ModelError(
                f"'{path}': tensor '{tensor.name}' holds {broken} values that are not a number "
                "(NaN)",
                remedy="export the model again from a checkpoint whose training did not diverge",
            )


def serialize(model: onnx.ModelProto) -> bytes:
    """Return the model's bytes; the same model gives the same bytes in every process."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def content_digest(model: onnx.ModelProto) -> str:
    """Return sha256 over the model without edgecv's own metadata (caches and lineage use it)."""
    kept = [entry for entry in model.metadata_props if not entry.key.startswith(METADATA_PREFIX)]
    canonical = onnx.ModelProto()
    canonical.CopyFrom(model)
    for tensor in tensors(canonical.graph):
        tensor.ClearField("data_location")  # said or left out, all data stands inside by now
    del canonical.metadata_props[:]
    for entry in sorted(kept, key=lambda item: item.key):
        canonical.metadata_props.add(key=entry.key, value=entry.value)
    return hashlib.sha256(serialize(canonical)).hexdigest()


def read_metadata(model: onnx.ModelProto) -> dict[str, str]:
    """Return the model's key/value strings."""
    return {entry.key: entry.value for entry in model.metadata_props}


def with_metadata(model: onnx.ModelProto, entries: dict[str, str]) -> onnx.ModelProto:
    """Return a copy whose metadata holds ``entries``, replacing those of the same key."""
    merged = {**read_metadata(model), **entries}
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.metadata_props[:]
    for key in sorted(merged):
        copy.metadata_props.add(key=key, value=merged[key])
    return copy


def _parse(path: Path) -> onnx.ModelProto:
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise ModelError(f"'{path}' is a folder", remedy="name the .onnx file inside it")
        if size == 0:
            raise ModelError(f"'{path}' is empty (0 bytes)", remedy=_EXPORT_AGAIN)
        if size > _MAX_BYTES:
            raise ModelError(
                f"'{path}' holds {size} bytes, more than one protobuf message may",
                remedy="export with external data, weights beside the model",
            )
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"'{path}' does not exist", remedy="check the path of the model") from None
    except OSError as error:
        raise ModelError(
            f"'{path}' can't be read: {error.strerror}", remedy="check the path and its permissions"
        ) from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ModelError(
            f"'{path}' is not an ONNX file, or it is cut short or damaged", remedy=_EXPORT_AGAIN
        ) from error
    if not model.graph.node or not model.graph.output or not model.opset_import:
        raise ModelError(
            f"'{path}' is not an ONNX model: it holds no graph with outputs", remedy=_EXPORT_AGAIN
        )
    return model


def _load_external(model: onnx.ModelProto, path: Path) -> None:
    outside = [
        tensor
        for tensor in tensors(model.graph)
        if tensor.data_location == onnx.TensorProto.EXTERNAL
    ]
    # Many small headers may name one large file: what counts is what would stand in memory.
    wanted = sum(_check_location(tensor, path) for tensor in outside)
    if wanted > _MAX_BYTES:
        raise ModelError(
            f"'{path}' wants {wanted} bytes of external data, more than edgecv reads",
            remedy=f"give a model of at most {_MAX_BYTES} bytes of weights",
        )
    for tensor in outside:
        try:
            external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise ModelError(
                f"'{path}': external data of tensor '{tensor.name}' can't be read: "
                f"{str(error).splitlines()[0]}",
                remedy=_BESIDE,
            ) from error
        tensor.ClearField("data_location")
        del tensor.external_data[:]


def _check_location(tensor: onnx.TensorProto, path: Path) -> int:
    """Refuse external data that is not a plain file in the model's folder and long enough.

    Returns:
        The bytes that the tensor takes of it.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    relative = Path(location)
    if not location or relative.is_absolute() or ".." in relative.parts:
        raise ModelError(
            f"'{path}': tensor '{tensor.name}' points outside of the model's folder ('{location}')",
            remedy=_BESIDE,
        )
    target = path.parent / relative
    inside = [path.parent.joinpath(*relative.parts[: n + 1]) for n in range(len(relative.parts))]
    if any(part.is_symlink() for part in inside):
        raise ModelError(f"'{path}': external data '{location}' is a symbolic link", remedy=_BESIDE)
    if not target.is_file():
        raise ModelError(
            f"'{path}': external data '{location}' of tensor '{tensor.name}' is missing",
            remedy=f"copy '{location}' beside the model",
        )
    _check_range(tensor, entries, target, path)
    return _byte_size(tensor)


def _check_range(
    tensor: onnx.TensorProto, entries: dict[str, str], target: Path, path: Path
) -> None:
    claimed = _byte_size(tensor)
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", str(claimed)))
    except ValueError:
        offset = length = -1
    available = target.stat().st_size
    if offset < 0 or length < 0 or offset + length > available:
        raise ModelError(
            f"'{path}': tensor '{tensor.name}' wants bytes {offset} to {offset + length} of "
            f"'{target.name}', which holds {available}",
            remedy=f"copy '{target.name}' again, whole",
        )
    if length != claimed:
        raise ModelError(
            f"'{path}': tensor '{tensor.name}' claims shape {list(tensor.dims)} but its external "
            f"data holds {length} bytes",
            remedy=_EXPORT_AGAIN,
        )


def _byte_size(tensor: onnx.TensorProto) -> int:
    if tensor.data_type in _FOUR_BITS:
        return (int(math.prod(tensor.dims)) + 1) // 2
    try:
        size = int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except KeyError:
        return -1
    return int(math.prod(tensor.dims)) * size


def _check_tensor(tensor: onnx.TensorProto, path: Path) -> None:
    """A tensor must hold as many bytes as its shape claims, no more and no fewer."""
    if any(size < 0 for size in tensor.dims):
        raise ModelError(
            f"'{path}': tensor '{tensor.name}' has a negative size {list(tensor.dims)}",
            remedy=_EXPORT_AGAIN,
        )
    if tensor.HasField("raw_data") and len(tensor.raw_data) != _byte_size(tensor):
        raise ModelError(
            f"'{path}': tensor '{tensor.name}' claims shape {list(tensor.dims)} but holds "
            f"{len(tensor.raw_data)} bytes",
            remedy=_EXPORT_AGAIN,
        )


def _check(model: onnx.ModelProto, path: Path) -> None:
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        reason = " ".join(str(error).split("==> Context")[0].split())[:_REASON_CHARACTERS]
        raise ModelError(
            f"'{path}' is not a valid ONNX model: {reason}", remedy=_EXPORT_AGAIN
        ) from error
    except UnicodeDecodeError as error:
        raise ModelError(
            f"'{path}' is damaged: a name is not text", remedy=_EXPORT_AGAIN
        ) from error
