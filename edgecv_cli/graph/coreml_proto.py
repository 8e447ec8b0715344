"""The parts of Core ML's protobuf messages that edgecv reads.

Source: apple/coremltools, mlmodel/format/Model.proto, FeatureTypes.proto and MIL.proto, whose
field numbers stand below; what is left out there is skipped. A map is read as its entries.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

Field = tuple[int, str]
_PACKAGE = "edgecv.coreml"
_SCALARS = {"int64", "uint64", "float", "double", "bool", "string", "bytes"}
MESSAGES: dict[str, dict[str, Field]] = {
    "Model": {
        "specificationVersion": (1, "int64"),
        "description": (2, "ModelDescription"),
        "pipeline": (202, "Pipeline"),
        "mlProgram": (502, "Program"),
        "nonMaximumSuppression": (610, "Suppression"),
    },
    "Pipeline": {"models": (1, "Model*")},
    "Suppression": {
        "pickTop": (1, "PickTop"),
        "stringClassLabels": (100, "Labels"),
        "iouThreshold": (110, "double"),
        "confidenceThreshold": (111, "double"),
        "confidenceInputFeatureName": (200, "string"),
        "coordinatesInputFeatureName": (201, "string"),
        "iouThresholdInputFeatureName": (202, "string"),
        "confidenceThresholdInputFeatureName": (203, "string"),
        "confidenceOutputFeatureName": (210, "string"),
        "coordinatesOutputFeatureName": (211, "string"),
    },
    "PickTop": {"perClass": (1, "bool")},
    "Labels": {"vector": (1, "string*")},
    "ModelDescription": {
        "input": (1, "FeatureDescription*"),
        "output": (10, "FeatureDescription*"),
        "metadata": (100, "Metadata"),
    },
    "Metadata": {"userDefined": (100, "Text*")},
    "Text": {"key": (1, "string"), "value": (2, "string")},
    "FeatureDescription": {
        "name": (1, "string"),
        "shortDescription": (2, "string"),
        "type": (3, "FeatureType"),
    },
    "FeatureType": {
        "doubleType": (2, "DoubleType"),
        "imageType": (4, "ImageFeatureType"),
        "multiArrayType": (5, "ArrayType"),
        "isOptional": (1000, "bool"),
    },
    "ImageFeatureType": {"width": (1, "int64"), "height": (2, "int64"), "colorSpace": (3, "int64")},
    "ArrayType": {
        "shape": (1, "int64*"),
        "dataType": (2, "int64"),
        "shapeRange": (31, "ShapeRange"),
    },
    "DoubleType": {},
    "ShapeRange": {"sizeRanges": (1, "SizeRange*")},
    "SizeRange": {"lowerBound": (1, "uint64"), "upperBound": (2, "int64")},
    "Program": {"version": (1, "int64"), "functions": (2, "NamedFunction*")},
    "NamedFunction": {"key": (1, "string"), "value": (2, "Function")},
    "Function": {
        "inputs": (1, "NamedValueType*"),
        "opset": (2, "string"),
        "block_specializations": (3, "NamedBlock*"),
    },
    "NamedBlock": {"key": (1, "string"), "value": (2, "Block")},
    "Block": {"outputs": (2, "string*"), "operations": (3, "Operation*")},
    "Operation": {
        "type": (1, "string"),
        "inputs": (2, "NamedArgument*"),
        "outputs": (3, "NamedValueType*"),
        "attributes": (5, "NamedValue*"),
    },
    "NamedArgument": {"key": (1, "string"), "value": (2, "Argument")},
    "Argument": {"arguments": (1, "Binding*")},
    "Binding": {"name": (1, "string"), "value": (2, "Value")},
    "NamedValueType": {"name": (1, "string"), "type": (2, "ValueType")},
    "ValueType": {"tensorType": (1, "TensorType")},
    "TensorType": {
        "dataType": (1, "int64"),
        "rank": (2, "int64"),
        "dimensions": (3, "Dimension*"),
    },
    "Dimension": {"constant": (1, "Size")},
    "Size": {"size": (1, "uint64")},
    "NamedValue": {"key": (1, "string"), "value": (2, "Value")},
    "Value": {
        "type": (2, "ValueType"),
        "immediateValue": (3, "Immediate"),
        "blobFileValue": (5, "Blob"),
    },
    "Immediate": {"tensor": (1, "Tensor")},
    "Blob": {"fileName": (1, "string"), "offset": (2, "uint64")},
    "Tensor": {
        "floats": (1, "Floats"),
        "ints": (2, "Ints"),
        "longInts": (5, "Ints"),
        "bytes": (7, "Bytes"),
    },
    "Floats": {"values": (1, "float*")},
    "Ints": {"values": (1, "int64*")},
    "Bytes": {"values": (1, "bytes")},
}
"""Message to field to its number and type; ``*``: repeated."""


def parse_model(data: bytes) -> Any:
    """Return a ``Model`` message.

    Raises:
        ValueError: these bytes are none.
    """
    model = message_class("Model")()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    return model


@cache
def message_class(name: str) -> Any:
    """Return the class of one of :data:`MESSAGES`."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


@cache
def _pool() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="edgecv/coreml.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _declare(message.field.add(name=field, number=number), kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _declare(field: Any, kind: str) -> None:
    proto = descriptor_pb2.FieldDescriptorProto
    base = kind.removesuffix("*")
    field.label = proto.LABEL_REPEATED if kind.endswith("*") else proto.LABEL_OPTIONAL
    if base in _SCALARS:
        field.type = getattr(proto, f"TYPE_{base.upper()}")
    else:
        field.type, field.type_name = proto.TYPE_MESSAGE, f".{_PACKAGE}.{base}"
