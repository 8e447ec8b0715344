"""Tiny Core ML packages, and a coremltools that stands in for Apple's where that can't run.

A package has the interface of an ONNX network and its weights, layer by layer. The stand-in keeps
the contract of ``coremltools.models.MLModel`` and works the numbers out with that network, which
is put beside the package: a converter's work, done by its definition.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import struct
import sys
import types
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from edgecv_cli.graph.coreml_package import read_package
from edgecv_cli.graph.coreml_pipeline import pipelined
from edgecv_cli.graph.coreml_proto import message_class
from edgecv_cli.runtime.coreml_convert import Stop

BLOB_KINDS = {"float16": 1, "float32": 2, "uint8": 3, "int8": 4}
MIL_KINDS = {"float16": 10, "float32": 11, "int8": 21, "int32": 23, "uint8": 31, "uint32": 33}
ARRAY_KINDS = {"float32": 65568, "float16": 65552, "int32": 131104}
COLORS = {"rgb": 20, "bgr": 30}


class Blob:
    """A file of weights."""

    def __init__(self):
        self.data = bytearray(struct.pack("<II", 0, 2) + bytes(56))

    def add(self, array):
        self.data += bytes(-len(self.data) % 64)
        offset = len(self.data)
        kind, raw = BLOB_KINDS[array.dtype.name], array.tobytes()
        entry = struct.pack("<IIQQ", 0xDEADBEEF, kind, len(raw), offset + 64)
        self.data += entry.ljust(64, b"\0") + raw
        return offset


def typed(target, shape, dtype):
    tensor = target.tensorType
    tensor.dataType, tensor.rank = MIL_KINDS[dtype], len(shape)
    for size in shape:
        tensor.dimensions.add().constant.size = size


def constant(value, array, blob=None):
    """Fill a Value with an array, in the blob or in the model itself."""
    typed(value.type, array.shape, array.dtype.name)
    if blob is not None:
        value.blobFileValue.fileName = "@model_path/weights/weight.bin"
        value.blobFileValue.offset = blob.add(array)
    elif array.dtype == np.float32:
        value.immediateValue.tensor.floats.values.extend(array.ravel().tolist())
    elif array.dtype.kind == "f" or array.dtype.itemsize == 1:
        value.immediateValue.tensor.bytes.values = array.tobytes()
    else:
        value.immediateValue.tensor.ints.values.extend(array.ravel().tolist())


def attribute(op, key, array, blob=None):
    entry = op.attributes.add(key=key)
    constant(entry.value, array, blob)


def const(block, name, array, blob=None):
    op = block.operations.add(type="const")
    typed(op.outputs.add(name=name).type, array.shape, array.dtype.name)
    attribute(op, "val", array, blob)


def layer(block, name, weight, kind="conv", key="weight"):
    op = block.operations.add(type=kind)
    op.inputs.add(key=key).value.arguments.add(name=weight)
    op.outputs.add(name=name)


def write(folder, model, blob, weights="weights/weight.bin"):
    """Write a package; returns the folder."""
    inside = folder / "Data" / "com.apple.CoreML"
    (inside / "weights").mkdir(parents=True)
    (inside / weights).write_bytes(blob.data)
    (inside / "model.mlmodel").write_bytes(model.SerializeToString(deterministic=True))
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": {"A": {"path": "com.apple.CoreML/model.mlmodel"}},
        "rootModelIdentifier": "A",
    }
    (folder / "Manifest.json").write_text(json.dumps(manifest))
    return folder


def program():
    """Return an empty model and the block of its main function."""
    model = message_class("Model")(specificationVersion=8)
    function = model.mlProgram.functions.add(key="main").value
    function.opset = "CoreML7"
    return model, function.block_specializations.add(key="CoreML7").value


def of_network(
    network, folder, *, pictures, metadata, change=None, dtype=np.float16, whole=lambda model: model
):
    """Write the package of an ONNX network of fixed shapes.

    ``change``: what happens to weights; ``whole``: what is made of the network's model.
    """
    model, block = program()
    blob = Blob()
    described = model.description
    for values, features in (
        (network.graph.input, described.input),
        (network.graph.output, described.output),
    ):
        for value in values:
            shape = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
            feature = features.add(name=value.name)
            if value.name in pictures:
                image = feature.type.imageType
                image.height, image.width = shape[2:]
                image.colorSpace = COLORS[pictures[value.name]]
            else:
                feature.type.multiArrayType.shape.extend(shape)
                feature.type.multiArrayType.dataType = ARRAY_KINDS["float32"]
    stored = {one.name: numpy_helper.to_array(one) for one in network.graph.initializer}
    for place, node in enumerate(network.graph.node):
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul") and node.input[1] in stored:
            array = stored[node.input[1]].astype(dtype)
            array = array if change is None else change(array)
            const(block, f"weight_{place}", array, blob)
            layer(block, f"layer_{place}", f"weight_{place}")
    model = whole(model)
    described = model.description
    for key, text in metadata.items():
        described.metadata.userDefined.add(key=key, value=text)
    digest = hashlib.sha256(blob.data).hexdigest()
    described.metadata.userDefined.add(key="edgecv.weights", value=digest)
    return write(folder, model, blob)


class Converter:
    """Stands in for the child process; keeps what it was asked."""

    def __init__(self, monkeypatch, change=None, stops=(), error=None, whole=None):
        self.orders = []
        self.change, self.stops, self.error = change, stops, error
        self.whole = whole or (lambda model: model)
        job = "edgecv_cli.stages.convert_coreml_job"
        monkeypatch.setattr(f"{job}.require_converter", lambda *, palettes: None)
        monkeypatch.setattr(f"{job}.convert", self.convert)
        monkeypatch.setattr(f"{job}.converter_versions", lambda: {"coremltools": "9.0"})
        installed(monkeypatch)

    def convert(self, model, package, order, context, *, folder):
        self.orders.append(order)
        if self.error is not None:
            raise self.error
        if self.stops:
            return tuple(Stop(*one) for one in self.stops)
        network = onnx.load(model)
        dtype = np.float32 if order.compute == "fp32" else np.float16
        of_network(
            network,
            package,
            pictures=order.pictures,
            metadata=order.metadata,
            change=self.change,
            dtype=dtype,
            whole=lambda model: self.whole(
                model if order.nms is None else pipelined(model, order.boxes, order.nms)
            ),
        )
        (package / "stands-for.onnx").write_bytes(model.read_bytes())
        return ()


class MLModel:
    """``coremltools.models.MLModel``, as far as it is used."""

    def __init__(self, path, compute_units):
        self.units = compute_units
        file = Path(path) / "stands-for.onnx"
        if not file.is_file():
            raise RuntimeError("Error compiling model")
        self.network = onnx.load(file)
        self.nms = read_package(Path(path)).suppression
        self.evaluator = ReferenceEvaluator(self.network)

    def predict(self, fed):
        feeds = {}
        for value in self.network.graph.input:
            given = fed[value.name]
            if isinstance(given, Image):
                order = given.pixels[..., ::-1] if given.bgr else given.pixels
                given = order.transpose(2, 0, 1)[None].astype(np.float32)
            feeds[value.name] = given
        names = [one.name for one in self.network.graph.output]
        outputs = dict(zip(names, self.evaluator.run(None, feeds), strict=True))
        return outputs if self.nms is None else suppressed(outputs, self.nms)


def suppressed(raw, nms):
    """Core ML's NMS by its definition: the best box of a class lets no other near it stay."""
    scores, boxes = raw["raw_confidence"], raw["raw_coordinates"]
    classes = scores.argmax(axis=1)
    kept = []
    for row in sorted(range(len(scores)), key=lambda row: -scores[row].max()):
        near = (
            overlap(boxes[row], boxes[other]) > nms.iou and classes[row] == classes[other]
            for other in kept
        )
        if scores[row].max() >= nms.confidence and not any(near):
            kept.append(row)
    return {"confidence": scores[kept], "coordinates": boxes[kept]}


