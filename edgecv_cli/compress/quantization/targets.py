"""What an artifact will run on, what that asks of its integers, and whether this is one."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, replace
from typing import Literal

from edgecv_cli.compress.quantization.placement import Glue
from edgecv_cli.core.errors import UsageError
from edgecv_cli.graph.grid import GridKind
from edgecv_cli.measure.hardware import engine_versions, has_vnni
from edgecv_cli.runtime.opening import ENGINES

_X86 = frozenset({"x86_64", "amd64"})
_ARM = frozenset({"aarch64", "arm64"})
# oneDNN's names of instruction sets that have no 32-bit sums of u8 x s8 products.
_NO_VNNI = frozenset({"SSE41", "AVX", "AVX2", "AVX512_CORE"})


@dataclass(frozen=True)
class TargetRules:
    """What a target asks of the integers.

    Attributes:
        name: target, as ``--target`` names it.
        sums: width of the sums in which its kernels add two u8 x s8 products; 16 saturates
            (x86 without VNNI: VPMADDUBSW).
        here: whether this machine is such a target and has its engine, so that its speed can
            be measured.
        activation_bits: width of the activations' integers.
        signed: activations are int8 rather than uint8.
        symmetric: every zero point is 0.
        bias: how an integer layer's bias is stored.
        glue: which tensors are put on a grid (see ``placement``).
        engine: the engine that judges its speed.
    """

    name: str
    sums: Literal[16, 32]
    here: bool
    activation_bits: Literal[8, 16] = 8
    signed: bool = False
    symmetric: bool = False
    bias: Literal["int32", "float"] = "int32"
    glue: Glue = "ops"
    engine: str = "onnxruntime"

    @property
    def grids(self) -> GridKind:
        """What its activations' grids have in common."""
        return GridKind(self.activation_bits, self.signed, self.symmetric)


# generic: what no x86, ARM or oneDNN kernel saturates or refuses. cpu-arm: ONNX Runtime has
# its best ARM kernels for int8 x int8 (microsoft/onnxruntime pull requests 9902 and 10289), and
# ARM's pairs of -127..127 products fit into 16 bits. tensorrt: onnx-tensorrt's QuantDequant
# importer takes int8, zero point 0 and no int32 bias. openvino: conv inputs only is faster
# there than every op (2.3 x fp32 against 1.9 x on yolov8n).
_RULES = {
    rules.name: rules
    for rules in (
        TargetRules("cpu-x86-vnni", 32, here=False),
        TargetRules("cpu-x86", 16, here=False),
        TargetRules("cpu-arm", 32, here=False, signed=True),
        TargetRules(
            "tensorrt",
            32,
            here=False,
            signed=True,
            symmetric=True,
            bias="float",
            glue="residual",
            engine="tensorrt",
        ),
        TargetRules("openvino", 32, here=False, glue="inputs", engine="openvino"),
        TargetRules("generic", 16, here=False),
    )
}


def resolve_target(name: str) -> TargetRules:
    """Return the rules of a target; ``cpu`` is what this machine is.

    OpenVINO's are taken to add in 32 bits where this machine's kernels do, under the cap of
    ``ONEDNN_MAX_CPU_ISA`` if that is set, else in 16.

    Raises:
        UsageError: there are no rules for such a target, or for this machine.
    """
    if name == "cpu":
        name = _this_machine()
    if name not in _RULES:
        raise UsageError(
            f"there are no rules for the target '{name}'",
            remedy=f"name one of: {', '.join(_RULES)}",
        )
    rules = _RULES[name]
    if name == "openvino" and _is_x86() and not _sums_in_32_bits():
        rules = replace(rules, sums=16)
    return replace(rules, here=_fits_here(name) and _has_engine(rules.engine))


def _this_machine() -> str:
    if platform.machine().lower() in _ARM:
        return "cpu-arm"
    if not _is_x86():
        raise UsageError(
            f"--target cpu means this machine ({platform.machine()}), for which there are no "
            "rules yet",
            remedy="name the target: --target generic runs anywhere",
        )
    return "cpu-x86-vnni" if has_vnni() else "cpu-x86"


def _fits_here(name: str) -> bool:
    if name in ("cpu-x86-vnni", "cpu-x86"):
        return _is_x86() and (name == "cpu-x86-vnni") == has_vnni()
    if name == "cpu-arm":
        return platform.machine().lower() in _ARM
    return True


def _has_engine(name: str) -> bool:
    """Return whether edgecv runs models on an engine that is installed; it is not imported."""
    return name in {engine.name for engine in ENGINES} and name in engine_versions()


def _is_x86() -> bool:
    return platform.machine().lower() in _X86


def _sums_in_32_bits() -> bool:
    return has_vnni() and os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() not in _NO_VNNI
