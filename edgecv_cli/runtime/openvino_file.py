"""What edgecv stores in an IR of its own, and what holds its two files together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.files import sha256_file

METADATA = "framework"
"""The section of ``rt_info`` that OpenVINO keeps an ONNX file's key/value strings in."""

WEIGHTS_KEY = "edgecv.weights"
"""Under it stands the sha256 of the ``.bin`` that the ``.xml`` was saved with."""


def require_own_weights(model: Any, path: Path) -> None:
    """Refuse a ``.xml`` beside which the ``.bin`` of another model stands.

    OpenVINO takes any file of that name that is long enough. Files that edgecv did not write
    say nothing, and are taken as they are.

    Args:
        model: ``openvino.Model``, as it was read.
        path: the file that it was read from.

    Raises:
        ModelError: the weights are not those that the model was saved with.
    """
    place = [METADATA, WEIGHTS_KEY]
    weights = path.with_suffix(".bin")
    if path.suffix.lower() != ".xml" or not model.has_rt_info(place) or not weights.is_file():
        return
    if sha256_file(weights) != model.get_rt_info(place).astype(str):
        raise ModelError(
            f"'{weights.name}' does not hold the weights that '{path}' was saved with",
            remedy="convert the model again, or take both files from their source again",
        )
