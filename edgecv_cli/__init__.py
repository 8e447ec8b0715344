"""edgecv: get ONNX object detectors onto edge devices, measured and gated.

The public Python face is :class:`EdgeDetector`; it is imported on first use, so that
``import edgecv_cli`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgecv_cli.core.version import __version__

if TYPE_CHECKING:
    from edgecv_cli.inference.edge import EdgeDetector as EdgeDetector

__all__ = ["EdgeDetector", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "EdgeDetector":
        from edgecv_cli.inference.edge import EdgeDetector

        return EdgeDetector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
