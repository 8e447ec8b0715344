"""Imports that may fail, and what to install when they do."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from edgecv_cli.core.errors import MissingDependencyError

_QUIET = {"onnxruntime": {"ORT_DISABLE_TELEMETRY": "1"}, "nncf": {"NNCF_CI": "1"}}
"""Variables that a library has to find when it is loaded, to send nothing: by then it would have
an identifier of this machine written down. What the user has set stays."""


def require(module: str, *, pip: str, why: str) -> ModuleType:
    """Import ``module`` or say how to install it.

    Args:
        module: name to import, such as ``pycocotools.cocoeval``.
        pip: what ``pip install`` takes to get it.
        why: what needs it, as the beginning of a sentence: "COCO evaluation".

    Raises:
        MissingDependencyError: it is not installed, or is installed and can't be loaded.
    """
    for name, value in _QUIET.get(module.partition(".")[0], {}).items():
        os.environ.setdefault(name, value)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise _unloadable(module, pip, why, error) from error
        raise MissingDependencyError(
            f"{why} needs the Python package {pip}, which is not installed",
            remedy=f"pip install {pip}",
        ) from error
    except (ImportError, OSError) as error:
        raise _unloadable(module, pip, why, error) from error


def _unloadable(module: str, pip: str, why: str, error: Exception) -> MissingDependencyError:
    return MissingDependencyError(
        f"{why} needs {module}, which is installed but can't be loaded: {error}",
        remedy=f"pip install --force-reinstall {pip}",
    )


def cv2() -> ModuleType:
    """Import OpenCV.

    Raises:
        MissingDependencyError: it is not installed, or its binary lacks libGL or glib, which
            slim containers leave out.
    """
    try:
        return require("cv2", pip="opencv-python", why="reading and writing images")
    except MissingDependencyError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) or ".so" not in str(cause):
            raise
        raise MissingDependencyError(
            f"OpenCV is installed but lacks a system library: {cause}",
            remedy="apt-get install libgl1 libglib2.0-0, or "
            "pip uninstall opencv-python && pip install opencv-python-headless",
        ) from cause
