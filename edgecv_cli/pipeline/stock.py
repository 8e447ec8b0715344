"""The peer: what ONNX Runtime's own ``quantize_static`` makes of a detector, options as they are.

It is here to be measured beside edgecv's result, never to be shipped.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import SPEC_KEY
from edgecv_cli.core.context import Context
from edgecv_cli.core.require import require
from edgecv_cli.core.scratch import scratch
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.io import load_model, serialize, with_metadata
from edgecv_cli.inference.calibration import CalibrationFeed


def stock_quantize(
    artifact: Artifact,
    spec: DetectorSpec,
    images: Sequence[Path],
    target: Path,
    context: Context,
    **options: Any,
) -> None:
    """Write what ``onnxruntime.quantization.quantize_static`` gives.

    Args:
        artifact: the float model.
        spec: how images are fed; also stored in the result, so that it can be evaluated.
        images: calibration images.
        target: where the model is written.
        context: progress and cancellation.
        options: of ``quantize_static``; none are the stock ones.
    """
    peer = require("onnxruntime.quantization", pip="onnxruntime", why="the stock quantizer")
    feed = CalibrationFeed(images, artifact.facts().inputs, spec, context)
    reader = _reader_of(peer.CalibrationDataReader, feed)
    quiet = logging.getLogger()
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with scratch() as folder:
            rough = folder / "stock.onnx"
            peer.quantize_static(str(artifact.path), str(rough), reader, **options)
            model = with_metadata(load_model(rough), {SPEC_KEY: spec.dumps()})
    finally:
        quiet.setLevel(level)
    target.write_bytes(serialize(model))


def _reader_of(base: type[Any], feed: CalibrationFeed) -> Any:
    class Reader(base):  # type: ignore[misc]
        def __init__(self) -> None:
            self._feeds = iter(feed)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            arrays = next(self._feeds, None)
            return None if arrays is None else {name: a.copy() for name, a in arrays.items()}

    return Reader()