def overlap(a, b):
    shared = [
        max(0.0, min(a[i] + a[i + 2] / 2, b[i] + b[i + 2] / 2)
            - max(a[i] - a[i + 2] / 2, b[i] - b[i + 2] / 2))
        for i in (0, 1)
    ]  # fmt: skip
    both = shared[0] * shared[1]
    return both / max(1e-12, a[2] * a[3] + b[2] * b[3] - both)


class Image:
    """A picture in RGB, as PIL has it; Core ML turns it into the order that a package says."""

    bgr = False

    def __init__(self, pixels):
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        self.pixels = pixels


def installed(monkeypatch):
    """Have coremltools be installed, as far as package metadata says."""
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "9.0" if name == "coremltools" else real(name)
    )


def stand_in(monkeypatch, *, bgr=False):
    """Have this machine be a Mac with coremltools."""
    tools, models = types.ModuleType("coremltools"), types.ModuleType("coremltools.models")
    models.MLModel, tools.models = MLModel, models
    names = ("ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE")
    tools.ComputeUnit = types.SimpleNamespace(**{name: name for name in names})
    images, pil = types.ModuleType("PIL.Image"), types.ModuleType("PIL")
    images.fromarray, pil.Image = Image, images
    for name, module in {
        "coremltools": tools,
        "coremltools.models": models,
        "PIL": pil,
        "PIL.Image": images,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(Image, "bgr", bgr)
    installed(monkeypatch)
    system(monkeypatch, "Darwin")


def system(monkeypatch, name):
    """Have edgecv's engine take this for another system; other libraries ask as well."""
    asked = types.SimpleNamespace(system=lambda: name)
    monkeypatch.setattr("edgecv_cli.runtime.coreml.platform", asked)
    monkeypatch.setattr("edgecv_cli.config.convert_coreml.platform", asked)
