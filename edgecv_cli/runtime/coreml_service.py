"""The child's half of converting to Core ML: the foreign converters meet the model here."""

from __future__ import annotations

import json
import shutil
import uuid
import warnings
from pathlib import Path
from typing import Any

from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.files import sha256_file
from edgecv_cli.core.require import require
from edgecv_cli.graph.coreml_facts import WEIGHTS_KEY
from edgecv_cli.graph.coreml_package import (
    MANIFEST,
    MODEL_ITEM,
    WEIGHTS_ITEM,
    WEIGHTS_NAME,
)
from edgecv_cli.graph.coreml_pipeline import Nms, pipelined
from edgecv_cli.graph.io import load_model
from edgecv_cli.runtime.coreml_convert import CONVERTER, TOOLS, WHY

_SPACE = uuid.UUID("8d3f5c52-6d3b-5b57-9a3f-3f2f4c0f8a11")  # any: names of items are made from it
_AUTHOR = "com.apple.CoreML"


class CoreMlService:
    """Converts and compresses; needs neither macOS nor a device."""

    def __init__(self) -> None:
        warnings.simplefilter("ignore")  # coremltools speaks of frameworks that are not used here
        self._ct: Any = require(TOOLS, pip=TOOLS, why=WHY)
        self._o2c: Any = require(CONVERTER, pip=CONVERTER, why=WHY)

    def call(self, method: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Do ``convert``: the ``model`` into the folder ``package``.

        Raises:
            KeyError: it is another method.
            ModelError: coremltools refuses the program.
        """
        return {"convert": self._convert}[method](payload)

    def _convert(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Answer with the operators that stop it, or with none and the package written."""
        target = getattr(self._ct.target, payload["target"])
        half = payload["compute"] == "fp16"
        precision = self._ct.precision.FLOAT16 if half else self._ct.precision.FLOAT32
        model = load_model(Path(payload["model"]))
        try:
            program = self._o2c.Converter().to_mil(model, target=target, precision=precision)
        except self._o2c.UnsupportedOpError as error:
            return {"unsupported": [_stop(kind, nodes) for kind, nodes in error.missing.items()]}
        except self._o2c.ConversionError as error:
            return {"unsupported": [_stop(error.op_key, [error.node_name], str(error.cause))]}
        except self._o2c.Onnx2CoreMLError as error:
            raise _refused(error) from error
        made = self._compiled(program, model, payload, target, precision)
        made = self._compressed(made, payload)
        _write(
            made, _whole(made.get_spec(), payload), Path(payload["package"]), payload["metadata"]
        )
        return {"unsupported": []}

    def _compiled(
        self, program: Any, model: Any, payload: dict[str, Any], target: Any, precision: Any
    ) -> Any:
        inputs = [self._input(one, payload["pictures"]) for one in model.graph.input]
        try:
            return self._ct.convert(
                program,
                inputs=inputs,
                convert_to="mlprogram",
                minimum_deployment_target=target,
                compute_precision=precision,
                skip_model_load=True,
            )
        except (ValueError, RuntimeError, TypeError, NotImplementedError) as error:
            raise _refused(error) from error

    def _input(self, value: Any, pictures: dict[str, str]) -> Any:
        shape = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        color = pictures.get(value.name)
        if color is None:
            return self._ct.TensorType(name=value.name, shape=shape)
        layout = getattr(self._ct.colorlayout, color.upper())
        return self._ct.ImageType(name=value.name, shape=shape, color_layout=layout)

    def _compressed(self, made: Any, payload: dict[str, Any]) -> Any:
        way, bits = payload["weights"], payload["bits"]
        if way is None:
            return made
        optimize = require(f"{TOOLS}.optimize.coreml", pip=TOOLS, why=WHY)
        if way == "int8":
            each = optimize.OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8")
            settings = optimize.OptimizationConfig(global_config=each)
            return optimize.linear_quantize_weights(made, settings)
        each = optimize.OpPalettizerConfig(mode="kmeans", nbits=bits)
        settings = optimize.OptimizationConfig(global_config=each)
        return optimize.palettize_weights(made, settings)


def _stop(operator: str, nodes: list[str], reason: str | None = None) -> dict[str, Any]:
    return {
        "operator": operator,
        "nodes": [str(node) for node in nodes],
        "reason": None if reason is None else " ".join(reason.split())[:300],
    }


def _refused(error: Exception) -> ModelError:
    said = " ".join(str(error).split())[:300] or type(error).__name__
    return ModelError(
        f"coremltools can't convert the model: {said}",
        remedy="try a later --minimum-deployment-target, or export the model with another opset",
    )


def _whole(spec: Any, payload: dict[str, Any]) -> Any:
    """Return the package's model: the detector, with an NMS behind it where one is asked for."""
    asked = payload["nms"]
    if asked is None:
        return spec
    nms = Nms(asked["iou"], asked["confidence"], tuple(asked["labels"]))
    try:
        return pipelined(spec, payload["boxes"], nms)
    except ValueError as error:
        raise _refused(error) from error


def _write(made: Any, spec: Any, package: Path, metadata: dict[str, str]) -> None:
    """Write a package whose bytes hang on the model and its options alone.

    coremltools names the items of a package by chance, and orders what it writes by it.
    """
    told = spec.description.metadata.userDefined
    for key, value in sorted(metadata.items()):
        told[key] = value
    data = package / "Data"
    model, weights = data / MODEL_ITEM, data / WEIGHTS_ITEM
    model.parent.mkdir(parents=True)
    items = {"model.mlmodel": (MODEL_ITEM, "CoreML Model Specification")}
    if made.weights_dir is not None and Path(made.weights_dir, WEIGHTS_NAME).is_file():
        weights.mkdir()
        shutil.copyfile(Path(made.weights_dir, WEIGHTS_NAME), weights / WEIGHTS_NAME)
        items["weights"] = (WEIGHTS_ITEM, "CoreML Model Weights")
        told[WEIGHTS_KEY] = sha256_file(weights / WEIGHTS_NAME)
    model.write_bytes(spec.SerializeToString(deterministic=True))
    entries = {
        _identifier(path): {
            "author": _AUTHOR,
            "description": description,
            "name": name,
            "path": path,
        }
        for name, (path, description) in items.items()
    }
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": entries,
        "rootModelIdentifier": _identifier(MODEL_ITEM),
    }
    text = json.dumps(manifest, indent=4, sort_keys=True)
    (package / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _identifier(path: str) -> str:
    return str(uuid.uuid5(_SPACE, path)).upper()
