"""Models that are quantized already: refused, or taken back to float on request."""

from __future__ import annotations

from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import TARGET_KEY
from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.dequantise import dequantised, integer_operators
from edgecv_cli.graph.io import serialize

_INTEGER = ("int8", "mixed")
_FROM_FLOAT = "quantize the float model that it was made from"


def require_float(artifact: Artifact, input_size: tuple[int, int] | None = None) -> None:
    """Refuse a model that computes in integers, by its operators and not by whether it is read.

    Args:
        artifact: the model.
        input_size: [height, width] for a graph that takes any size.

    Raises:
        ModelError: it is quantized already; the remedy depends on its form.
    """
    operators = integer_operators(artifact.model)
    if operators:
        raise ModelError(
            f"'{artifact.path}' is quantized already, with operators that compute on integers "
            f"({', '.join(operators)})",
            remedy=f"{_FROM_FLOAT}; --requantize takes QDQ models only",
        )
    if artifact.facts(input_size).precision in _INTEGER:
        raise ModelError(
            f"'{artifact.path}' is quantized already (QDQ form)",
            remedy=f"{_FROM_FLOAT}, or add --requantize to start from the rounded weights",
        )


def as_float(artifact: Artifact, folder: Path) -> Artifact:
    """Write a quantized model's float form under its own name into a folder, and open it.

    Weights are the numbers that its integers stand for; metadata is kept, but for the target
    that it was quantized for.

    Args:
        artifact: a model in QDQ form; a float one comes back as it is.
        folder: where the float file goes; not the folder of the model itself.

    Raises:
        ModelError: it computes on integers, or can't be turned back.
    """
    if not integer_operators(artifact.model) and artifact.facts().precision not in _INTEGER:
        return artifact
    plain = dequantised(artifact.model)
    kept = [entry for entry in plain.metadata_props if entry.key != TARGET_KEY]
    del plain.metadata_props[:]
    plain.metadata_props.extend(kept)
    path = folder / artifact.path.name
    path.write_bytes(serialize(plain))
    return Artifact.open(path)
