"""From ONNX to a Core ML package, in a process of its own: coremltools is large and foreign.

onnx2coreml writes the program through coremltools' builder, without torch; coremltools fits it
to a deployment target and compresses weights. Neither runs anything, so both work on Linux.
Source: pypi.org/project/onnx2coreml, apple.github.io/coremltools.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from edgecv_cli.core.child import Child, Limits
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import MissingDependencyError, ModelError
from edgecv_cli.graph.coreml_pipeline import Nms

TOOLS, CONVERTER = "coremltools", "onnx2coreml"
WHY = "convert-coreml"
_SECONDS = 3600.0


@dataclass(frozen=True)
class Stop:
    """An operator that Core ML has nothing for.

    Attributes:
        nodes: where it stands in the graph.
        reason: the converter's words, where it knows the operator but not this use of it.
    """

    operator: str
    nodes: tuple[str, ...]
    reason: str | None


@dataclass(frozen=True)
class Order:
    """What a package is to be.

    Attributes:
        target: least system that it runs on, such as ``iOS17``.
        compute: what it computes in: ``fp16`` or ``fp32``.
        weights: how weights are compressed: ``int8``, ``palettize`` or not at all.
        bits: of an index into a palette.
        pictures: inputs that take pictures, to their colour order.
        metadata: key/value strings to store.
        nms: what stands behind the detector; None: nothing.
        boxes: how many the detector gives, where an NMS stands behind it.
    """

    target: str
    compute: str
    weights: str | None
    bits: int
    pictures: Mapping[str, str]
    metadata: Mapping[str, str]
    nms: Nms | None = None
    boxes: int = 0


def require_converter(*, palettes: bool) -> None:
    """Refuse before the work where the converters are not there; they are not loaded.

    Args:
        palettes: whether weights are to be palettized, for which coremltools asks scikit-learn.

    Raises:
        MissingDependencyError: one of them is not installed.
    """
    needed = {TOOLS: TOOLS, CONVERTER: CONVERTER}
    if palettes:
        needed["sklearn"] = "scikit-learn"
    missing = [package for module, package in needed.items() if not _found(module)]
    if missing:
        words = " and ".join(missing)
        raise MissingDependencyError(
            f"{WHY} needs the Python packages {', '.join(needed.values())}: {words} "
            f"{'are' if len(missing) > 1 else 'is'} not installed",
            remedy=f"pip install {' '.join(missing)}",
        )


def converter_versions() -> dict[str, str]:
    """Return what decides a package's content, distribution to version."""
    found = {}
    for name in (TOOLS, CONVERTER):
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def convert(
    model: Path, package: Path, order: Order, context: Context, *, folder: Path
) -> tuple[Stop, ...]:
    """Convert an ONNX file of fixed shapes.

    Args:
        model: the file, with names that are identifiers.
        package: folder to write; it does not exist yet.
        order: what it is to be.
        context: cancels it.
        folder: for what the converters keep meanwhile.

    Returns:
        What stops it; empty: the package stands.

    Raises:
        ModelError: coremltools refuses the model, or ended well and wrote nothing.
        ChildFailureError: a converter crashed, hung or ran out of memory.
    """
    with Child(
        "coreml",
        name=f"converting {model.name} to Core ML",
        limits=Limits(_SECONDS),
        env={"TMPDIR": str(folder)},
        cancel=context.cancel,
    ) as child:
        answer = child.call(
            "convert",
            {
                "model": str(model),
                "package": str(package),
                "target": order.target,
                "compute": order.compute,
                "weights": order.weights,
                "bits": order.bits,
                "pictures": dict(order.pictures),
                "metadata": dict(order.metadata),
                "nms": None if order.nms is None else asdict(order.nms),
                "boxes": order.boxes,
            },
        )
    stops = tuple(
        Stop(one["operator"], tuple(one["nodes"]), one["reason"]) for one in answer["unsupported"]
    )
    if not stops and not package.is_dir():
        raise ModelError(
            "the converter ended well and wrote no package",
            remedy="convert again with --verbose, and report this as a bug",
        )
    return stops


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
