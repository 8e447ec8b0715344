"""Build TensorRT-RTX engines ahead of time, in a process of their own, without a GPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecv_cli.core.child import Child, Limits
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import MissingDependencyError, UsageError

MODULE, PACKAGE = "tensorrt_rtx_bindings", "tensorrt-rtx"
WHY = "building TensorRT-RTX engines"
_SECONDS = 600.0


@dataclass(frozen=True)
class Refusal:
    """What NVIDIA's parser or builder said against a model.

    Attributes:
        node: the node's name or operator; empty where it is the whole network.
        problem: the library's own words.
    """

    node: str
    problem: str


@dataclass(frozen=True)
class Built:
    """An attempt to build.

    Attributes:
        version: TensorRT-RTX's.
        capabilities: compute capabilities that it was built for.
        refusals: what speaks against it; empty: the engine was written.
        size: bytes of the engine; 0 where it was refused.
        layers: layers of the network as it was parsed, by kind.
    """

    version: str
    capabilities: tuple[str, ...]
    refusals: tuple[Refusal, ...]
    size: int
    layers: Mapping[str, int]


def require_builder() -> None:
    """Refuse before the work where the library is not there; it is not loaded.

    Raises:
        MissingDependencyError: TensorRT-RTX is not installed.
    """
    try:
        found = importlib.util.find_spec(MODULE) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        raise MissingDependencyError(
            f"{WHY} needs the Python package {PACKAGE}, which is not installed",
            remedy=f"pip install {PACKAGE}",
        )


def build_engine(model: Path, engine: Path, capabilities: Sequence[str], context: Context) -> Built:
    """Parse an ONNX file and build an engine for GPUs of these capabilities.

    Args:
        model: the ONNX file.
        engine: where the engine is written.
        capabilities: such as ``8.9``; empty: all that the library offers.
        context: cancels the build.

    Raises:
        MissingDependencyError: TensorRT-RTX is not installed.
        UsageError: a capability is not offered.
        ChildFailureError: the library crashed or took too long.
    """
    with Child(
        "tensorrt-rtx",
        name=f"building an engine of {model.name}",
        limits=Limits(_SECONDS),
        cancel=context.cancel,
    ) as child:
        about = child.call("version", {})
        offered = [str(number) for number in about["capabilities"]]
        for number in capabilities:
            if number not in offered:
                raise UsageError(
                    f"TensorRT-RTX {about['version']} builds for no GPU of compute capability "
                    f"{number}",
                    remedy=f"name some of {', '.join(offered)}",
                )
        wanted = list(capabilities) or offered
        answer = child.call(
            "build",
            {"model": str(model), "engine": str(engine), "capabilities": wanted},
        )
    return Built(
        version=about["version"],
        capabilities=tuple(wanted),
        refusals=tuple(Refusal(one["node"], one["problem"]) for one in answer["refused"]),
        size=answer.get("size", 0),
        layers=answer.get("layers", {}),
    )
