"""Trained weights back into the graph that they came from; all else stays as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgecv_cli.core.errors import ModelError


def with_weights_of(model: onnx.ModelProto, values: Mapping[str, NDArray[Any]]) -> onnx.ModelProto:
    """Return a copy of a model whose initializers hold ``values``.

    Args:
        model: the graph; all that is not named in ``values`` stays to the byte.
        values: new numbers by the name of an initializer, in its shape.

    Raises:
        ModelError: a name is not stored in the model, a shape differs, or a number is not finite.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    stored = {tensor.name: tensor for tensor in copy.graph.initializer}
    for name, value in values.items():
        tensor = stored.get(name)
        if tensor is None or tuple(tensor.dims) != value.shape:
            raise ModelError(
                f"the weights '{name}' {list(value.shape)} are not of this model",
                remedy="train the model that they are written into",
            )
        if not np.isfinite(value).all():
            raise ModelError(
                f"training made numbers of '{name}' that are not finite",
                remedy="train with a smaller --learning-rate",
            )
        was = numpy_helper.to_array(tensor)
        if not np.array_equal(was, value):
            tensor.CopyFrom(numpy_helper.from_array(value.astype(was.dtype), name))
    return copy
