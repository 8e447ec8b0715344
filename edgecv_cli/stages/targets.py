"""What a detector can be converted for, what of it is on this machine, and installing the rest."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from edgecv_cli.config.targets import TargetsConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.result import Part, Result
from edgecv_cli.core.side_environment import SideEnvironment, install, installed
from edgecv_cli.measure.doctor.accelerators import Accelerator, accelerators
from edgecv_cli.runtime.tflite_convert import TFLITE

Verified = Literal["ran", "built", "structure"]
Versions = Callable[[Sequence[str]], dict[str, str]]


class TargetState(Part):
    """One kind of file that a detector can become."""

    name: str
    makes: str = Field(description="What the files are.")
    command: str = Field(description="The command that makes them.")
    extra: str | None = Field(default=None, description="Of `pip install edgecv[...]`.")
    ready: bool = Field(description="Whether the command can be used here as it stands.")
    found: dict[str, str] = Field(
        default_factory=dict, description="Packages that are here, with their versions."
    )
    missing: tuple[str, ...] = Field(default=(), description="Packages that are not.")
    install: tuple[str, ...] = Field(default=(), description="What to type to get them.")
    verified: Verified | None = Field(
        default=None,
        description="How far a result can be verified on this machine; absent where it can't be "
        "made.",
    )
    why: str = Field(description="What that hangs on.")
    environment: str | None = Field(default=None, description="Folder of its own environment.")
    requirements: tuple[str, ...] = Field(
        default=(), description="What a wheelhouse for its environment has to hold."
    )


class TargetsResult(Result):
    """What ``edgecv targets`` prints."""

    schema_: str = Field(
        default="edgecv.targets/1", serialization_alias="schema", validation_alias="schema"
    )
    targets: tuple[TargetState, ...]
    installed: str | None = Field(default=None, description="The target that was installed.")


@dataclass(frozen=True)
class Target:
    """A target as it is known beforehand.

    Attributes:
        needs: packages that have to be there, each with the distributions that bring it.
        side: its environment, if it has one of its own.
    """

    name: str
    makes: str
    command: str
    extra: str | None
    needs: tuple[tuple[str, ...], ...]
    side: SideEnvironment | None = None


@dataclass(frozen=True)
class Here:
    """What a machine has, as far as targets ask."""

    versions: Versions
    devices: tuple[Accelerator, ...]
    mac: bool

    @property
    def nvidia(self) -> bool:
        """Whether an NVIDIA GPU is here that this user may open."""
        return any(one.kind == "nvidia-gpu" and one.usable for one in self.devices)


TARGETS = (
    Target(
        "onnxruntime",
        "ONNX (.onnx), float or QDQ",
        "edgecv quantize",
        None,
        (("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"),),
    ),
    Target("openvino", "OpenVINO IR (.xml, .bin)", "edgecv convert-openvino", "openvino",
           (("openvino",),)),
    Target(
        "tensorrt-rtx",
        "TensorRT-RTX engine",
        "edgecv convert-trt",
        "tensorrt-rtx",
        (
            ("tensorrt-rtx-cu12-bindings", "tensorrt-rtx-cu13-bindings"),
            ("tensorrt-rtx-cu12-libs", "tensorrt-rtx-cu13-libs"),
        ),
    ),
    Target(
        "tensorrt",
        "TensorRT engine, or a bundle that builds it on the device",
        "edgecv convert-trt",
        None,
        (("tensorrt", "tensorrt-cu12", "tensorrt-cu13"),),
    ),
    Target(
        "coreml",
        "Core ML (.mlpackage)",
        "edgecv convert-coreml",
        "coreml",
        (("coremltools",), ("onnx2coreml",)),
    ),
    Target(
        "tflite",
        "LiteRT (.tflite), for Coral as well",
        "edgecv convert-tflite",
        "litert",
        (("ai-edge-litert",),),
        TFLITE,
    ),
)  # fmt: skip


def targets(config: TargetsConfig, context: Context) -> TargetsResult:
    """List every target, or install one.

    Raises:
        EdgeCVError: as :func:`edgecv_cli.core.side_environment.install`.
    """
    if config.action == "install":
        side = next(one.side for one in TARGETS if one.name == config.target)
        assert side is not None
        install(side, context, wheelhouse=config.wheelhouse, force=config.force)
    here = Here(installed_versions, accelerators(), sys.platform == "darwin")
    states = tuple(state_of(target, here) for target in TARGETS)
    return TargetsResult(targets=states, installed=config.target)


def installed_versions(names: Sequence[str]) -> dict[str, str]:
    """Return the version of the first of these distributions that is installed."""
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            return {name: importlib.metadata.version(name)}
    return {}


def state_of(target: Target, here: Here) -> TargetState:
    """Hold a target against a machine."""
    found: dict[str, str] = {}
    missing = []
    for names in target.needs:
        there = here.versions(names)
        found |= there
        if not there:
            missing.append(names[0])
    lines = [f"pip install {' '.join(missing)}"] if missing else []
    side = target.side
    packages = None if side is None else installed(side)
    if side is not None and packages is None:
        lines.insert(0, side.install_line)
    elif packages:
        # what stands in the environment is named by it: the same package may be here too
        found |= {f"{name} (its own)": version for name, version in packages.items()}
    verified, why = _verified(target.name, here, ready=not lines)
    return TargetState(
        name=target.name,
        makes=target.makes,
        command=target.command,
        extra=target.extra,
        ready=not lines,
        found=found,
        missing=tuple(missing),
        install=tuple(lines),
        verified=verified,
        why=why,
        environment=None if side is None else str(side.folder),
        requirements=() if side is None else side.requirements,
    )


def _verified(name: str, here: Here, *, ready: bool) -> tuple[Verified | None, str]:
    """Say how far results can be verified, and what that hangs on."""
    if name == "tensorrt" and not ready:
        return "structure", "rules and a bundle; building and running take TensorRT on the device"
    if not ready:
        return None, "its packages are not installed"
    if name in ("tensorrt", "tensorrt-rtx") and not here.nvidia:
        return "built" if name == "tensorrt-rtx" else "structure", "running takes an NVIDIA GPU"
    if name == "coreml" and not here.mac:
        return "structure", "predictions take macOS"
    return "ran", "runs on this machine"
