"""Read what a Core ML package (``.mlpackage``, an ML Program) holds, without Apple's libraries.

A package is a folder: ``Manifest.json`` names the model file under ``Data``, and that names the
file of weights beside it. Nothing in a manifest or a model leads out of the folder. Source:
apple/coremltools, modelpackage/src/ModelPackage.cpp and mlmodel/format/MIL.proto.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from edgecv_cli.core.errors import ModelError, OutputExistsError
from edgecv_cli.core.files import sha256_file
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.graph.coreml_proto import parse_model

MANIFEST = "Manifest.json"
MODEL_ITEM = "com.apple.CoreML/model.mlmodel"
WEIGHTS_ITEM = "com.apple.CoreML/weights"
WEIGHTS_NAME = "weight.bin"
_MAX_MANIFEST = 1_000_000
_MAX_MODEL = 2**31 - 1
_MODEL_PATH = "@model_path/"
_REMEDY = "take the package from its source again, or convert the .onnx again"
_ARRAY_TYPES = {65552: "float16", 65568: "float32", 65600: "float64", 131104: "int32"}
MIL_TYPES = {
    1: "bool", 2: "string", 10: "float16", 11: "float32", 12: "float64", 13: "bfloat16",
    21: "int8", 22: "int16", 23: "int32", 24: "int64", 25: "int4", 31: "uint8", 32: "uint16",
    33: "uint32", 34: "uint64", 35: "uint4", 36: "uint2", 37: "uint1", 38: "uint6", 39: "uint3",
}  # fmt: skip
_COLORS = {20: "rgb", 30: "bgr"}


@dataclass(frozen=True)
class Feature:
    """An input or output as Core ML shows it; ``color``: it is a picture, in that order."""

    spec: TensorSpec
    color: str | None = None


@dataclass(frozen=True)
class Stored:
    """A constant of the program.

    Attributes:
        dtype: numpy's name of its type, or ``int4``, ``uint6`` and such.
        offset: where its entry begins in the file of weights; None where it stands in the model.
        values: its message, where it stands in the model.
    """

    dtype: str
    shape: tuple[int, ...]
    offset: int | None
    values: Any = None


@dataclass(frozen=True)
class MilOperation:
    """One operation: what it reads by parameter name, and constants that it has of its own."""

    kind: str
    name: str
    inputs: Mapping[str, tuple[str, ...]]
    constants: Mapping[str, Stored]


@dataclass(frozen=True)
class Suppression:
    """The NMS behind a detector.

    Attributes:
        iou, confidence: thresholds where an app names none.
        per_class: whether only boxes of one class suppress each other.
        labels: of the classes.
        reads: outputs of the detector that it takes: confidence and coordinates.
        shapes: of those, as the detector gives them.
        optional: inputs of the package that override the thresholds.
    """

    iou: float
    confidence: float
    per_class: bool
    labels: tuple[str, ...]
    reads: tuple[str, str]
    shapes: tuple[tuple[int | None, ...], ...]
    optional: tuple[str, ...]


@dataclass(frozen=True)
class CorePackage:
    """An ML Program, alone or with an NMS behind it.

    Attributes:
        inputs: those that an app has to feed.
        suppression: the NMS; None where there is none.
        weights: the file of weights; None where there is none.
        specification: version of Core ML's specification, 6 (iOS 15) and up.
        opset: such as ``CoreML7``.
    """

    path: Path
    model: Path
    weights: Path | None
    specification: int
    opset: str
    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    metadata: Mapping[str, str]
    operations: tuple[MilOperation, ...]
    suppression: Suppression | None = None

    @cached_property
    def counts(self) -> dict[str, int]:
        """Operations by kind, constants left out."""
        kinds = Counter(one.kind for one in self.operations if one.kind != "const")
        return dict(kinds.most_common())


def read_package(path: Path) -> CorePackage:
    """Read a package's interface, operations and metadata; weights stay where they are.

    Raises:
        ModelError: it is no package, is damaged, or leads out of its folder.
    """
    model = _model_file(path)
    try:
        message = parse_model(model.read_bytes())
        return _read(path, model, message)
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(path, str(error)) from error


def require_package_place(output: Path) -> None:
    """Refuse to replace a folder that is no package, whatever is forced.

    Raises:
        OutputExistsError: it holds something else.
    """
    if output.is_dir() and any(output.iterdir()) and not (output / MANIFEST).is_file():
        raise OutputExistsError(
            f"{output} is a folder that holds something else than a Core ML package",
            remedy="name another output",
        )


def package_files(path: Path) -> list[Path]:
    """Return the files of a package, in order of their names."""
    return sorted(file for file in path.rglob("*") if file.is_file())


def package_digest(path: Path) -> str:
    """Return sha256 over the names and digests of all files of a package.

    Raises:
        ModelError: it is no folder.
    """
    if not path.is_dir():
        raise _damaged(path, "it is no folder")
    digest = hashlib.sha256()
    for file in package_files(path):
        digest.update(f"{file.relative_to(path).as_posix()} {sha256_file(file)}\n".encode())
    return digest.hexdigest()


def _damaged(path: Path, why: str) -> ModelError:
    return ModelError(f"'{path}' is no Core ML package: {why[:300]}", remedy=_REMEDY)


def _model_file(path: Path) -> Path:
    manifest = path / MANIFEST
    if not manifest.is_file() or manifest.stat().st_size > _MAX_MANIFEST:
        raise _damaged(path, f"it holds no {MANIFEST}, or one that is too large")
    try:
        return _root(path / "Data", manifest.read_bytes())
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, str(error) or type(error).__name__) from error


def _root(data: Path, manifest: bytes) -> Path:
    """Return the model file that a manifest names."""
    told = json.loads(manifest)
    found = _inside(data, str(told["itemInfoEntries"][told["rootModelIdentifier"]]["path"]))
    if found.stat().st_size > _MAX_MODEL:
        raise ValueError(f"{found.name} is larger than a message may be")
    return found


def _inside(folder: Path, name: str) -> Path:
    """Return a file that is named relative to a folder, if it really lies in it."""
    place = PurePosixPath(name)
    found = folder.joinpath(*place.parts)
    outside = place.is_absolute() or ".." in place.parts or "\0" in name
    if outside or not found.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name!r} leads out of the package")
    if not found.is_file():
        raise ValueError(f"{name!r} is missing")
    return found


def _read(path: Path, model: Path, message: Any) -> CorePackage:
    stages = list(message.pipeline.models) or [message]
    functions = {entry.key: entry.value for entry in stages[0].mlProgram.functions}
    if "main" not in functions:
        raise ValueError("it holds no ML Program with a function 'main'")
    main = functions["main"]
    blocks = {entry.key: entry.value for entry in main.block_specializations}
    block = blocks[main.opset]
    types = {one.name: one.type for op in block.operations for one in op.outputs}
    types |= {one.name: one.type for one in main.inputs}
    described = message.description
    return CorePackage(
        path=path,
        model=model,
        weights=_weights(model, block),
        specification=message.specificationVersion,
        opset=main.opset,
        inputs=tuple(_feature(one, types) for one in described.input if not one.type.isOptional),
        outputs=tuple(_feature(one, types) for one in described.output),
        metadata={entry.key: entry.value for entry in described.metadata.userDefined},
        operations=tuple(_operation(op) for op in block.operations),
        suppression=_suppression(message, stages, types) if len(stages) > 1 else None,
    )


def _suppression(message: Any, stages: Sequence[Any], types: Mapping[str, Any]) -> Suppression:
    """Read the second model of a pipeline.

    Raises:
        ValueError: it is no NMS, or reads or gives what is not there.
    """
    if len(stages) != 2 or not stages[1].HasField("nonMaximumSuppression"):
        raise ValueError("its pipeline is not a detector and an NMS")
    nms = stages[1].nonMaximumSuppression
    given = {one.name: _feature(one, types).spec.shape for one in stages[0].description.output}
    reads = (nms.confidenceInputFeatureName, nms.coordinatesInputFeatureName)
    gives = {nms.confidenceOutputFeatureName, nms.coordinatesOutputFeatureName}
    if not set(reads) <= set(given) or gives != {one.name for one in message.description.output}:
        raise ValueError("its NMS and its detector do not fit together")
    optional = tuple(one.name for one in message.description.input if one.type.isOptional)
    known = (nms.iouThresholdInputFeatureName, nms.confidenceThresholdInputFeatureName)
    if not set(optional) <= set(known):
        raise ValueError("its NMS does not take the thresholds that the package does")
    return Suppression(
        iou=nms.iouThreshold,
        confidence=nms.confidenceThreshold,
        per_class=nms.pickTop.perClass,
        labels=tuple(nms.stringClassLabels.vector),
        reads=reads,
        shapes=tuple(given[name] for name in reads),
        optional=optional,
    )


def _weights(model: Path, block: Any) -> Path | None:
    """Return the one file of weights that constants name."""
    names = {
        entry.value.blobFileValue.fileName
        for op in block.operations
        for entry in op.attributes
        if entry.value.HasField("blobFileValue")
    }
    if not names:
        return None
    if len(names) > 1:
        raise ValueError(f"its weights are spread over {len(names)} files")
    name = names.pop()
    if not name.startswith(_MODEL_PATH):
        raise ValueError(f"its weights are {name!r}, outside of the package")
    return _inside(model.parent, name.removeprefix(_MODEL_PATH))


def _feature(described: Any, types: Mapping[str, Any]) -> Feature:
    """Return a feature; what the description leaves out is what the program says."""
    kind = described.type
    if kind.HasField("imageType"):
        image = kind.imageType
        picture = TensorSpec(described.name, (1, 3, image.height, image.width), "float32")
        return Feature(picture, _COLORS.get(image.colorSpace))
    array = kind.multiArrayType
    ranges = array.shapeRange.sizeRanges
    shape: Sequence[int | None] = [*array.shape] or [_size(one) for one in ranges]
    if not shape and described.name in types:
        shape = list(_shape(types[described.name].tensorType))
    dtype = _ARRAY_TYPES.get(array.dataType, "unknown")
    return Feature(TensorSpec(described.name, tuple(shape), dtype))


def _size(bounds: Any) -> int | None:
    """Return the size of an axis that may have several; None: it is open."""
    return int(bounds.lowerBound) if bounds.lowerBound == bounds.upperBound else None


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(int(one.constant.size) for one in tensor.dimensions)


def _operation(op: Any) -> MilOperation:
    constants = {
        entry.key: _stored(entry.value)
        for entry in op.attributes
        if entry.value.type.HasField("tensorType")
    }
    inputs: dict[str, tuple[str, ...]] = {}
    for entry in op.inputs:
        bound = entry.value.arguments
        inputs[entry.key] = tuple(one.name for one in bound if not one.HasField("value"))
        if len(bound) == 1 and bound[0].HasField("value"):
            constants[entry.key] = _stored(bound[0].value)
    name = op.outputs[0].name if op.outputs else ""
    return MilOperation(op.type, name, inputs, constants)


def _stored(value: Any) -> Stored:
    tensor = value.type.tensorType
    dtype = MIL_TYPES.get(tensor.dataType, "unknown")
    if value.HasField("blobFileValue"):
        return Stored(dtype, _shape(tensor), int(value.blobFileValue.offset))
    return Stored(dtype, _shape(tensor), None, value.immediateValue.tensor)
