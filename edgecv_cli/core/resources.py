"""Files that ship with edgecv: the built-in detector, its images, and the recipes."""

from __future__ import annotations

from pathlib import Path

from edgecv_cli.core.errors import EdgeCVError

_PACKAGE = Path(__file__).resolve().parent.parent
_ROOTS = (_PACKAGE / "_data", _PACKAGE.parent)
_FOLDERS = ("calibration_data", "configs")


def resource(*parts: str) -> Path:
    """Return the path of a file or folder below ``calibration_data`` or ``configs``.

    A wheel carries them inside the package, as ``_data``; an editable install has only the
    checkout beside it.

    Raises:
        EdgeCVError: this installation lacks it.
    """
    if parts[0] not in _FOLDERS:
        raise ValueError(f"{parts[0]} is not one of {', '.join(_FOLDERS)}")
    for root in _ROOTS:
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise EdgeCVError(
        f"this installation of edgecv lacks its own file {'/'.join(parts)}",
        remedy="pip install --force-reinstall --no-deps edgecv",
    )
