"""Raise a model's operator set."""

from __future__ import annotations

import onnx

from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.inspect import opset_of


def at_least(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """Return the model in an operator set of at least ``version``; itself where it is that.

    Raises:
        ModelError: the converter of onnx can't.
    """
    if opset_of(model) >= version:
        return model
    try:
        converted: onnx.ModelProto = onnx.version_converter.convert_version(model, version)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"operator set {opset_of(model)} can't be converted to {version}: {reason}",
            remedy=f"export it with opset {version} or later",
        ) from error
    return converted
