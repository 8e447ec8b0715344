"""The file beside an artifact that holds what was measured of it, and where.

``<name>.edgecv.json`` names the sha256 of the file that it speaks of: figures must not outlive
the bytes that they were taken from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from edgecv_cli.core.errors import ModelError

SIDECAR_SUFFIX = ".edgecv.json"
_MAX_BYTES = 16_000_000


class _Sidecar(BaseModel):
    model_config = ConfigDict(frozen=True)

    kind: str = "edgecv.sidecar/1"
    sha256: str
    measured: dict[str, Any]


def sidecar_path(artifact: Path) -> Path:
    """Return where an artifact's sidecar stands."""
    return artifact.with_name(artifact.name + SIDECAR_SUFFIX)


def sidecar_text(sha256: str, measured: dict[str, Any]) -> str:
    """Return the sidecar of a file with that digest; ``measured`` is a result's JSON."""
    content = _Sidecar(sha256=sha256, measured=measured)
    return content.model_dump_json(indent=1) + "\n"


def read_sidecar(artifact: Path, sha256: str) -> dict[str, Any] | None:
    """Return what was measured of a file, or None where no sidecar stands beside it.

    Raises:
        ModelError: the sidecar is damaged, or speaks of another file.
    """
    path = sidecar_path(artifact)
    again = f"remove '{path.name}', or take the model and its sidecar from their source again"
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            content = _Sidecar.model_validate_json(file.read(_MAX_BYTES))
    except (OSError, ValidationError) as error:
        raise ModelError(f"sidecar '{path}' can't be read", remedy=again) from error
    if content.sha256 != sha256:
        raise ModelError(
            f"sidecar '{path}' speaks of another file (sha256 {content.sha256[:12]}, the model "
            f"has {sha256[:12]})",
            remedy=again,
        )
    return content.measured
