"""The child's half of int8 by NNCF: the images are read, fed and forgotten here."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError
from edgecv_cli.core.require import require
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.inference.calibration import CalibrationFeed

_WEIGHTED = frozenset({"Convolution", "GroupConvolution", "MatMul"})


class NncfService:
    """Quantizes an IR; nothing is sent anywhere."""

    def __init__(self) -> None:
        self._nncf: Any = require("nncf", pip="nncf", why="--quantizer nncf")
        self._nncf.set_log_level(logging.ERROR)

    def call(self, method: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Do ``quantize``: a ``model`` into ``target``, on ``images`` that are fed by ``spec``.

        With ``first_in_float`` the layer that reads the image stays as it is.

        Raises:
            KeyError: it is something else.
            DataError: not one image can be read.
        """
        return {"quantize": self._quantize}[method](payload)

    def _quantize(self, payload: dict[str, Any]) -> dict[str, Any]:
        ov = require("openvino", pip="openvino", why="--quantizer nncf")
        nncf = self._nncf
        spec = DetectorSpec.loads(payload["spec"])
        inputs = Artifact.open(Path(payload["model"])).facts(spec.input.size).inputs
        paths = [Path(path) for path in payload["images"]]
        feed = CalibrationFeed(paths, inputs, spec, Context())
        model = ov.Core().read_model(payload["model"])
        first = [_first_layer(model)] if payload["first_in_float"] else []
        made = nncf.quantize(
            model,
            nncf.Dataset(feed, _kept),
            preset=nncf.QuantizationPreset(payload["preset"]),
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(paths),
            ignored_scope=nncf.IgnoredScope(names=first),
        )
        if not feed.used:
            raise DataError(
                f"none of the {len(paths)} calibration images can be read",
                remedy="name a folder of JPEG or PNG images with --calibration",
            )
        ov.save_model(made, payload["target"], compress_to_fp16=False)
        return {"version": str(nncf.__version__), "skipped": feed.skipped}


def _first_layer(model: Any) -> str:
    """Return the name of the layer with weights that comes first."""
    names = (
        node.get_friendly_name()
        for node in model.get_ordered_ops()
        if node.get_type_name() in _WEIGHTED
    )
    return str(next(names))


def _kept(feeds: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Copy what is fed: the feed reuses its arrays, and NNCF may look ahead."""
    return {name: array.copy() for name, array in feeds.items()}
