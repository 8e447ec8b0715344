"""Decoding of raw heads that stands beside the network, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import EngineError, ModelError
from edgecv_cli.core.require import require
from edgecv_cli.core.tensors import TensorSpec

_REMEDY = "take the file from its source again, or convert the .onnx again"
Array = NDArray[Any]


class Decode:
    """From the heads to the outputs; may be called from several threads."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._inputs = [value.name for value in session.get_inputs()]
        self._outputs = [value.name for value in session.get_outputs()]

    def __call__(self, heads: Mapping[str, Array]) -> dict[str, Array]:
        """Return every decoded output by name.

        Raises:
            EngineError: ONNX Runtime can't run it.
        """
        feeds = {name: np.ascontiguousarray(heads[name]) for name in self._inputs}
        try:
            values = self._session.run(self._outputs, feeds)
        except Exception as error:
            raise EngineError(f"decoding the heads failed: {error}", remedy=_REMEDY) from error
        return dict(zip(self._outputs, values, strict=True))


def open_decode(content: bytes, heads: Sequence[TensorSpec], where: str, threads: int) -> Decode:
    """Load the graph.

    Args:
        content: a whole ONNX file.
        heads: what it may read.
        where: the file that it comes from, for messages.
        threads: that it may use.

    Raises:
        ModelError: it is no ONNX graph, reads other files, or other tensors than the heads.
    """
    ort = require("onnxruntime", pip="onnxruntime", why="decoding the heads of a .tflite file")
    _require_whole(content, where)
    ort.disable_telemetry_events()
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 4
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(content, settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(
            f"'{where}': its decoding can't be loaded: {str(error).strip()[:300]}", remedy=_REMEDY
        ) from error
    decode = Decode(session)
    there = {spec.name for spec in heads}
    missing = [value.name for value in session.get_inputs() if value.name not in there]
    if missing:
        raise ModelError(
            f"'{where}': its decoding reads {missing[0]!r}, which is no head", remedy=_REMEDY
        )
    return decode


def _require_whole(content: bytes, where: str) -> None:
    """Refuse a graph that would have other files read."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError) as error:
        raise ModelError(f"'{where}': its decoding is no ONNX graph", remedy=_REMEDY) from error
    stored = list(model.graph.initializer)
    stored += [a.t for node in model.graph.node for a in node.attribute if a.HasField("t")]
    if any(tensor.external_data for tensor in stored):
        raise ModelError(f"'{where}': its decoding reads other files", remedy=_REMEDY)
