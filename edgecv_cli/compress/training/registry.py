"""Every operator that can be trained through, by its ONNX name."""

from __future__ import annotations

from collections.abc import Mapping

from edgecv_cli.compress.training.ops_elementwise import ELEMENTWISE
from edgecv_cli.compress.training.ops_layers import LAYERS
from edgecv_cli.compress.training.ops_resize import RESIZING
from edgecv_cli.compress.training.ops_shape import SHAPING
from edgecv_cli.compress.training.values import Op

OPS: Mapping[str, Op] = {**LAYERS, **ELEMENTWISE, **SHAPING, **RESIZING}
