"""What this machine is, as far as int8 kernels and timings care."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgecv_cli.core.machine_limits import memory_bytes, usable_cores
from edgecv_cli.core.result import Machine
from edgecv_cli.core.store import digest_key

_CPUINFO = Path("/proc/cpuinfo")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")

# The kernel's flag -> the name that is reported. Order is the order of the report.
_INSTRUCTION_SETS = {
    "avx2": "avx2",
    "avx512f": "avx512f",
    "avx512_vnni": "avx512_vnni",
    "avx_vnni": "avx_vnni",
    "avx_vnni_int8": "avx_vnni_int8",
    "amx_int8": "amx_int8",
    "amx_bf16": "amx_bf16",
    "neon": "neon",
    "asimd": "neon",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "sve": "sve",
    "sve2": "sve2",
}
_VNNI = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})

ENGINE_DISTRIBUTIONS = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt",),
    "tensorrt-rtx": (
        *("tensorrt-rtx", "tensorrt-rtx-cu12-bindings", "tensorrt-rtx-cu13-bindings"),
    ),
    "litert": ("ai-edge-litert", "tflite-runtime"),
    "coreml": ("coremltools",),
}
"""Engine to the distributions it comes in; the first that is installed names the version."""


def machine(threads: int | None = None) -> Machine:
    """Describe this machine; engines are looked up by their metadata, never imported."""
    return Machine(
        cpu=cpu_model(),
        cores=usable_cores(),
        instruction_sets=instruction_sets(),
        memory_bytes=memory_bytes(),
        governor=governor(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        engines=engine_versions(),
        fingerprint=fingerprint(threads),
    )


def has_vnni() -> bool:
    """Return whether U8xS8 products are summed in 32 bits in one instruction, unsaturated.

    Without it, x86 int8 kernels add pairs in 16 bits (VPMADDUBSW) and saturate.
    """
    return not _VNNI.isdisjoint(instruction_sets())


def fingerprint(threads: int | None = None) -> str:
    """Return a digest of what timings depend on; one taken elsewhere is never reused here."""
    return digest_key(
        cpu=cpu_model(),
        cores=usable_cores(),
        instruction_sets=list(instruction_sets()),
        governor=governor(),
        threads=threads or usable_cores(),
    )


def governor() -> str | None:
    """Return the frequency governor of the first core, if the kernel shows it."""
    return _read(_GOVERNOR).strip() or None


@cache
def cpu_model() -> str:
    """Return the processor's name as the kernel gives it, else its architecture."""
    text = _read(_CPUINFO)
    named = _field(text, "model name") or _field(text, "Model") or platform.processor()
    return named or platform.machine() or "unknown"


@cache
def instruction_sets() -> tuple[str, ...]:
    """Return those that int8 kernels care about, in a fixed order; empty where unknown."""
    text = _read(_CPUINFO)
    flags = set((_field(text, "flags") or _field(text, "Features") or "").split())
    return tuple(dict.fromkeys(name for flag, name in _INSTRUCTION_SETS.items() if flag in flags))


def engine_versions() -> dict[str, str]:
    """Return the installed engines and their versions, from package metadata."""
    found = {}
    for engine, distributions in ENGINE_DISTRIBUTIONS.items():
        installed = next((v for v in map(_version, distributions) if v), None)
        if installed:
            found[engine] = installed
    return found


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _field(text: str, name: str) -> str | None:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None
