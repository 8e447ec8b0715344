"""int8 by NNCF, OpenVINO's own compression library, in a process of its own.

Source: docs.openvino.ai, "Basic quantization flow" and ``nncf.quantize``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecv_cli.artifact.lineage import Step
from edgecv_cli.core.child import Child, Limits
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import MissingDependencyError
from edgecv_cli.core.machine_limits import memory_bytes
from edgecv_cli.core.store import digest_key
from edgecv_cli.core.version import __version__
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.media.images import digest_files

_START_SECONDS = 120.0
_SECONDS, _SECONDS_AN_IMAGE = 600.0, 10.0
PRESET = "mixed"
"""Activations with a zero point, as detectors without ReLU need; weights are symmetric."""


@dataclass(frozen=True)
class NncfMade:
    """What NNCF wrote.

    Attributes:
        path: the ``.xml``; its weights stand beside it.
        version: NNCF's.
        skipped: images that could not be read, each with the reason.
    """

    path: Path
    version: str
    skipped: tuple[str, ...]


def has_nncf() -> bool:
    """Say whether NNCF is installed; it is not loaded."""
    try:
        return importlib.util.find_spec("nncf") is not None
    except (ImportError, ValueError):
        return False


def require_nncf() -> None:
    """Refuse before the work where NNCF is not installed.

    Raises:
        MissingDependencyError: it is not there.
    """
    if not has_nncf():
        raise MissingDependencyError(
            "--quantizer nncf needs the Python package nncf, which is not installed",
            remedy="pip install 'edgecv[nncf]', or leave --quantizer out",
        )


def quantize_with_nncf(
    xml: Path,
    target: Path,
    spec: DetectorSpec,
    images: Sequence[Path],
    context: Context,
    *,
    first_in_float: bool = False,
) -> NncfMade:
    """Quantize a float IR on images that are fed as the detector is fed.

    Args:
        xml: the float IR.
        target: where the int8 ``.xml`` is written.
        spec: how images become inputs.
        images: what to calibrate on.
        context: cancels it.
        first_in_float: leave the first layer, which reads the image, as it is.

    Raises:
        MissingDependencyError: NNCF is not installed.
        DataError: not one image can be read.
        ChildFailureError: NNCF failed, crashed or took too long.
    """
    payload = {
        "model": str(xml.absolute()),
        "target": str(target.absolute()),
        "spec": spec.dumps(),
        "images": [str(path.absolute()) for path in images],
        "preset": PRESET,
        "first_in_float": first_in_float,
    }
    child = Child(
        "nncf",
        name=f"quantizing {xml.name} with NNCF",
        limits=Limits(_START_SECONDS, memory_bytes()),
        cancel=context.cancel,
    )
    with context.progress.task("nncf", 1, "model") as task, child:
        patience = _SECONDS + _SECONDS_AN_IMAGE * len(images)
        answer = child.call("quantize", payload, patience)
        task.advance()
    return NncfMade(target, answer["version"], tuple(answer["skipped"]))


def nncf_step(
    parent: str, images: Sequence[Path], version: str, *, first_in_float: bool = False
) -> Step:
    """Return the step that an int8 form by NNCF has in its lineage.

    Args:
        parent: content digest of the float model.
        images: the calibration images.
        version: NNCF's.
        first_in_float: whether the first layer was left as it is.
    """
    options = {"first_in_float": True} if first_in_float else {}
    return Step(
        stage="quantize",
        config=digest_key(quantizer="nncf", preset=PRESET, target_device="CPU", **options),
        data=digest_files(images),
        parents=(parent,),
        versions={"edgecv": __version__, "nncf": version},
    )
